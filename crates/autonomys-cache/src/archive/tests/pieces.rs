//! Single pieces: partial segments, repair, death at any byte, flipped bits.

use super::*;
use crate::archive::file::write_piece;
use crate::fake_disk::FakeDisk;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;

const ONE: SegmentIndex = SegmentIndex::ONE;

fn index(position: u64) -> PieceIndex {
    PieceIndex::new(256 + position)
}

fn flip(directory: &Path, offset: u64, bit: u8) {
    let path = directory.join(file_name(ONE));
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << bit], offset).unwrap();
}

#[test]
fn a_segment_grows_piece_by_piece_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let all = pieces(3);
    {
        let store = open(directory.path());
        assert_eq!(store.missing_pieces(ONE).len(), 256);
        store.put_piece(index(200), &all[200]).unwrap();
        store.put_piece(index(3), &all[3]).unwrap();
        assert!(matches!(
            store.put_piece(index(4), &all[4][1..]),
            Err(CacheError::BadSegment { .. })
        ));
    }
    let store = open(directory.path());
    assert!(store.segments().is_empty() && !store.contains(ONE));
    assert_eq!(store.partial_segments(), [ONE]);
    assert_eq!((store.held(ONE), store.missing_pieces(ONE).len()), (2, 254));
    assert_eq!(store.get(index(200)).hit().unwrap().bytes[..], all[200]);
    assert_eq!(store.get(index(4)), Lookup::Missing);
    assert_eq!(
        store.scrub(SegmentIndex::ZERO).collect::<Vec<_>>(),
        [(index(3), true), (index(200), true)]
    );
    for piece_index in store.missing_pieces(ONE) {
        store
            .put_piece(piece_index, &all[piece_index.position() as usize])
            .unwrap();
    }
    assert_eq!((store.segments(), store.partial_segments()), (vec![ONE], vec![]));
    drop(store);
    let store = open(directory.path());
    assert!(store.contains(ONE) && store.verify_segment(ONE).is_empty());
    assert!(store.remove_segment(ONE).unwrap() && store.held(ONE) == 0);
}

#[test]
fn a_scrub_finds_damage_and_a_single_piece_repairs_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let all = pieces(3);
    store.put_segment(SegmentIndex::ZERO, &pieces(0)).unwrap();
    store.put_segment(ONE, &all).unwrap();
    let bad = |store: &ArchiveStore| -> Vec<_> {
        let scrub = store.scrub(SegmentIndex::ZERO);
        scrub
            .filter(|(_, good)| !good)
            .map(|(piece_index, _)| piece_index)
            .collect()
    };
    assert_eq!(store.scrub(SegmentIndex::ZERO).count(), 512);
    assert_eq!(store.scrub(ONE).count(), 256);
    assert!(bad(&store).is_empty());
    // In a piece, in the record of another, and in the fixed part of the footer.
    flip(directory.path(), piece_offset(PIECE_SIZE as u32, 7) + 50, 3);
    flip(directory.path(), record_offset(PIECE_SIZE as u32, 9) + 40, 0);
    assert_eq!(bad(&store), [index(7), index(9)]);
    assert_eq!(store.get(index(7)), Lookup::Corrupt);
    for position in [7, 9] {
        store.put_piece(index(position), &all[position as usize]).unwrap();
    }
    assert!(bad(&store).is_empty());
    flip(directory.path(), piece_offset(PIECE_SIZE as u32, 256) + 13, 5);
    assert_eq!(bad(&store).len(), 256);
    store.put_piece(index(0), &all[0]).unwrap();
    assert!(bad(&store).is_empty());
    drop(store);
    assert_eq!(open(directory.path()).segments(), [SegmentIndex::ZERO, ONE]);
}

#[test]
fn another_piece_replaces_a_wrong_one_and_a_lost_file_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put_segment(ONE, &pieces(3)).unwrap();
    store.put_piece(index(5), &[0xab; PIECE_SIZE]).unwrap();
    assert_eq!(store.get(index(5)).hit().unwrap().bytes[..], [0xab; PIECE_SIZE]);
    assert!(store.contains(ONE) && store.scrub(ONE).all(|(_, good)| good));
    fs::remove_file(directory.path().join(file_name(ONE))).unwrap();
    assert_eq!(store.get(index(5)), Lookup::Corrupt);
    assert_eq!(store.scrub(ONE).filter(|(_, good)| !good).count(), 256);
    store.put_piece(index(5), &[1; PIECE_SIZE]).unwrap();
    assert_eq!((store.held(ONE), store.get(index(6))), (1, Lookup::Missing));
}

#[test]
fn a_death_at_any_byte_of_a_repair_leaves_nothing_wrong() {
    let all = pieces(3);
    let mut footer = Footer::empty(&OPTIONS, ONE);
    for (record, piece) in footer.records.iter_mut().zip(&all) {
        *record = Record::Held(*blake3::hash(piece).as_bytes());
    }
    let mut file = all.concat();
    file.extend(footer.to_bytes());
    let start = NUM_PIECES_IN_SEGMENT * PIECE_SIZE;
    let new = [0xab; PIECE_SIZE];
    // The same piece again, another one in its place, and a piece that was absent.
    for (before, bytes) in [(true, &all[8][..]), (true, &new[..]), (false, &new[..])] {
        let mut file = file.clone();
        let mut footer = footer.clone();
        if !before {
            footer.records[8] = Record::Absent;
            file.truncate(start);
            file.extend(footer.to_bytes());
        }
        let mut finished = 0;
        for budget in 0..PIECE_SIZE + 2 * RECORD_SIZE + 129 {
            let disk = FakeDisk::new(file.clone());
            disk.0.lock().budget = Some(budget);
            let result = write_piece(&disk, &footer, 8, bytes, blake3::hash(bytes).as_bytes());
            let after = disk.survivor().0.lock().bytes.clone();
            let found: [u8; FOOTER_SIZE] = after[start..].try_into().unwrap();
            let found = Footer::from_bytes(&found).unwrap();
            for position in 0..NUM_PIECES_IN_SEGMENT {
                let piece = &after[position * PIECE_SIZE..(position + 1) * PIECE_SIZE];
                let is_good = matches!(found.records[position], Record::Held(hash) if hash == *blake3::hash(piece).as_bytes());
                if position != 8 {
                    assert!(
                        is_good && piece == all[position],
                        "piece {position} after {budget} bytes"
                    );
                } else if is_good {
                    assert!(piece == bytes || piece == all[8], "mixed after {budget} bytes");
                }
                finished += usize::from(position == 8 && is_good && piece == bytes);
                assert!(
                    result.is_err() || position != 8 || is_good,
                    "told stored after {budget} bytes"
                );
            }
        }
        assert!(finished > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_is_ever_served(
        place in prop_oneof![0..25_600u64, 25_600..25_728u64, 25_728..42_112u64], bit in 0..8u8, reopen: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let all = pieces(3);
        let mut store = open(directory.path());
        store.put_segment(ONE, &all).unwrap();
        flip(directory.path(), place, bit);
        if reopen {
            drop(store);
            store = open(directory.path());
        } else {
            prop_assert!(store.scrub(ONE).any(|(_, good)| !good), "byte {place} was not found");
        }
        let mut good = 0;
        for position in 0..256 {
            if let Lookup::Hit(item) = store.get(index(position)) {
                prop_assert_eq!(&item.bytes[..], &all[position as usize][..]);
                good += 1;
            }
        }
        let in_fixed = (25_600..25_728).contains(&place);
        prop_assert_eq!(good, match (place < 25_600, in_fixed, reopen) {
            (true, _, _) => 255,
            (_, true, true) => 0,
            (_, _, true) => 255,
            // Hashes are in memory: the bytes can still be checked.
            (_, _, false) => 256,
        });
    }
}

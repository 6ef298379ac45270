//! Segments survive restarts, damage is noticed byte by byte, and a death in the middle leaves nothing.

mod pieces;

use super::format::{FOOTER_SIZE, Footer, RECORD_SIZE, Record, file_name, piece_offset, record_offset};
use super::*;
use crate::error::CacheError;
use crate::item::Lookup;
use std::fs;
use std::path::Path;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

const PIECE_SIZE: usize = 100;
const OPTIONS: ArchiveOptions = ArchiveOptions {
    identity: [1; 32],
    piece_size: PIECE_SIZE as u32,
};

fn pieces(segment: u8) -> Vec<Vec<u8>> {
    (0..NUM_PIECES_IN_SEGMENT)
        .map(|position| vec![segment ^ position as u8; PIECE_SIZE])
        .collect()
}

fn open(directory: &Path) -> ArchiveStore {
    ArchiveStore::open(directory, OPTIONS).unwrap()
}

#[test]
fn segments_and_headers_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (zero, seven) = (SegmentIndex::new(0), SegmentIndex::new(7));
    {
        let store = open(directory.path());
        assert!(store.segments().is_empty());
        store.put_segment(zero, &pieces(0)).unwrap();
        store.put_segment(seven, &pieces(7)).unwrap();
        store
            .put_segment_header(SegmentIndex::new(9), b"header nine")
            .unwrap();
        assert!(matches!(
            ArchiveStore::open(directory.path(), OPTIONS),
            Err(CacheError::InUse { .. })
        ));
    }
    fs::write(directory.path().join("segment-0000000003.pieces.tmp"), b"half").unwrap();
    fs::write(directory.path().join("notes.txt"), b"not ours").unwrap();
    let store = open(directory.path());
    assert_eq!(store.segments(), [zero, seven]);
    assert!(!directory.path().join("segment-0000000003.pieces.tmp").exists());
    assert!(directory.path().join("notes.txt").exists());
    for position in [0, 1, 255] {
        let item = store.get(PieceIndex::new(7 * 256 + position)).hit().unwrap();
        assert_eq!(item.bytes[..], pieces(7)[position as usize]);
        assert_eq!(item.hash, *blake3::hash(&item.bytes).as_bytes());
    }
    assert_eq!(store.get(PieceIndex::new(256)), Lookup::Missing);
    assert_eq!(
        store.segment_header(SegmentIndex::new(9)).unwrap().as_deref(),
        Some(&b"header nine"[..])
    );
    assert_eq!(store.segment_header(SegmentIndex::new(8)).unwrap(), None);
    assert_eq!(store.segment_header(SegmentIndex::new(u64::MAX)).unwrap(), None);
    assert!(store.remove_segment(zero).unwrap() && !store.remove_segment(zero).unwrap());
    assert_eq!(store.segments(), [seven]);
}

#[test]
fn every_damaged_byte_is_noticed_and_repaired_by_storing_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file_name(SegmentIndex::ZERO));
    open(directory.path())
        .put_segment(SegmentIndex::ZERO, &pieces(0))
        .unwrap();
    let good = fs::read(&path).unwrap();
    let data = NUM_PIECES_IN_SEGMENT * PIECE_SIZE;
    assert_eq!(good.len(), data + FOOTER_SIZE);
    for byte in [0, 99, 100, data - 1] {
        let mut bad = good.clone();
        bad[byte] ^= 0x80;
        fs::write(&path, &bad).unwrap();
        let store = open(directory.path());
        assert_eq!(
            store.verify_segment(SegmentIndex::ZERO),
            [PieceIndex::new((byte / PIECE_SIZE) as u64)]
        );
        store.put_segment(SegmentIndex::ZERO, &pieces(0)).unwrap();
        assert!(store.verify_segment(SegmentIndex::ZERO).is_empty());
    }
    let records = record_offset(PIECE_SIZE as u32, 0) as usize;
    for byte in data..records {
        let mut bad = good.clone();
        bad[byte] ^= 0x80;
        fs::write(&path, &bad).unwrap();
        assert!(
            open(directory.path()).segments().is_empty(),
            "byte {byte} of the file"
        );
    }
    for byte in (records..good.len()).step_by(61) {
        let mut bad = good.clone();
        bad[byte] ^= 0x80;
        fs::write(&path, &bad).unwrap();
        let store = open(directory.path());
        let piece_index = PieceIndex::new(((byte - records) / RECORD_SIZE) as u64);
        assert_eq!(store.verify_segment(SegmentIndex::ZERO), [piece_index]);
        assert_eq!(store.get(piece_index), Lookup::Corrupt);
        assert!(!store.contains(SegmentIndex::ZERO) && store.held(SegmentIndex::ZERO) == 255);
    }
    for length in [0, 10, data, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(
            open(directory.path()).segments().is_empty(),
            "{length} bytes of the file"
        );
    }
    fs::write(directory.path().join(file_name(SegmentIndex::ONE)), &good).unwrap();
    assert!(
        open(directory.path()).segments().is_empty(),
        "a segment under another's name"
    );
}

#[test]
fn a_file_cut_while_open_is_corrupt_not_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put_segment(SegmentIndex::ZERO, &pieces(0)).unwrap();
    let path = directory.path().join(file_name(SegmentIndex::ZERO));
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(150)
        .unwrap();
    assert!(matches!(store.get(PieceIndex::ZERO), Lookup::Hit(_)));
    assert_eq!(store.get(PieceIndex::ONE), Lookup::Corrupt);
    assert_eq!(store.verify_segment(SegmentIndex::ZERO).len(), 255);
}

#[test]
fn foreign_archives_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path())
        .put_segment(SegmentIndex::ZERO, &pieces(0))
        .unwrap();
    let other_size = ArchiveOptions {
        piece_size: 99,
        ..OPTIONS
    };
    assert!(matches!(
        ArchiveStore::open(directory.path(), other_size),
        Err(CacheError::Mismatch {
            what: "piece size",
            ..
        })
    ));
    let other_chain = ArchiveOptions {
        identity: [2; 32],
        ..OPTIONS
    };
    assert!(matches!(
        ArchiveStore::open(directory.path(), other_chain),
        Err(CacheError::Mismatch { what: "chain", .. })
    ));
    let path = directory.path().join(file_name(SegmentIndex::ZERO));
    let good = fs::read(&path).unwrap();
    let footer = NUM_PIECES_IN_SEGMENT * PIECE_SIZE;
    let mut newer = good.clone();
    newer[footer + 8] = 3;
    let checksum = blake3::hash(&newer[footer..footer + 96]);
    newer[footer + 96..footer + 128].copy_from_slice(checksum.as_bytes());
    // Version 1 had 64 bytes, the hashes and one more.
    let mut older = good[..footer].to_vec();
    older.extend_from_slice(b"AFSEGMT\n\x01\0\0\0");
    older.resize(footer + 64 + 256 * 32 + 32, 0);
    older.resize(older.len().max(FOOTER_SIZE), 0);
    for (bytes, version) in [(newer, 3), (older, 1)] {
        fs::write(&path, bytes).unwrap();
        let refused = ArchiveStore::open(directory.path(), OPTIONS);
        assert!(
            matches!(refused, Err(CacheError::UnsupportedVersion { found, known: 2, .. }) if found == version),
            "version {version}: {refused:?}"
        );
    }
}

#[test]
fn bad_segments_are_refused_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let before = fs::read_dir(directory.path()).unwrap().count();
    assert!(matches!(
        store.put_segment(SegmentIndex::ZERO, &pieces(0)[1..]),
        Err(CacheError::BadSegment { .. })
    ));
    let mut long = pieces(0);
    long[3].push(0);
    assert!(matches!(
        store.put_segment(SegmentIndex::ZERO, &long),
        Err(CacheError::BadSegment { .. })
    ));
    assert!(
        store
            .put_segment_header(SegmentIndex::ZERO, &[0; MAX_SEGMENT_HEADER_LEN + 1])
            .is_err()
    );
    assert!(
        store
            .put_segment_header(SegmentIndex::new(u64::MAX), &[0; 9])
            .is_err()
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), before);
    assert!(store.segments().is_empty());
}

#[test]
fn a_torn_header_record_reads_as_absent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segment-headers.bin");
    open(directory.path())
        .put_segment_header(SegmentIndex::ONE, &[5; 98])
        .unwrap();
    let good = fs::read(&path).unwrap();
    for byte in 256..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_eq!(
            open(directory.path()).segment_header(SegmentIndex::ONE).unwrap(),
            None,
            "byte {byte}"
        );
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert_eq!(
        open(directory.path()).segment_header(SegmentIndex::ONE).unwrap(),
        None
    );
    fs::write(&path, &good[..40]).unwrap();
    assert!(matches!(
        ArchiveStore::open(directory.path(), OPTIONS),
        Err(CacheError::NotAStore { .. })
    ));
}

#[test]
fn footer_bytes_survive() {
    let mut footer = Footer::empty(&OPTIONS, SegmentIndex::new(5));
    for (byte, record) in (0..=254).zip(&mut footer.records) {
        *record = Record::Held([byte; 32]);
    }
    let bytes: [u8; FOOTER_SIZE] = footer.to_bytes().try_into().unwrap();
    assert_eq!(Footer::from_bytes(&bytes), Ok(footer));
}

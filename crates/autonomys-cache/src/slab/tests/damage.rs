//! Flipped bits: a wrong byte is never served, and a scrub finds it.

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;

/// Any byte that means something in a store of eight slots.
fn byte() -> impl Strategy<Value = u64> {
    let geometry = Geometry::new(OPTIONS.slot_size);
    prop_oneof![
        0..88u64,
        geometry.record(0)..geometry.record(8),
        (0..8u64, 0..SLOT as u64).prop_map(move |(slot, byte)| geometry.payload(slot) + byte),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_is_ever_served(byte in byte(), bit in 0..8u8, scrub: bool) {
        let disk = disk(8);
        fill(&open_disk(&disk, 8), 0..8);
        disk.0.lock().bytes[byte as usize] ^= 1 << bit;
        let Ok(store) = try_open_disk(&disk, 8) else {
            prop_assert!(byte < 88, "byte {byte} made the store unreadable");
            return Ok(());
        };
        prop_assert!(byte >= 88, "byte {byte} of the header was not noticed");
        let mut good = 0;
        if scrub {
            let bad = store.scrub(None).filter(|(_, good)| !good).count();
            prop_assert_eq!(bad as u64, store.stats().corrupt);
            good = store.stats().items;
        }
        let served = (0..8).filter(|&index| match store.get(&key(index)) {
            Lookup::Hit(item) => {
                assert_eq!(item.bytes[..], content(index, 1));
                true
            }
            _ => false,
        });
        let served = served.count() as u64;
        // Bytes behind the item in its slot mean nothing.
        prop_assert!(served >= 7, "byte {byte} cost more than one item");
        prop_assert!(!scrub || served == good, "the scrub missed something");
        prop_assert_eq!(store.stats().items, served);
    }
}

#[test]
fn a_scrub_reads_the_disk_and_drops_what_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 16);
    fill(&store, 0..10);
    store.sync().unwrap();
    // Slots are taken in order, so item 3 is in slot 3.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(directory.path().join("slab.bin"))
        .unwrap();
    file.write_all_at(&[0xee], Geometry::new(OPTIONS.slot_size).payload(3) + 100)
        .unwrap();
    let found: Vec<_> = store.scrub(None).collect();
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|(found, good)| *good == (*found != key(3))));
    assert_eq!(store.get(&key(3)), Lookup::Missing);
    assert_eq!(
        store.scrub(Some(key(5))).collect::<Vec<_>>(),
        [6, 7, 8, 9].map(|index| (key(index), true))
    );
    let stats = store.stats();
    assert_eq!((stats.hits, stats.corrupt, stats.items), (0, 1, 9));
    // Its slot is used again.
    store.put(key(3), 2, &content(3, 2)).unwrap();
    assert!(store.scrub(None).all(|(_, good)| good));
}

#[test]
fn a_range_names_the_bytes_of_an_item_and_a_recheck_drops_only_what_is_bad() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slab.bin");
    fill(&open(directory.path(), 16), 0..4);
    let store = open(directory.path(), 16);
    let read = |index| {
        let range = store.range(&key(index)).unwrap();
        let mut bytes = vec![0; range.length as usize];
        range.file.read_exact_at(&mut bytes, range.offset).unwrap();
        assert_eq!(
            (range.epoch, range.hash),
            (1, *blake3::hash(&content(index, 1)).as_bytes())
        );
        assert_eq!(range.crc, crc_fast::crc32_iscsi(&content(index, 1)));
        (bytes, range.offset)
    };
    let (bytes, offset) = read(2);
    assert_eq!(bytes, content(2, 1));
    assert!(store.range(&key(9)).is_none());
    for index in 0..4 {
        assert!(store.recheck(&key(index)).hit().is_some());
    }
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xee], offset + 9).unwrap();
    // Nobody has read it here: the range is still given, and its reader notices.
    assert_ne!(read(2).0, content(2, 1));
    assert_eq!(store.recheck(&key(2)), Lookup::Corrupt);
    assert!(store.range(&key(2)).is_none());
    assert_eq!((store.stats().items, store.stats().hits), (3, 2));
}

#[test]
fn an_item_whose_checksum_is_not_known_has_no_range() {
    let disk = disk(8);
    fill(&open_disk(&disk, 8), 0..2);
    let geometry = Geometry::new(OPTIONS.slot_size);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slab.bin");
    // A record as earlier releases wrote it.
    let at = geometry.record(1) as usize;
    let mut bytes = disk.0.lock().bytes.clone();
    let record: &[u8; 128] = bytes[at..at + 128].try_into().unwrap();
    let mut record = super::super::format::Record::from_bytes(record, &OPTIONS.identity, 1)
        .unwrap()
        .unwrap();
    record.crc = 0;
    bytes[at..at + 128].copy_from_slice(&record.to_bytes(&OPTIONS.identity, 1));
    std::fs::write(path, bytes).unwrap();
    let store = open(directory.path(), 8);
    assert!(store.range(&key(0)).is_some() && store.range(&key(1)).is_none());
    assert_eq!(store.get(&key(1)).hit().unwrap().bytes[..], content(1, 1));
    assert!(open_disk(&disk, 8).range(&key(0)).is_none(), "there is no file");
}

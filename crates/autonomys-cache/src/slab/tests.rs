//! The slab under restarts, crashes at any write, damage at any byte, full and dying disks, and many threads.

mod crash;
mod damage;
mod share;

use super::file::SlabFile;
use super::format::{Geometry, Header};
use super::*;
use crate::error::CacheError;
use crate::fake_disk::FakeDisk;
use crate::item::{CacheKey, Lookup};
use std::io;
use std::path::{Path, PathBuf};
use subspace_core_primitives::pieces::PieceIndex;

const SLOT: usize = 600;
const OPTIONS: SlabOptions = SlabOptions {
    identity: [1; 32],
    slot_size: SLOT as u32,
    reformat: false,
};

fn key(index: u64) -> CacheKey {
    CacheKey::piece(PieceIndex::new(index))
}

/// Content that tells which key and version it is.
fn content(index: u64, version: u8) -> Vec<u8> {
    let mut bytes = vec![version; SLOT - (index % 50) as usize];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes
}

fn path(directory: &Path, slots: u64) -> SlabPath {
    let size = Geometry::new(OPTIONS.slot_size).file_length(slots);
    SlabPath {
        directory: directory.to_owned(),
        size: Some(size),
    }
}

fn open(directory: &Path, slots: u64) -> SlabStore {
    SlabStore::open(&[path(directory, slots)], OPTIONS).unwrap()
}

fn fill(store: &SlabStore, indexes: std::ops::Range<u64>) {
    for index in indexes {
        store.put(key(index), 1, &content(index, 1)).unwrap();
    }
}

fn disk(slots: u64) -> FakeDisk {
    let mut bytes = Header::new(OPTIONS.slot_size, OPTIONS.identity)
        .to_bytes()
        .to_vec();
    bytes.resize(Geometry::new(OPTIONS.slot_size).file_length(slots) as usize, 0);
    FakeDisk::new(bytes)
}

fn try_open_disk(disk: &FakeDisk, slots: u64) -> Result<SlabStore, CacheError> {
    let header = Header::new(OPTIONS.slot_size, OPTIONS.identity);
    let file = SlabFile::with_storage(PathBuf::from("fake"), Box::new(disk.clone()), header, slots)?;
    SlabStore::with_files(vec![file], Vec::new(), OPTIONS)
}

fn open_disk(disk: &FakeDisk, slots: u64) -> SlabStore {
    try_open_disk(disk, slots).unwrap()
}

#[test]
fn content_survives_restart_growth_and_shrinking() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = open(directory.path(), 20);
        for index in 0..20 {
            let outcome = store.put(key(index), 3, &content(index, 1)).unwrap();
            assert_eq!(
                outcome,
                PutOutcome {
                    evicted: None,
                    replaced: false
                }
            );
        }
        store.sync().unwrap();
        assert!(matches!(
            SlabStore::open(&[path(directory.path(), 20)], OPTIONS),
            Err(CacheError::InUse { .. })
        ));
    }
    for slots in [20, 2000, 1030, 12, 20] {
        let store = open(directory.path(), slots);
        assert_eq!(store.capacity(), slots);
        let expected = if slots == 12 { 12 } else { store.stats().items };
        assert_eq!(store.stats().items, expected);
        for (key, epoch) in store.keys() {
            let item = store.get(&key).hit().unwrap();
            assert_eq!(
                (epoch, item.epoch, &item.bytes[..]),
                (3, 3, &content(key.piece_index.get(), 1)[..])
            );
        }
    }
    let stats = open(directory.path(), 20).stats();
    assert_eq!((stats.items, stats.slots), (12, 20));
}

#[test]
fn a_full_store_evicts_and_keeps_the_size() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 16);
    for index in 0..100 {
        store.put(key(index), 1, &content(index, 1)).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.items, stats.puts, stats.evictions), (16, 100, 84));
    assert_eq!(
        std::fs::metadata(&stats.paths[0].path).unwrap().len(),
        path(directory.path(), 16).size.unwrap()
    );
    let held = store.keys().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    for index in 0..100 {
        match store.get(&key(index)) {
            Lookup::Hit(item) => assert_eq!(item.bytes[..], content(index, 1)),
            other => assert_eq!((other, held.contains(&key(index))), (Lookup::Missing, false)),
        }
    }
    assert!(store.remove(&held[0]) && !store.remove(&held[0]) && !store.contains(&held[0]));
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses, stats.items), (16, 84, 15));
}

#[test]
fn a_crash_at_any_byte_leaves_the_old_or_the_new_item() {
    let whole = {
        let disk = disk(8);
        disk.0.lock().budget = Some(usize::MAX);
        open_disk(&disk, 8).put(key(5), 1, &content(5, 1)).unwrap();
        usize::MAX - disk.0.lock().budget.unwrap()
    };
    let mut seen = [false; 2];
    // A replacement writes the new item and its record, then erases the old record.
    for budget in 0..=whole + 128 {
        let disk = disk(8);
        let store = open_disk(&disk, 8);
        fill(&store, 0..6);
        disk.0.lock().budget = Some(budget);
        let result = store.put(key(5), 2, &content(5, 2));
        let after = open_disk(&disk.survivor(), 8);
        let item = after
            .get(&key(5))
            .hit()
            .unwrap_or_else(|| panic!("lost after {budget} bytes"));
        let version = item.epoch as u8;
        assert_eq!(item.bytes[..], content(5, version), "mixed after {budget} bytes");
        seen[usize::from(version) - 1] = true;
        // Who was told "stored" finds the new one.
        assert!(result.is_err() || version == 2, "forgotten after {budget} bytes");
        (0..5)
            .for_each(|index| assert_eq!(after.get(&key(index)).hit().unwrap().bytes[..], content(index, 1)));
        assert_eq!(after.stats().items, 6);
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn an_eviction_torn_at_any_byte_never_gives_wrong_bytes() {
    for budget in (0..SLOT + 256).step_by(7) {
        let disk = disk(8);
        let store = open_disk(&disk, 8);
        fill(&store, 0..8);
        disk.0.lock().budget = Some(budget);
        let _ = store.put(key(100), 1, &content(100, 1));
        let after = open_disk(&disk.survivor(), 8);
        let mut held = 0;
        for index in (0..8).chain([100]) {
            if let Lookup::Hit(item) = after.get(&key(index)) {
                assert_eq!(item.bytes[..], content(index, 1));
                held += 1;
            }
        }
        assert!(held >= 7, "more than one item lost after {budget} bytes");
    }
}

#[test]
fn a_garbled_byte_anywhere_drops_one_item_at_most() {
    let disk = disk(8);
    {
        let store = open_disk(&disk, 8);
        fill(&store, 0..4);
    }
    let geometry = Geometry::new(OPTIONS.slot_size);
    let records = (geometry.record(0)..geometry.record(4)).step_by(5);
    let payloads = (0..4).flat_map(|slot| (geometry.payload(slot)..geometry.payload(slot) + 600).step_by(41));
    for byte in records.chain(payloads) {
        let bad = disk.survivor();
        bad.0.lock().bytes[byte as usize] ^= 0x10;
        let store = open_disk(&bad, 8);
        let mut good = 0;
        for index in 0..4 {
            match store.get(&key(index)) {
                Lookup::Hit(item) => {
                    assert_eq!(item.bytes[..], content(index, 1));
                    good += 1;
                }
                Lookup::Corrupt => assert_eq!(store.get(&key(index)), Lookup::Missing),
                Lookup::Missing => {}
            }
        }
        assert!(good >= 3, "byte {byte} cost more than one item");
        assert_eq!(good, store.stats().items);
        // The dropped slot serves again.
        fill(&store, 10..14);
        assert_eq!(store.stats().evictions, 0);
    }
}

#[test]
fn a_full_disk_is_told_as_such_and_a_dying_one_is_set_aside() {
    let (good, bad) = (disk(8), disk(8));
    let header = Header::new(OPTIONS.slot_size, OPTIONS.identity);
    let files = [("good", &good), ("bad", &bad)].map(|(name, disk)| {
        SlabFile::with_storage(PathBuf::from(name), Box::new(disk.clone()), header, 8).unwrap()
    });
    let store = SlabStore::with_files(files.into(), Vec::new(), OPTIONS).unwrap();
    fill(&store, 0..8);
    assert!(
        store.stats().paths.iter().all(|path| path.items == 4),
        "both disks are used alike"
    );

    bad.0.lock().error = Some(io::ErrorKind::StorageFull);
    let errors: Vec<_> = (100..140)
        .filter_map(|index| store.put(key(index), 1, &content(index, 1)).err())
        .collect();
    assert!(matches!(errors[0], CacheError::NoSpace { .. }));
    let stats = store.stats();
    assert_eq!(
        stats.paths.iter().map(|path| path.failed).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!((store.capacity(), stats.paths[1].items), (8, 0));
    store.put(key(500), 1, &content(500, 1)).unwrap();
    assert!(matches!(store.get(&key(500)), Lookup::Hit(_)));

    good.0.lock().read_error = Some(io::ErrorKind::Other);
    assert_eq!(store.get(&key(500)), Lookup::Corrupt);
    assert_eq!(store.get(&key(500)), Lookup::Missing);
}

#[test]
fn sizes_and_foreign_files_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let place = |size| {
        [SlabPath {
            directory: directory.path().to_owned(),
            size: Some(size),
        }]
    };
    assert!(matches!(
        SlabStore::open(&place(5000), OPTIONS),
        Err(CacheError::TooSmall { .. })
    ));
    // More than any disk here has: refused before anything is left behind.
    let absurd = SlabStore::open(
        &place(1 << 60),
        SlabOptions {
            slot_size: MAX_SLOT_SIZE,
            ..OPTIONS
        },
    );
    assert!(matches!(absurd, Err(CacheError::NoSpace { .. })), "{absurd:?}");
    assert!(!directory.path().join("slab.bin").exists() && !directory.path().join("slab.tmp").exists());

    let store = open(directory.path(), 8);
    let long = store.put(key(0), 1, &[0; SLOT + 1]);
    assert!(matches!(long, Err(CacheError::ItemTooLong { .. })));
    drop(store);
    let with = |options| SlabStore::open(&[path(directory.path(), 8)], options).map(drop);
    assert!(matches!(
        with(SlabOptions {
            identity: [2; 32],
            ..OPTIONS
        }),
        Err(CacheError::Mismatch {
            what: "chain or cluster",
            ..
        })
    ));
    assert!(matches!(
        with(SlabOptions {
            slot_size: 601,
            ..OPTIONS
        }),
        Err(CacheError::Mismatch {
            what: "item size",
            ..
        })
    ));
    assert!(matches!(
        with(SlabOptions {
            slot_size: 0,
            ..OPTIONS
        }),
        Err(CacheError::BadOptions { .. })
    ));
    // Another chain is no reason to empty a file, whatever is asked for.
    assert!(matches!(
        with(SlabOptions {
            identity: [2; 32],
            slot_size: 601,
            reformat: true,
        }),
        Err(CacheError::Mismatch { .. })
    ));
    let file = directory.path().join("slab.bin");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8] = 2;
    std::fs::write(&file, &bytes).unwrap();
    assert!(matches!(
        with(OPTIONS),
        Err(CacheError::UnsupportedVersion {
            found: 2,
            known: 1,
            ..
        })
    ));
    std::fs::write(&file, vec![b'x'; 5000]).unwrap();
    assert!(matches!(with(OPTIONS), Err(CacheError::NotAStore { .. })));
}

#[test]
fn threads_never_see_each_others_bytes() {
    let disk = disk(16);
    let store = open_disk(&disk, 16);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..300u64 {
                    let index = (round * 7 + thread * 3) % 40;
                    match store.get(&key(index)) {
                        Lookup::Hit(item) => assert_eq!(item.bytes[..], content(index, item.epoch as u8)),
                        Lookup::Missing => {
                            let version = (round % 200) as u8;
                            store
                                .put(key(index), version.into(), &content(index, version))
                                .unwrap();
                        }
                        Lookup::Corrupt => panic!("a race looked like damage"),
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert_eq!((stats.corrupt, stats.items <= 16), (0, true));
    assert_eq!(open_disk(&disk.survivor(), 16).stats().items, stats.items);
}

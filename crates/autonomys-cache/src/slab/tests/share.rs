//! A store whose share or item type changes.

use super::*;

#[test]
fn released_items_leave_before_any_wanted_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 16);
    fill(&store, 0..16);
    // The released ones are those that were read most.
    let released: Vec<_> = (0..8).map(|index| key(index * 2)).collect();
    for key in &released {
        (0..3).for_each(|_| drop(store.get(key)));
    }
    assert_eq!(store.release(&released), 8);
    assert_eq!((store.release(&released), store.release(&[key(99)])), (0, 0));
    assert!(
        matches!(store.get(&key(2)), Lookup::Hit(_)),
        "a released item can be read"
    );
    store.claim(&[key(4)]);
    // Stored again: wanted again, and no other item leaves for it than a released one.
    let outcome = store.put(key(6), 2, &content(6, 2)).unwrap();
    assert!(outcome.replaced && released.contains(&outcome.evicted.unwrap()));
    assert_eq!(store.stats().released, 5);
    // The old slot of the replaced item is free.
    for index in 100..106 {
        let outcome = store.put(key(index), 1, &content(index, 1)).unwrap();
        assert!(outcome.evicted.is_none_or(|key| released.contains(&key)));
    }
    assert_eq!(store.stats().released, 0);
    for index in [1, 3, 4, 5, 6, 7, 9, 11, 13, 15].into_iter().chain(100..106) {
        assert!(store.contains(&key(index)), "item {index} was wanted");
    }
}

#[test]
fn a_new_share_marks_what_is_no_longer_part_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 40);
    fill(&store, 0..40);
    assert_eq!(store.release_unless(|key| key.piece_index.get() >= 10), 10);
    assert_eq!(store.release_unless(|key| key.piece_index.get() < 20), 20);
    assert_eq!(store.stats().released, 20);
    fill(&store, 100..120);
    assert!((0..20).all(|index| store.contains(&key(index))));
    assert_eq!(store.release_unless(|_| true), 0);
}

#[test]
fn inventories_come_in_pages_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 32);
    let shuffled: Vec<_> = (0..30).map(|index| index * 7 % 30).collect();
    for index in shuffled {
        store.put(key(index), index, &content(index, 1)).unwrap();
    }
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = store.keys_after(after, 7);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.0);
        all.extend(page);
    }
    assert_eq!(all, (0..30).map(|index| (key(index), index)).collect::<Vec<_>>());
    assert_eq!(store.keys(), all);
    assert!(store.keys_after(None, 0).is_empty());
}

#[test]
fn another_item_size_empties_the_file_only_when_asked_to_and_never_by_halves() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(&open(first.path(), 10), 0..10);
    let larger = SlabOptions {
        slot_size: 9000,
        ..OPTIONS
    };
    let size = Geometry::new(9000).file_length(12);
    let place = |directory: &Path| SlabPath {
        directory: directory.to_owned(),
        size: Some(size),
    };
    let refused = SlabStore::open(&[place(first.path())], larger);
    assert!(matches!(
        refused,
        Err(CacheError::Mismatch {
            what: "item size",
            ..
        })
    ));

    // The second path belongs to another cluster: nothing happens to the first.
    let other = SlabOptions {
        identity: [9; 32],
        ..OPTIONS
    };
    drop(SlabStore::open(&[path(second.path(), 10)], other).unwrap());
    let reformat = SlabOptions {
        reformat: true,
        ..larger
    };
    let both = [place(first.path()), place(second.path())];
    assert!(matches!(
        SlabStore::open(&both, reformat),
        Err(CacheError::Mismatch { .. })
    ));
    assert_eq!(open(first.path(), 10).stats().items, 10);

    let store = SlabStore::open(&both[..1], reformat).unwrap();
    assert_eq!((store.stats().items, store.capacity()), (0, 12));
    store.put(key(1), 1, &[3; 9000]).unwrap();
    drop(store);
    // Asked again with the right size nothing is emptied; what an interrupted creation left is removed.
    std::fs::write(first.path().join("slab.tmp"), b"half").unwrap();
    let store = SlabStore::open(&both[..1], reformat).unwrap();
    assert_eq!(store.get(&key(1)).hit().unwrap().bytes[..], [3; 9000]);
    assert!(!first.path().join("slab.tmp").exists());
}

//! Which failure sets a farm aside, and what a farm that was set aside needs to come back.

use super::*;
use autonomys_farm::SpaceRequest;
use std::fs;
use std::io;
use std::path::Path;
use subspace_core_primitives::hashes::Blake3Hash;
use tempfile::TempDir;

fn options(directory: &Path) -> FarmOptions {
    FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(1),
        genesis_hash: Blake3Hash::from([1; 32]),
        pieces_in_sector: 1,
    }
}

fn io_error(kind: io::ErrorKind) -> FarmError {
    FarmError::Io {
        action: "write",
        path: "/mnt/nvme0/plot.bin".into(),
        source: kind.into(),
    }
}

/// Two farms, and the set of them.
fn two_farms() -> (TempDir, FarmSet) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farms = ["one", "two"].map(|name| {
        let options = options(&directory.path().join(name));
        let farm = Farm::open(&options).expect("made");
        (options, Ok(Arc::new(farm)))
    });
    (directory, FarmSet::new(farms.into(), None))
}

fn unreadable(sector_index: SectorIndex) -> AuditError {
    AuditError {
        sector_index,
        source: io::Error::other("bad"),
    }
}

#[test]
fn a_disk_that_fails_sets_its_farm_aside_and_no_other() {
    let (_directory, set) = two_farms();
    let farms = set.open();
    let mut changes = set.changes();
    set.failed(&farms[0], Some(7), &io_error(io::ErrorKind::StorageFull));
    set.failed(&farms[0], Some(7), &FarmError::SectorBusy { sector_index: 7 });
    set.failed(&farms[0], Some(7), &io_error(io::ErrorKind::PermissionDenied));
    assert_eq!(set.open().len(), 2);
    assert!(!changes.has_changed().expect("alive"));

    set.failed(&farms[0], Some(7), &io_error(io::ErrorKind::ReadOnlyFilesystem));
    assert!(changes.has_changed().expect("alive"));
    changes.mark_unchanged();
    set.failed(&farms[0], Some(7), &io_error(io::ErrorKind::ReadOnlyFilesystem));
    assert!(!changes.has_changed().expect("alive"), "told once");
    assert_eq!(set.open().len(), 1);
    assert!(set.find(&farms[0].public_key()).is_none());
    assert!(set.find(&farms[1].public_key()).is_some());
    let aside = set.set_aside();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].directory.ends_with("one"));
    assert!(
        aside[0].reason.contains("/mnt/nvme0/plot.bin"),
        "{}",
        aside[0].reason
    );
    assert!(aside[0].reason.contains("sector 7"), "{}", aside[0].reason);
    // Its last block can still be signed.
    assert!(set.identity(&farms[0].public_key()).is_some());
    assert_eq!(set.public_keys().len(), 2);
}

#[test]
fn one_bad_sector_is_named_and_most_sectors_for_three_audits_set_the_farm_aside() {
    let (_directory, set) = two_farms();
    let farm = set.open().remove(0);
    for _ in 0..10 {
        set.audited(&farm, 4, &[unreadable(1), unreadable(2)]);
    }
    assert_eq!(set.open().len(), 2, "half of them can be read");
    let most = [unreadable(0), unreadable(1), unreadable(2)];
    set.audited(&farm, 4, &most);
    set.audited(&farm, 4, &most);
    set.audited(&farm, 4, &[]);
    set.audited(&farm, 4, &most);
    set.audited(&farm, 4, &most);
    assert_eq!(set.open().len(), 2, "not in a row");
    set.audited(&farm, 4, &most);
    assert_eq!(set.open().len(), 1);
    assert!(set.set_aside()[0].reason.contains("3 of 4 sectors"));
}

#[test]
fn a_farm_comes_back_once_nobody_uses_the_old_one_and_only_as_itself() {
    let (directory, set) = two_farms();
    let farm = set.open().remove(0);
    let key = farm.public_key();
    set.failed(&farm, None, &io_error(io::ErrorKind::NotFound));
    let place = &set.places[0];
    assert!(!place.begin_attempt(Instant::now()), "not at once");
    let later = Instant::now() + Duration::from_secs(3600);
    assert!(place.begin_attempt(later));
    assert!(!place.begin_attempt(later), "one attempt at a time");
    set.attempt(0);
    assert_eq!(set.open().len(), 1);
    assert!(set.set_aside()[0].reason.contains("have not returned"));
    drop(farm);

    // Its disk is away, and what is below the mount point is another one's.
    let home = directory.path().join("one");
    fs::rename(&home, directory.path().join("kept")).expect("moved");
    fs::create_dir(&home).expect("made");
    set.attempt(0);
    assert!(set.set_aside()[0].reason.contains("is its disk mounted"));
    assert_eq!(fs::read_dir(&home).expect("there").count(), 0, "no farm is made");
    fs::remove_dir(&home).expect("empty");
    fs::rename(directory.path().join("kept"), &home).expect("moved");
    let mut changes = set.changes();
    set.attempt(0);
    assert!(set.set_aside().is_empty());
    assert_eq!(set.find(&key).expect("back").directory(), home);
    assert!(changes.has_changed().expect("alive"));
    changes.mark_unchanged();
}

#[test]
fn a_farm_that_was_never_seen_must_not_be_the_twin_of_another() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (one, two) = (
        options(&directory.path().join("one")),
        options(&directory.path().join("two")),
    );
    let farm = Arc::new(Farm::open(&one).expect("made"));
    let set = FarmSet::new(
        vec![
            (one, Ok(farm)),
            (two, Err("the disk does not answer".to_string())),
        ],
        None,
    );
    assert_eq!((set.open().len(), set.public_keys().len()), (1, 1));
    let (from, to) = (directory.path().join("one"), directory.path().join("two"));
    fs::create_dir(&to).expect("made");
    fs::copy(from.join("identity.bin"), to.join("identity.bin")).expect("copied");
    set.attempt(1);
    assert!(
        set.set_aside()[0].reason.contains("same identity.bin"),
        "{:?}",
        set.set_aside()
    );
    assert!(!to.join("single_disk_farm.json").exists(), "nothing was made");
    fs::remove_file(to.join("identity.bin")).expect("removed");
    set.attempt(1);
    assert_eq!(set.open().len(), 2, "{:?}", set.set_aside());
}

//! What is left of a spool after restarts, stops at every step, and full or broken disks.

use super::writing::Step;
use super::*;
use std::io;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::pieces::{NUM_CHUNKS, Piece, RecordCommitment, RecordWitness};
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::{EncodedSector, assemble_sector, encode_record};
use subspace_farmer_components::sector::RecordMetadata;
use subspace_proof_of_space::FastTestProofOfSpace;

const KEY: SectorKey = SectorKey {
    public_key: [3; 32],
    sector_index: 7,
    history_size: 2,
};

static POOL: LazyLock<rayon::ThreadPool> = LazyLock::new(|| {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("threads")
});

/// The records of a small sector; `seed` makes different ones of the same size.
fn records(seed: u8) -> EncodedRecords {
    let chunks = vec![[seed & 0x3f; 32]; NUM_CHUNKS];
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).expect("not zero")).expect("fits");
    let encoded = encode_record(
        &chunks,
        &[seed; 32].into(),
        &FastTestProofOfSpace,
        &erasure_coding,
    )
    .expect("valid");
    let piece = Piece::from_parts(
        chunks.as_flattened(),
        &RecordCommitment::from([seed; 48]),
        &RecordWitness::from([9; 48]),
    )
    .expect("whole");
    let metadata = RecordMetadata::of_piece(&piece);
    EncodedRecords::new(7, HistorySize::ONE, vec![encoded], vec![metadata]).expect("one of each")
}

static FIRST: LazyLock<EncodedRecords> = LazyLock::new(|| records(1));
static SECOND: LazyLock<EncodedRecords> = LazyLock::new(|| records(2));

fn bytes(records: &EncodedRecords) -> Vec<u8> {
    let mut sector = Vec::new();
    let written = records.write_sector(&POOL, |part| {
        sector.extend_from_slice(part);
        Ok::<_, io::Error>(())
    });
    written.expect("nothing fails");
    sector
}

fn open(directory: &Path) -> Spool {
    Spool::open(directory, Space::new(directory, None)).expect("opens")
}

fn store_until(
    spool: &Spool,
    records: &EncodedRecords,
    after: &dyn Fn(Step) -> Result<(), StoreError>,
) -> Result<SpooledSector, StoreError> {
    let writing = Writing {
        pool: &POOL,
        abandoned: &AtomicBool::new(false),
        progress: &|_| {},
        after,
    };
    spool.store(KEY, records, &writing)
}

fn store(spool: &Spool, records: &EncodedRecords) -> SpooledSector {
    store_until(spool, records, &|_| Ok(())).expect("stored")
}

/// What the spool gives to the farm.
fn served(spool: &Spool) -> Vec<u8> {
    use autonomys_transfer::OpenSector;
    let file = spool.open_sector(&KEY).expect("there");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let length = usize::try_from(file.len()).expect("small");
    runtime.block_on(file.read(0, length)).expect("readable").to_vec()
}

fn files(spool: &Spool) -> Vec<String> {
    let entries = fs::read_dir(&spool.directory).expect("readable");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn a_stored_sector_survives_a_restart_and_is_served_by_ranges() {
    use autonomys_transfer::OpenSector;
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    let stored = store(&spool, &FIRST);
    assert_eq!(
        stored.checksum(),
        subspace_core_primitives::hashes::blake3_hash(&bytes(&FIRST))
    );
    let second = Spool::open(directory.path(), Space::new(directory.path(), None));
    assert!(second.is_err_and(|error| error.to_string().contains("in use")));
    drop(spool);

    let spool = open(directory.path());
    let sectors = spool.sectors();
    assert_eq!(sectors.len(), 1);
    assert_eq!((sectors[0].key(), sectors[0].job_id().sector_index), (KEY, 7));
    assert_eq!(sectors[0].description, stored.description);
    assert!(served(&spool) == bytes(&FIRST));
    let file = spool.open_sector(&KEY).expect("there");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let range = runtime.block_on(file.read(1000, 50)).expect("readable");
    assert_eq!(range[..], bytes(&FIRST)[1000..1050]);
    assert_eq!(
        sectors[0]
            .delivery
            .status(String::new(), &Default::default())
            .done,
        FIRST.sector_size()
    );

    spool.remove(&KEY).expect("removed");
    spool.remove(&KEY).expect("removing twice is fine");
    assert!(spool.open_sector(&KEY).is_err());
    assert_eq!(files(&spool), [""; 0]);
}

/// A stop after every step, first with nothing there before and then with an older sector of the same key and length.
#[test]
fn a_stop_at_any_moment_leaves_the_old_sector_or_the_new_one() {
    let steps = {
        let directory = tempfile::tempdir().expect("temporary directory");
        let done = Mutex::new(Vec::new());
        let note = |step| {
            done.lock().push(step);
            Ok(())
        };
        store_until(&open(directory.path()), &FIRST, &note).expect("stored");
        done.into_inner()
    };
    assert!(
        steps.len() > 15 && steps.last() == Some(&Step::DirectorySynced),
        "{steps:?}"
    );
    let named = steps
        .iter()
        .position(|step| *step == Step::Renamed)
        .expect("it is");
    // Of the parts, which are all alike, the first, one in the middle and the last.
    let stops = (0..steps.len()).filter(|&stop| steps[stop] != Step::Part || stop % 9 == 1);
    for (stop, older) in stops.flat_map(|stop| [(stop, false), (stop, true)]) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let spool = open(directory.path());
        if older {
            store(&spool, &FIRST);
        }
        // Like a power failure: nothing is tidied up, as it would be after an error.
        let place = Place {
            directory: &spool.directory,
            key: KEY,
            number: 77,
        };
        let count = std::cell::Cell::new(0);
        let writing = Writing {
            pool: &POOL,
            abandoned: &AtomicBool::new(false),
            progress: &|_| {},
            after: &|_| {
                count.set(count.get() + 1);
                if count.get() > stop {
                    Err(StoreError::Abandoned)
                } else {
                    Ok(())
                }
            },
        };
        write_sector(&place, &SECOND, &writing).expect_err("stopped");
        drop(spool);

        let spool = open(directory.path());
        let at = format!("after step {stop}, {:?}, older: {older}", steps[stop]);
        match spool.get(&KEY) {
            None => assert!(!older && stop < named, "{at}"),
            Some(_) if stop < named => assert!(older && served(&spool) == bytes(&FIRST), "{at}"),
            Some(_) => assert!(served(&spool) == bytes(&SECOND), "{at}"),
        }
        let expected = 2 * usize::from(older || stop >= named);
        assert_eq!(files(&spool).len(), expected, "{at}: {:?}", files(&spool));
        // And it goes on from there.
        store(&spool, &SECOND);
        assert!(served(&spool) == bytes(&SECOND), "{at}");
        assert_eq!(files(&spool).len(), 2, "{at}");
    }
}

#[test]
fn what_fails_is_tidied_up_and_can_be_tried_again() {
    let failures: [(Step, fn() -> StoreError); 4] = [
        (Step::Made, full),
        (Step::Part, full),
        (Step::Synced, broken),
        (Step::Described, full),
    ];
    fn full() -> StoreError {
        StoreError::Full { path: "x".into() }
    }
    fn broken() -> StoreError {
        StoreError::Disk {
            action: "sync",
            path: "x".into(),
            source: io::Error::from_raw_os_error(nix::libc::EIO),
        }
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    for older in [false, true] {
        for (fails_at, error) in failures {
            let fail = |step| if step == fails_at { Err(error()) } else { Ok(()) };
            store_until(&spool, &SECOND, &fail).expect_err("failed");
            assert_eq!(files(&spool).len(), 2 * usize::from(older), "{fails_at:?}");
            assert_eq!(spool.get(&KEY).is_some(), older);
        }
        if !older {
            store(&spool, &FIRST);
        }
        assert!(served(&spool) == bytes(&FIRST));
    }
    store(&spool, &SECOND);
    assert!(served(&spool) == bytes(&SECOND));
}

#[test]
fn a_read_only_or_missing_directory_is_named() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    spool.probe().expect("it works");
    fs::remove_dir_all(directory.path()).expect("removed");
    let error = store_until(&spool, &FIRST, &|_| Ok(())).expect_err("gone");
    assert!(error.to_string().starts_with("cannot create "), "{error}");
    assert!(spool.probe().is_err());
    fs::create_dir_all(&spool.directory).expect("made");
    spool.probe().expect("it works again");
    store(&spool, &FIRST);
    assert!(served(&spool) == bytes(&FIRST));
}

#[test]
fn writing_stops_when_told_to() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    let abandoned = AtomicBool::new(false);
    let writing = Writing {
        pool: &POOL,
        abandoned: &abandoned,
        progress: &|_| abandoned.store(true, Ordering::Relaxed),
        after: &|_| Ok(()),
    };
    let error = spool.store(KEY, &FIRST, &writing).expect_err("stopped");
    assert!(matches!(error, StoreError::Abandoned));
    assert_eq!(files(&spool), [""; 0]);
}

#[test]
fn a_damaged_description_is_not_followed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    let place = store(&spool, &FIRST);
    let place = place.place(&spool.directory);
    let (sector, done) = (place.sector(), place.description());
    drop(spool);
    let (good, whole) = (fs::read(&done).expect("there"), bytes(&FIRST));
    let unusable = |what: &str| {
        let spool = open(directory.path());
        assert!(spool.sectors().is_empty(), "{what}");
        assert_eq!(files(&spool), [""; 0], "{what}");
    };
    // Every place where a crash or a bad disk could have cut or changed it.
    for damage in [0, 1, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[damage] ^= 1;
        for bad in [bad, good[..damage].to_vec()] {
            fs::write(&done, &bad).expect("written");
            fs::write(&sector, &whole).expect("written");
            unusable(&format!("byte {damage}"));
        }
    }
    fs::write(&done, &good).expect("written");
    fs::write(&sector, &whole[1..]).expect("written");
    unusable("too short");
    fs::write(done.with_file_name("other.done"), &good).expect("written");
    fs::write(&sector, &whole).expect("written");
    unusable("under another name");
}

#[test]
fn only_the_sector_that_was_looked_at_is_discarded() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    let old = store(&spool, &FIRST);
    let changes = spool.changes();
    let new = store(&spool, &FIRST);
    assert!(changes.has_changed().expect("open"));
    spool.discard(&old).expect("left alone");
    assert!(spool.get(&KEY).is_some() && served(&spool) == bytes(&FIRST));
    spool.discard(&new).expect("removed");
    assert!(spool.get(&KEY).is_none());
    assert_eq!(files(&spool), [""; 0]);
}

/// What is written part by part is what is put together in memory.
#[test]
fn the_file_is_the_sector() {
    let (encoded, metadata) = {
        let chunks = vec![[5; 32]; NUM_CHUNKS];
        let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).expect("not zero")).expect("fits");
        let encoded =
            encode_record(&chunks, &[5; 32].into(), &FastTestProofOfSpace, &erasure_coding).expect("valid");
        let piece = Piece::from_parts(
            chunks.as_flattened(),
            &RecordCommitment::from([5; 48]),
            &RecordWitness::from([9; 48]),
        );
        (encoded, RecordMetadata::of_piece(&piece.expect("whole")))
    };
    let EncodedSector {
        sector,
        metadata: of_sector,
    } = assemble_sector(
        7,
        HistorySize::ONE,
        vec![encoded.clone()],
        std::slice::from_ref(&metadata),
        &POOL,
    )
    .expect("one of each");
    let records =
        EncodedRecords::new(7, HistorySize::ONE, vec![encoded], vec![metadata]).expect("one of each");
    let directory = tempfile::tempdir().expect("temporary directory");
    let spool = open(directory.path());
    let stored = store(&spool, &records);
    assert!(served(&spool) == sector);
    assert_eq!(stored.metadata(), of_sector.encode());
}

//! Farms made, opened again, filled and refused; sectors here are made of random pieces with the fast test proof of space.

mod engines;

use super::*;
use crate::allocation::{metadata_file_size, plot_file_size, target_sector_count};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{NUM_CHUNKS, NUM_S_BUCKETS};
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::sector::{SectorMetadata, SectorMetadataChecksummed, sector_size};

const PIECES: u16 = 1;

pub(super) fn options(directory: &Path, sectors: u16) -> FarmOptions {
    FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(sectors),
        genesis_hash: Blake3Hash::from([1; 32]),
        pieces_in_sector: PIECES,
    }
}

/// Bytes with a right checksum at the end and metadata that fits; the farm cannot tell them from a plotted sector.
pub(super) fn sector(sector_index: u16, seed: u8) -> (Vec<u8>, SectorMetadataChecksummed) {
    let mut bytes = vec![0; sector_size(PIECES)];
    let content = bytes.len() - Blake3Hash::SIZE;
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes[..content]);
    let checksum = blake3_hash(&bytes[..content]);
    bytes[content..].copy_from_slice(checksum.as_ref());
    let mut s_bucket_sizes = vec![0; NUM_S_BUCKETS];
    s_bucket_sizes[..NUM_CHUNKS].fill(1);
    let metadata = SectorMetadata {
        sector_index,
        pieces_in_sector: PIECES,
        s_bucket_sizes: s_bucket_sizes
            .into_boxed_slice()
            .try_into()
            .expect("as many as s-buckets"),
        history_size: HistorySize::ONE,
    };
    (
        bytes,
        subspace_core_primitives::checksum::Blake3Checksummed(metadata),
    )
}

pub(super) fn write(farm: &Arc<Farm>, sector_index: u16, seed: u8) {
    let (bytes, metadata) = sector(sector_index, seed);
    let mut writer = farm.write_sector(sector_index).expect("free");
    for (number, range) in bytes.chunks(100_000).enumerate() {
        writer.write(number as u64 * 100_000, range).expect("written");
    }
    writer.commit(metadata).expect("committed");
}

#[test]
fn a_farm_keeps_its_sectors_and_its_identity() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("new/farm/");
    let farm = Arc::new(Farm::open(&options(&path, 3)).expect("made"));
    let key = farm.public_key();
    assert_eq!(farm.missing_sectors(), [0, 1, 2]);
    write(&farm, 2, 7);
    assert_eq!(farm.missing_sectors(), [0, 1]);
    assert!(matches!(
        Farm::open(&options(&path, 3)),
        Err(FarmError::InUse { .. })
    ));
    drop(farm);

    let farm = Farm::open(&options(&path, 4)).expect("opened with more room");
    assert_eq!(farm.public_key(), key);
    assert_eq!(farm.missing_sectors(), [0, 1, 3]);
    assert_eq!(farm.plotted_sectors().len(), 1);
    assert!(farm.sector_is_intact(2).expect("readable"));
    let allocated = farm.info().allocated_space;
    assert_eq!(
        target_sector_count(allocated, PIECES, crate::allocation::CACHE_PERCENTAGE),
        4
    );
    let sizes: u64 = ["plot.bin", "metadata.bin"]
        .iter()
        .map(|name| std::fs::metadata(path.join(name)).expect("there").len())
        .sum();
    assert_eq!(sizes, plot_file_size(4, PIECES) + metadata_file_size(4));
    assert_eq!(farm.unreserved_bytes(), 0, "blocks are reserved");
    assert!(farm.free_bytes() > 0);
}

#[test]
fn farms_of_something_else_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 2)).expect("made"));
    write(&farm, 1, 1);
    drop(farm);
    let before = std::fs::read(directory.path().join("single_disk_farm.json")).expect("there");
    let good = options(directory.path(), 2);
    let error = |options: FarmOptions| Farm::open(&options).expect_err("refused").to_string();

    let message = error(FarmOptions {
        genesis_hash: Blake3Hash::from([2; 32]),
        ..good.clone()
    });
    assert!(message.contains("genesis"), "{message}");
    let message = error(FarmOptions {
        pieces_in_sector: 2,
        ..good.clone()
    });
    assert!(message.contains("pieces a sector"), "{message}");
    let message = error(FarmOptions {
        space: SpaceRequest::Sectors(1),
        ..good.clone()
    });
    assert!(message.contains("sectors=2"), "{message}");
    let message = error(FarmOptions {
        space: SpaceRequest::Bytes(1_000_000),
        ..good.clone()
    });
    assert!(message.contains("does not hold one sector"), "{message}");

    std::fs::rename(
        directory.path().join("identity.bin"),
        directory.path().join("kept"),
    )
    .expect("moved");
    let message = error(good.clone());
    assert!(message.contains("identity.bin"), "{message}");
    Identity::generate()
        .expect("entropy")
        .store(directory.path())
        .expect("written");
    let message = error(good.clone());
    assert!(message.contains("identity.bin"), "{message}");
    std::fs::rename(
        directory.path().join("kept"),
        directory.path().join("identity.bin"),
    )
    .expect("moved");

    assert_eq!(
        std::fs::read(directory.path().join("single_disk_farm.json")).expect("there"),
        before
    );
    assert_eq!(Farm::open(&good).expect("untouched").plotted_sectors().len(), 1);
}

#[test]
fn a_check_says_what_opening_would_say_and_makes_nothing() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("to/be/made");
    let check = Farm::check(&options(&path, 3)).expect("possible");
    assert_eq!(check.public_key, None);
    assert_eq!(check.needed, plot_file_size(3, PIECES) + metadata_file_size(3));
    assert!(check.free > check.needed);
    assert!(!directory.path().join("to").exists());

    let farm = Arc::new(Farm::open(&options(&path, 3)).expect("made"));
    assert!(matches!(
        Farm::check(&options(&path, 3)),
        Err(FarmError::InUse { .. })
    ));
    let key = farm.public_key();
    write(&farm, 2, 1);
    drop(farm);
    let check = Farm::check(&options(&path, 3)).expect("possible");
    assert_eq!((check.public_key, check.needed), (Some(key), 0));
    let error = Farm::check(&options(&path, 2)).expect_err("it would lose a sector");
    assert!(matches!(error, FarmError::WouldShrink { .. }) && !error.is_the_disks());
    let other_chain = FarmOptions {
        genesis_hash: Blake3Hash::from([9; 32]),
        ..options(&path, 3)
    };
    let error = Farm::check(&other_chain).expect_err("another chain's");
    assert!(matches!(error, FarmError::WrongGenesis { .. }) && !error.is_the_disks());
    std::fs::write(path.join("metadata.bin"), b"short").expect("written");
    assert!(
        Farm::check(&options(&path, 3))
            .expect_err("damaged")
            .is_the_disks()
    );

    // Opening again never makes a farm, nor takes another one for it.
    let other = Farm::open(&options(&directory.path().join("other"), 1)).expect("made");
    drop(other);
    for place in ["other", "nowhere"] {
        let error = Farm::reopen(&options(&directory.path().join(place), 1), key).expect_err("not there");
        assert!(matches!(error, FarmError::Gone { .. }), "{error}");
    }
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn more_sectors_than_fit_are_refused_with_the_number_that_fits() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("farm");
    let full_size = FarmOptions {
        pieces_in_sector: 1000,
        ..options(&path, 65_000)
    };
    let message = Farm::open(&full_size)
        .expect_err("65 000 GB do not fit")
        .to_string();
    assert!(message.contains("sectors fit"), "{message}");
    assert!(!path.join("plot.bin").exists(), "nothing was written");
    assert!(!path.join("identity.bin").exists(), "nothing was written");
    assert!(
        !path.join("single_disk_farm.json").exists(),
        "not even the lock file stays"
    );
}

#[test]
fn a_sector_that_does_not_verify_is_not_taken() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 2)).expect("made"));
    let (mut bytes, metadata) = sector(0, 3);
    bytes[12_345] ^= 1;
    let mut writer = farm.write_sector(0).expect("free");
    writer.write(0, &bytes).expect("written");
    assert!(matches!(
        writer.commit(metadata),
        Err(FarmError::SectorChecksum { sector_index: 0 })
    ));
    assert_eq!(farm.missing_sectors(), [0, 1]);

    let (_, metadata) = sector(1, 3);
    let writer = farm.write_sector(0).expect("free again");
    assert!(matches!(
        writer.commit(metadata),
        Err(FarmError::SectorMetadata { .. })
    ));
    let mut writer = farm.write_sector(0).expect("free");
    let beyond = farm.sector_size();
    assert!(matches!(
        writer.write(beyond, &[0]),
        Err(FarmError::OutsideSector { .. })
    ));
    assert!(matches!(
        farm.write_sector(2),
        Err(FarmError::NoSuchSector { .. })
    ));
}

#[test]
fn an_old_sector_is_audited_until_the_first_new_byte_and_a_crash_after_it_means_plotting_again() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 1)).expect("made"));
    write(&farm, 0, 1);

    let writer = farm.write_sector(0).expect("free");
    assert_eq!(farm.plotted_sectors().len(), 1);
    drop(writer);
    assert_eq!(
        farm.plotted_sectors().len(),
        1,
        "nothing was written, nothing is lost"
    );

    let mut writer = farm.write_sector(0).expect("free");
    writer.write(0, &[9; 100]).expect("written");
    assert!(farm.plotted_sectors().is_empty());
    assert!(matches!(farm.write_sector(0), Err(FarmError::SectorBusy { .. })));
    // As after kill -9: neither commit nor drop runs.
    std::mem::forget(writer);
    let farm = Arc::into_inner(farm);
    drop(farm);
    let metadata = MetadataFile::open(directory.path(), 1, false).expect("readable");
    assert!(
        metadata.record(0).expect("readable").is_none(),
        "the record no longer speaks of the old bytes"
    );
    assert_eq!(metadata.header().expect("readable").plotted_sector_count, 1);
}

#[test]
fn of_two_writers_of_a_sector_the_second_waits_and_a_late_one_replaces_what_the_other_committed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 1)).expect("made"));
    let mut late = farm.write_sector(0).expect("free");
    let mut second = farm.write_sector(0).expect("nothing is written yet");
    let (bytes, metadata) = sector(0, 4);
    let mut first = farm.write_sector(0).expect("nothing is written yet");
    first.write(0, &bytes).expect("written");
    for _ in 0..2 {
        assert!(matches!(second.write(0, &[1]), Err(FarmError::SectorBusy { .. })));
    }
    drop(second);
    first.commit(metadata).expect("untouched by the second");
    assert_eq!(farm.plotted_sectors().len(), 1);

    late.write(0, &[9; 100]).expect("written");
    assert!(
        farm.metadata.record(0).expect("readable").is_none(),
        "the committed record is invalid before its bytes change"
    );
    drop(late);
    assert_eq!(farm.missing_sectors(), [0]);
}

#[test]
fn an_empty_record_means_plotting_the_sector() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Farm::open(&options(directory.path(), 2)).expect("made");
    let placeholder = subspace_farmer_components::sector::placeholder_metadata(0, PIECES);
    let record = subspace_core_primitives::checksum::Blake3Checksummed(placeholder);
    farm.metadata.commit(0, &record).expect("written");
    drop(farm);
    let farm = Farm::open(&options(directory.path(), 2)).expect("opened");
    assert_eq!(farm.missing_sectors(), [0, 1]);
}

/// Two sectors of one farm are often finished at the same moment: the header has to cover both.
#[test]
fn sectors_committed_side_by_side_all_stay() {
    const THREADS: u16 = 8;
    let directory = tempfile::tempdir().expect("temporary directory");
    for round in 0..8 {
        let path = directory.path().join(round.to_string());
        std::fs::create_dir(&path).expect("made");
        let file = MetadataFile::open(&path, THREADS, true).expect("made");
        let together = std::sync::Barrier::new(usize::from(THREADS));
        std::thread::scope(|scope| {
            for sector_index in 0..THREADS {
                let (file, together) = (&file, &together);
                scope.spawn(move || {
                    let (_, metadata) = sector(sector_index, 1);
                    together.wait();
                    file.commit(sector_index, &metadata).expect("committed");
                });
            }
        });
        assert_eq!(file.header().expect("readable").plotted_sector_count, THREADS);
    }
}

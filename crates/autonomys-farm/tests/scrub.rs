//! What a scrub finds in a farm, while it is used and while it is not, and what a repair leaves alone.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_farm::metadata_file::RESERVED_METADATA;
use autonomys_farm::scrub::{FarmScrub, SectorDamage, SectorVerdict};
use autonomys_farm::{Farm, FarmError, FarmOptions, SectorOrigin, SpaceRequest};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{NUM_CHUNKS, NUM_S_BUCKETS};
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::sector::{SectorMetadata, SectorMetadataChecksummed, sector_size};

const SECTORS: u16 = 5;

fn options(directory: &Path) -> FarmOptions {
    FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(SECTORS),
        genesis_hash: Blake3Hash::from([1; 32]),
        pieces_in_sector: 1,
    }
}

/// A farm of five sectors, of which the third is not plotted; the farm cannot tell them from real ones.
fn farm(directory: &Path) -> Arc<Farm> {
    let farm = Arc::new(Farm::open(&options(directory)).unwrap());
    for index in [0, 1, 3, 4] {
        let mut bytes = vec![index as u8; sector_size(1)];
        let content = bytes.len() - Blake3Hash::SIZE;
        let checksum = blake3_hash(&bytes[..content]);
        bytes[content..].copy_from_slice(checksum.as_ref());
        let mut s_bucket_sizes = vec![0; NUM_S_BUCKETS];
        s_bucket_sizes[..NUM_CHUNKS].fill(1);
        let metadata = Blake3Checksummed(SectorMetadata {
            sector_index: index,
            pieces_in_sector: 1,
            s_bucket_sizes: s_bucket_sizes.into_boxed_slice().try_into().unwrap(),
            history_size: HistorySize::ONE,
        });
        let mut writer = farm.write_sector(index).unwrap();
        writer.write(0, &bytes).unwrap();
        writer.commit(metadata).unwrap();
    }
    farm
}

fn verdicts(scrub: &FarmScrub) -> Vec<SectorVerdict> {
    (0..scrub.sectors())
        .map(|sector| scrub.check(sector, &mut |_| {}))
        .collect()
}

#[test]
fn damage_is_named_and_repairing_it_touches_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let open = farm(directory.path());
    let intact = [
        SectorVerdict::Intact,
        SectorVerdict::Intact,
        SectorVerdict::Missing,
        SectorVerdict::Intact,
        SectorVerdict::Intact,
    ];
    // Looking goes while the farm is used, repairing does not.
    assert_eq!(
        verdicts(&FarmScrub::open(directory.path(), false).unwrap()),
        intact
    );
    let error = FarmScrub::open(directory.path(), true).unwrap_err();
    assert!(matches!(error, FarmError::InUse { .. }), "{error}");
    drop(open);

    let file = |name: &str| {
        let path = directory.path().join(name);
        File::options().read(true).write(true).open(path).unwrap()
    };
    let (plot, metadata) = (file("plot.bin"), file("metadata.bin"));
    let size = sector_size(1) as u64;
    // The first byte of a sector that shares its first block with another one, and the last byte of its checksum.
    plot.write_all_at(&[77], size).unwrap();
    plot.write_all_at(&[!4], 5 * size - 1).unwrap();
    let record = |index: u64| RESERVED_METADATA + index * SectorMetadataChecksummed::ENCODED_SIZE as u64;
    metadata.write_all_at(&[1, 2, 3], record(3) + 1000).unwrap();
    let mut of_another = vec![0; SectorMetadataChecksummed::ENCODED_SIZE];
    metadata.read_exact_at(&mut of_another, record(1)).unwrap();
    metadata.write_all_at(&of_another, record(0)).unwrap();
    let damaged = |damage| SectorVerdict::Damaged(damage);
    let expected = [
        damaged(SectorDamage::OtherSector),
        damaged(SectorDamage::Checksum),
        SectorVerdict::Missing,
        damaged(SectorDamage::Metadata),
        damaged(SectorDamage::Checksum),
    ];
    let look = FarmScrub::open(directory.path(), false).unwrap();
    assert_eq!(verdicts(&look), expected);
    assert!(matches!(look.mark_missing(1), Err(FarmError::InUse { .. })));

    let before = fs::read(directory.path().join("plot.bin")).unwrap();
    let header =
        fs::read(directory.path().join("metadata.bin")).unwrap()[..RESERVED_METADATA as usize].to_vec();
    let repair = FarmScrub::open(directory.path(), true).unwrap();
    for index in [1, 4] {
        repair.mark_missing(index).unwrap();
    }
    assert!(
        matches!(
            Farm::open(&options(directory.path())),
            Err(FarmError::InUse { .. })
        ),
        "no plot-client comes in between"
    );
    drop(repair);
    assert!(fs::read(directory.path().join("plot.bin")).unwrap() == before);
    let after = fs::read(directory.path().join("metadata.bin")).unwrap();
    assert!(after[..RESERVED_METADATA as usize] == header);
    let farm = Farm::open(&options(directory.path())).unwrap();
    assert_eq!(farm.missing_sectors(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_sector_that_is_plotted_again_meanwhile_is_not_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let farm = farm(directory.path());
    let scrub = FarmScrub::open(directory.path(), false).unwrap();
    let mut writer = None;
    let verdict = scrub.check(1, &mut |_| {
        if writer.is_none() {
            // Between its first part and its second: the record goes first, then bytes change, and that is remembered, hence done.
            let mut begun = farm.write_sector(1).unwrap();
            let origin = SectorOrigin {
                history_size: HistorySize::ONE,
                checksum: Blake3Hash::from([3; 32]),
            };
            begun.resume(origin).unwrap();
            begun.write(0, &vec![9; sector_size(1)]).unwrap();
            writer = Some(begun);
        }
    });
    assert_eq!(verdict, SectorVerdict::Changed);
    assert_eq!(scrub.check(1, &mut |_| {}), SectorVerdict::Missing);

    let error = FarmScrub::open(&directory.path().join("nowhere"), false).unwrap_err();
    assert!(matches!(error, FarmError::NoFarm { .. }), "{error}");
}

//! A restart reads the metadata of a farm once and nothing of its plot. Alone in its binary: what the process reads is counted.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_farm::metadata_file::{MetadataHeader, RESERVED_METADATA};
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use parity_scale_codec::Encode;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{NUM_CHUNKS, NUM_S_BUCKETS};
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::sector::{SectorMetadata, SectorMetadataChecksummed};

/// Enough that one page of each sector's plot would show.
const SECTORS: u16 = 200;
/// Everything else: description, identity, header, what the system tells of itself, one block of the plot.
const OTHERS: u64 = 64 * 1024;

/// Bytes that this process has read so far, from whatever file.
fn read_so_far() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap();
    let line = counters.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_restart_reads_metadata_only() {
    let directory = tempfile::tempdir().unwrap();
    let options = FarmOptions {
        directory: directory.path().to_path_buf(),
        space: SpaceRequest::Sectors(SECTORS),
        genesis_hash: Blake3Hash::from([1; 32]),
        pieces_in_sector: 1,
    };
    drop(Farm::open(&options).unwrap());
    let metadata = File::options()
        .write(true)
        .open(directory.path().join("metadata.bin"))
        .unwrap();
    let mut s_bucket_sizes = vec![0; NUM_S_BUCKETS];
    s_bucket_sizes[..NUM_CHUNKS].fill(1);
    let s_bucket_sizes: Box<[u16; NUM_S_BUCKETS]> = s_bucket_sizes.into_boxed_slice().try_into().unwrap();
    let record_size = SectorMetadataChecksummed::ENCODED_SIZE as u64;
    for sector_index in 0..SECTORS {
        let record = Blake3Checksummed(SectorMetadata {
            sector_index,
            pieces_in_sector: 1,
            s_bucket_sizes: s_bucket_sizes.clone(),
            history_size: HistorySize::ONE,
        });
        let place = RESERVED_METADATA + u64::from(sector_index) * record_size;
        metadata.write_all_at(&record.encode(), place).unwrap();
    }
    let header = MetadataHeader {
        version: 0,
        plotted_sector_count: SECTORS,
    };
    metadata.write_all_at(&header.encode(), 0).unwrap();

    let before = read_so_far();
    let farm = Farm::open(&options).unwrap();
    let read = read_so_far() - before;
    assert_eq!(farm.plotted_sectors().len(), usize::from(SECTORS));
    let records = u64::from(SECTORS) * record_size;
    assert!(
        (records..records + OTHERS).contains(&read),
        "{read} bytes were read, of which {records} are records"
    );
}

//! Sectors made up for a benchmark, in a directory that vanishes with it.

use anyhow::{Context, Result};
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::{SectorToEncode, encode_sector};
use subspace_farmer_components::sector::{
    CHUNK_SIZE, LoadedSector, NUM_CHUNKS, NUM_S_BUCKETS, SectorMetadata, sector_size,
};
use subspace_proof_of_space::ProofOfSpace;
use tempfile::TempDir;

/// Different pieces in a sector; more would only make it longer to begin.
const DISTINCT_PIECES: u16 = 4;

/// A plot whose sectors have everything but contents: the file is all hole, so it takes no space, and audits read zeros.
pub(super) struct HollowPlot {
    pub(super) file: File,
    pub(super) sectors: Vec<LoadedSector>,
}

impl HollowPlot {
    /// Makes it in `directory`.
    pub(super) fn new(directory: &Path, sectors: u16, pieces_in_sector: u16) -> Result<Self> {
        let file = tempfile::tempfile_in(directory)
            .with_context(|| format!("cannot make a file in {}", directory.display()))?;
        let size = u64::from(sectors) * sector_size(pieces_in_sector) as u64;
        file.set_len(size)
            .with_context(|| format!("cannot make a hollow file of {size} bytes; ask for fewer sectors"))?;
        let sizes = s_bucket_sizes(pieces_in_sector);
        let public_key_hash = blake3_hash(b"benchmark");
        let sectors = (0..sectors)
            .map(|sector_index| {
                let metadata = SectorMetadata {
                    sector_index,
                    pieces_in_sector,
                    s_bucket_sizes: sizes.clone(),
                    history_size: HistorySize::ONE,
                };
                LoadedSector::new(&public_key_hash, metadata)
            })
            .collect();
        Ok(Self { file, sectors })
    }
}

/// As in real sectors: the lower four fifths hold equally much, the rest is empty.
fn s_bucket_sizes(pieces_in_sector: u16) -> Box<[u16; NUM_S_BUCKETS]> {
    /// Where records of the network's proof of space have their last chunk.
    const FILLED: usize = 52_000;
    let chunks = usize::from(pieces_in_sector) * NUM_CHUNKS;
    let mut sizes = Box::new([0; NUM_S_BUCKETS]);
    for (number, size) in sizes[..FILLED].iter_mut().enumerate() {
        // The fractions add up to all chunks.
        *size = ((number + 1) * chunks / FILLED - number * chunks / FILLED) as u16;
    }
    sizes
}

/// A farm of one sector that is really plotted, of pieces with random contents. Commitments and witnesses are made up: nothing looks at
/// them.
pub(super) struct SmallFarm {
    pub(super) farm: Arc<Farm>,
    /// Until the end of the benchmark.
    _directory: TempDir,
}

impl SmallFarm {
    /// Plots it with all threads of the pool.
    pub(super) fn plot(
        pieces_in_sector: u16,
        proof_of_space: &dyn ProofOfSpace,
        erasure_coding: &ErasureCoding,
        pool: &rayon::ThreadPool,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("autonomys-benchmark-")
            .tempdir_in(std::env::current_dir()?)
            .context(
                "cannot make a directory in the current one; run the benchmark where files can be made",
            )?;
        let farm = Arc::new(Farm::open(&FarmOptions {
            directory: directory.path().join("farm"),
            space: SpaceRequest::Sectors(1),
            genesis_hash: Blake3Hash::default(),
            pieces_in_sector,
        })?);
        let distinct = (0..DISTINCT_PIECES).map(piece).collect::<Result<Vec<_>>>()?;
        let sector = SectorToEncode {
            public_key_hash: *farm.public_key_hash(),
            sector_index: 0,
            history_size: HistorySize::ONE,
            pieces: distinct
                .into_iter()
                .cycle()
                .take(pieces_in_sector.into())
                .collect(),
        };
        let concurrency = NonZeroUsize::new(pool.current_num_threads()).context("no thread to plot with")?;
        let encoded = encode_sector(
            sector,
            proof_of_space,
            erasure_coding,
            pool,
            concurrency,
            &|_| {},
            &AtomicBool::new(false),
        )?;
        let mut writer = farm.write_sector(0)?;
        writer.write(0, &encoded.sector)?;
        writer.commit(encoded.metadata)?;
        Ok(Self {
            farm,
            _directory: directory,
        })
    }
}

fn piece(number: u16) -> Result<Piece> {
    let mut record = vec![0; NUM_CHUNKS * CHUNK_SIZE];
    let mut contents = blake3::Hasher::new();
    contents.update(&number.to_le_bytes());
    contents.finalize_xof().fill(&mut record);
    for chunk in record.as_chunks_mut::<CHUNK_SIZE>().0 {
        // So that it is a field element.
        chunk[0] = 0;
    }
    // The point at infinity, so that checking a proof takes what it always takes.
    let mut commitment = [0; 48];
    commitment[0] = 0xc0;
    let (commitment, witness) = (RecordCommitment::from(commitment), RecordWitness::from([0; 48]));
    Piece::from_parts(&record, &commitment, &witness).map_err(|error| anyhow::anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_sectors_hold_all_chunks() {
        for pieces in [1, 8, 1000] {
            let sizes = s_bucket_sizes(pieces);
            let total: usize = sizes.iter().map(|&size| usize::from(size)).sum();
            assert_eq!(total, usize::from(pieces) * NUM_CHUNKS);
            assert!(sizes.iter().all(|&size| size <= pieces));
        }
    }
}

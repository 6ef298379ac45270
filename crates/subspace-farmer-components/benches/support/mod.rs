//! Inputs of the benches: pieces with commitments and one real sector of 1000 pieces, kept in the target directory.
//!
//! Also part of the bench of `autonomys-farm`, hence some is unused in each.
#![allow(dead_code, reason = "every bench uses a part of it")]

use autonomys_test_support::bench::{kept_inputs, pool};
use autonomys_test_support::xof;
use parity_scale_codec::{Decode, Encode};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, PieceOffset, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::AuditChallenge;
use subspace_farmer_components::plotting::{EncodedSector, SectorToEncode, encode_sector};
use subspace_farmer_components::sector::{CHUNK_SIZE, LoadedSector, NUM_CHUNKS, SectorMetadataChecksummed};
use subspace_kzg::{Kzg, ReferenceString, Scalar};
use subspace_proof_of_space::ChiaProofOfSpace;

/// Pieces of a sector on the network.
pub(crate) const FULL_SECTOR: u16 = 1000;
/// Different pieces in the sector: sectors do hold duplicates, and commitments to a thousand would take a minute more.
const DISTINCT_PIECES: u16 = 16;
/// Entropy of the identity that the kept sector is plotted for.
pub(crate) const IDENTITY_ENTROPY: [u8; 32] = [7; 32];
/// The public key of that identity; the bench of `autonomys-farm` compares them.
pub(crate) const PUBLIC_KEY: [u8; 32] = [
    0xae, 0x78, 0xb8, 0x8f, 0x68, 0xf8, 0xa3, 0x39, 0x1c, 0xd7, 0xd1, 0xa8, 0x90, 0x87, 0x66, 0xe1, 0xd0,
    0x68, 0xb2, 0xc1, 0xdb, 0x62, 0x44, 0xa3, 0x73, 0xe8, 0xb6, 0x43, 0xe4, 0x9d, 0x08, 0x5f,
];

/// Commitments over tables, on the insecure development set: its points cost the same as those of the network.
pub(crate) static KZG: LazyLock<Kzg> = LazyLock::new(|| {
    let pool = pool(2);
    Kzg::new(ReferenceString::insecure_development(&pool)).with_precomputation(&pool)
});
/// Of the scale of records.
pub(crate) static ERASURE_CODING: LazyLock<ErasureCoding> = LazyLock::new(|| {
    ErasureCoding::new(NonZeroUsize::new(16).expect("is not zero")).expect("a supported scale")
});
/// The network's proof of space.
pub(crate) static PROOF_OF_SPACE: LazyLock<ChiaProofOfSpace> = LazyLock::new(ChiaProofOfSpace::new);

/// Hash of the farmer's public key.
pub(crate) fn public_key_hash() -> Blake3Hash {
    blake3_hash(&PUBLIC_KEY)
}

/// A piece with random contents and the right commitment. Its witness is made up: nothing here looks at it.
pub(crate) fn piece(number: u16) -> Piece {
    let mut record = xof(&format!("bench piece {number}"), NUM_CHUNKS * CHUNK_SIZE);
    let chunks = record.as_chunks_mut::<CHUNK_SIZE>().0;
    chunks.iter_mut().for_each(|chunk| chunk[0] = 0);
    let scalars: Vec<_> = chunks
        .iter()
        .map(|chunk| Scalar::try_from_bytes(chunk).expect("the top byte is zero"))
        .collect();
    let commitment = KZG.commit_values(&scalars).expect("as many as there are powers");
    let (commitment, witness) = (RecordCommitment::from(commitment), RecordWitness::from([0; 48]));
    Piece::from_parts(&record, &commitment, &witness).expect("parts of the right sizes")
}

/// Plots a sector on `threads` threads.
pub(crate) fn plot(pieces: Vec<Piece>, threads: usize, progress: &(dyn Fn(u16) + Sync)) -> EncodedSector {
    let sector = SectorToEncode {
        public_key_hash: public_key_hash(),
        sector_index: 0,
        history_size: HistorySize::ONE,
        pieces,
    };
    let concurrency = NonZeroUsize::new(threads).expect("is not zero");
    let (pool, cancelled) = (pool(threads), AtomicBool::new(false));
    encode_sector(
        sector,
        &*PROOF_OF_SPACE,
        &ERASURE_CODING,
        &pool,
        concurrency,
        progress,
        &cancelled,
    )
    .expect("the pieces are valid")
}

/// A plotted sector of [`FULL_SECTOR`] pieces in two files of 1 GB and 132 KB.
pub(crate) struct FullSectorFiles {
    directory: PathBuf,
}

impl FullSectorFiles {
    /// Finds it, or plots it with all processors, which takes minutes.
    pub(crate) fn get() -> Self {
        let directory = kept_inputs("sector-of-1000-pieces", |directory| {
            eprintln!(
                "plotting a sector of {FULL_SECTOR} pieces, kept in {}",
                directory.display()
            );
            let start = Instant::now();
            let distinct: Vec<_> = (0..DISTINCT_PIECES).map(piece).collect();
            let pieces = distinct.into_iter().cycle().take(FULL_SECTOR.into()).collect();
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let progress = |done: u16| {
                if done.is_multiple_of(FULL_SECTOR / 10) {
                    eprintln!("{done} of {FULL_SECTOR} pieces after {:.0?}", start.elapsed());
                }
            };
            let encoded = plot(pieces, threads, &progress);
            fs::write(directory.join("metadata"), encoded.metadata.encode()).expect("space for 132 KB");
            fs::write(Self::plot_in(directory), encoded.sector).expect("space for 1 GB");
        });
        Self { directory }
    }

    fn plot_in(directory: &Path) -> PathBuf {
        directory.join("plot.bin")
    }

    /// The sector's metadata.
    pub(crate) fn metadata(&self) -> SectorMetadataChecksummed {
        let bytes = fs::read(self.directory.join("metadata")).expect("readable");
        SectorMetadataChecksummed::decode(&mut bytes.as_slice()).expect("written by `get`")
    }

    /// What an audit needs to know of it.
    pub(crate) fn loaded(&self) -> LoadedSector {
        LoadedSector::new(&public_key_hash(), self.metadata().0)
    }

    /// Its bytes, on disk.
    pub(crate) fn file(&self) -> File {
        File::open(Self::plot_in(&self.directory)).expect("readable")
    }

    /// Its bytes, in memory.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(Self::plot_in(&self.directory)).expect("readable")
    }
}

/// Challenges that find a chunk to look at in the sector (empty s-buckets would make the mean look better), each of another s-bucket
/// in most cases.
pub(crate) fn challenges(sector: &LoadedSector, solution_range: u64) -> impl Iterator<Item = AuditChallenge> {
    let (sector_id, sizes) = (sector.sector_id, sector.s_bucket_sizes.clone());
    (0_u64..).filter_map(move |number| {
        let global_challenge = blake3_hash(&number.to_le_bytes());
        let s_bucket = sector_id
            .derive_sector_slot_challenge(&global_challenge)
            .s_bucket_audit_index();
        (sizes.size(s_bucket) > 0).then_some(AuditChallenge {
            global_challenge,
            solution_range,
        })
    })
}

/// Seed of the proof of space of the first piece.
pub(crate) fn first_seed(sector: &LoadedSector) -> subspace_core_primitives::pos::PosSeed {
    sector.sector_id.derive_evaluation_seed(PieceOffset::ZERO)
}

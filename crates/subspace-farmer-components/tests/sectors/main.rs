//! Sectors plotted with the trivial proof of space: layout, reading, auditing, proving, and what happens when something is
//! wrong.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

mod instruction_sets;
mod plotting;
mod proving;
mod reading;

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::sync::{LazyLock, OnceLock};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::AuditChallenge;
use subspace_farmer_components::plotting::{EncodeSectorError, EncodedSector, SectorToEncode, encode_sector};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{LoadedSector, NUM_CHUNKS};
use subspace_proof_of_space::FastTestProofOfSpace;

pub(crate) static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(2).build().unwrap());
pub(crate) static ERASURE_CODING: LazyLock<ErasureCoding> =
    LazyLock::new(|| ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap());

pub(crate) const PIECES: u16 = 3;

pub(crate) fn record(seed: u16) -> Vec<[u8; 32]> {
    let mut record = vec![[0; 32]; NUM_CHUNKS];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(record.as_flattened_mut());
    record.iter_mut().for_each(|chunk| chunk[0] &= 0x3f);
    record
}

pub(crate) fn piece(seed: u16) -> Piece {
    let commitment = RecordCommitment::from([seed as u8; 48]);
    Piece::from_parts(
        record(seed).as_flattened(),
        &commitment,
        &RecordWitness::from([9; 48]),
    )
    .unwrap()
}

pub(crate) fn to_encode(pieces: Vec<Piece>) -> SectorToEncode {
    SectorToEncode {
        public_key_hash: blake3_hash(b"key"),
        sector_index: 12,
        history_size: HistorySize::from_segments(7).unwrap(),
        pieces,
    }
}

pub(crate) fn encode(pieces: Vec<Piece>) -> Result<EncodedSector, EncodeSectorError> {
    let two = NonZeroUsize::new(2).unwrap();
    let cancelled = AtomicBool::new(false);
    encode_sector(
        to_encode(pieces),
        &FastTestProofOfSpace,
        &ERASURE_CODING,
        &POOL,
        two,
        &|_| {},
        &cancelled,
    )
}

pub(crate) fn load(encoded: &EncodedSector) -> LoadedSector {
    LoadedSector::new(&blake3_hash(b"key"), encoded.metadata.0.clone())
}

pub(crate) fn plotted() -> &'static (EncodedSector, LoadedSector) {
    static PLOTTED: OnceLock<(EncodedSector, LoadedSector)> = OnceLock::new();
    PLOTTED.get_or_init(|| {
        let encoded = encode((0..PIECES).map(piece).collect()).unwrap();
        let sector = load(&encoded);
        (encoded, sector)
    })
}

pub(crate) fn reader(mode: ReadMode, pool: Option<&'static ThreadPool>) -> SectorReader<'static, Vec<u8>> {
    let (encoded, sector) = plotted();
    SectorReader::new(&encoded.sector, sector, mode, pool)
}

pub(crate) fn challenge_with_candidates(sector: &LoadedSector) -> AuditChallenge {
    (0_u64..)
        .map(|number| AuditChallenge {
            global_challenge: blake3_hash(&number.to_le_bytes()),
            solution_range: u64::MAX,
        })
        .find(|challenge| {
            let slot_challenge = sector
                .sector_id
                .derive_sector_slot_challenge(&challenge.global_challenge);
            sector.s_bucket_sizes.size(slot_challenge.s_bucket_audit_index()) > 0
        })
        .unwrap()
}

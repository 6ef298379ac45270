//! An audit that wins nothing allocates nothing; encoding and decoding a record take a fixed number of blocks.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

use autonomys_test_support::allocations::{Allocations, CountingAllocator, count};
use autonomys_test_support::scalars;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, PieceOffset, RecordCommitment, RecordWitness};
use subspace_core_primitives::pos::PosSeed;
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot, audit_plot, audit_sector};
use subspace_farmer_components::plotting::{EncodedSector, SectorToEncode, encode_record, encode_sector};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{LoadedSector, NUM_CHUNKS};
use subspace_proof_of_space::{ChiaProofOfSpace, FastTestProofOfSpace};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn erasure_coding() -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap()
}

fn key() -> Blake3Hash {
    blake3_hash(b"key")
}

fn record() -> Vec<[u8; 32]> {
    scalars("allocations", NUM_CHUNKS)
}

fn sector() -> (EncodedSector, LoadedSector) {
    let (commitment, witness) = (RecordCommitment::from([1; 48]), RecordWitness::from([2; 48]));
    let to_encode = SectorToEncode {
        public_key_hash: key(),
        sector_index: 0,
        history_size: HistorySize::ONE,
        pieces: vec![Piece::from_parts(record().as_flattened(), &commitment, &witness).unwrap(); 2],
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let encoded = encode_sector(
        to_encode,
        &FastTestProofOfSpace,
        &erasure_coding(),
        &pool,
        NonZeroUsize::MIN,
        &|_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let loaded = LoadedSector::new(&key(), encoded.metadata.0.clone());
    (encoded, loaded)
}

fn challenge(number: u64, solution_range: u64) -> AuditChallenge {
    AuditChallenge {
        global_challenge: blake3_hash(&number.to_le_bytes()),
        solution_range,
    }
}

#[test]
fn audits_that_win_nothing_allocate_nothing() {
    let (encoded, sector) = sector();
    // Large enough for any s-bucket of two pieces.
    let mut buffer = vec![0; 64];
    // The first audit of a process chooses the instruction set, for which it may read an environment variable.
    audit_sector(&sector, &encoded.sector, &challenge(0, 0), &mut buffer).unwrap();
    let ((), audited) = count(|| {
        for number in 0..1000 {
            let result = audit_sector(&sector, &encoded.sector, &challenge(number, 0), &mut buffer);
            assert!(result.unwrap().is_none());
        }
    });
    assert_eq!(audited, Allocations::default());

    // Winning does allocate: the list of chunks, which shows that this test would see it.
    let (won, allocations) = count(|| {
        (0..100).find_map(|number| {
            audit_sector(
                &sector,
                &encoded.sector,
                &challenge(number, u64::MAX),
                &mut buffer,
            )
            .unwrap()
        })
    });
    assert!(won.is_some());
    assert!((1..=2).contains(&allocations.calls), "{allocations:?}");
}

#[test]
fn an_audited_plot_takes_one_buffer() {
    let (encoded, sector) = sector();
    let sectors = vec![
        SectorInPlot {
            sector: &sector,
            start: 0
        };
        100
    ];
    let audit = |number| audit_plot(&encoded.sector, &sectors, &challenge(number, 0), &|_| false, None);
    for number in 0..20 {
        let (plot, audited) = count(|| audit(number));
        assert!(plot.results.is_empty() && plot.errors.is_empty());
        assert!(audited.calls <= 1, "{audited:?}");
    }
}

#[test]
fn records_take_few_blocks() {
    let erasure_coding = erasure_coding();
    let proof_of_space = ChiaProofOfSpace::new();
    let (record, seed) = (record(), PosSeed::from([1; 32]));
    let encode = || encode_record(&record, &seed, &proof_of_space, &erasure_coding).unwrap();
    let encoded = encode();
    let (again, allocations) = count(encode);
    assert_eq!(again, encoded);
    // The table's, source and parity scalars, hashes, bitmap, result.
    assert!(allocations.calls <= 40, "{allocations:?}");
    assert!(allocations.bytes <= 48 << 20, "{allocations:?}");

    let (encoded, sector) = sector();
    let reader = SectorReader::new(&encoded.sector, &sector, ReadMode::SingleReads, None);
    let read = || {
        reader
            .read_piece(PieceOffset::ZERO, &FastTestProofOfSpace, &erasure_coding)
            .unwrap()
    };
    let piece = read();
    let (again, allocations) = count(read);
    assert_eq!(again, piece);
    assert!(allocations.calls <= 128, "{allocations:?}");
    assert!(allocations.bytes <= 64 << 20, "{allocations:?}");
}

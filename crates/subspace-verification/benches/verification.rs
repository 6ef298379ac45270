//! Time of verifying one solution, without and with the check of its piece.
//!
//! The solution is made here, with the network's proof of space and the insecure development reference string.
#![allow(
    missing_docs,
    reason = "the macro of criterion makes functions without documentation"
)]

use autonomys_test_support::bench::{at_once, criterion, group, pool};
use criterion::{Criterion, criterion_group, criterion_main};
use subspace_core_primitives::pieces::{
    ChunkWitness, NUM_CHUNKS, NUM_S_BUCKETS, PieceOffset, RecordCommitment, RecordWitness, ScalarBytes,
};
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::segments::{HistorySize, NUM_PIECES_IN_SEGMENT, SegmentCommitment};
use subspace_core_primitives::solutions::Solution;
use subspace_core_primitives::{PublicKey, SlotNumber};
use subspace_kzg::{Kzg, Polynomial, ReferenceString, Scalar, transform};
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace};
use subspace_verification::{PieceCheckParams, VerifySolutionParams, verify_solution};

/// Values that look random.
fn values(count: usize, seed: u64) -> Vec<Scalar> {
    let next = |value: &Scalar| Some(value.square() + Scalar::from_u64(5));
    std::iter::successors(Some(Scalar::from_u64(seed)), next)
        .skip(10)
        .take(count)
        .collect()
}

/// A solution of the first sector of a new chain, its slot, and the parameters to check it by.
fn solution(kzg: &Kzg, proof_of_space: &ChiaProofOfSpace) -> (Solution, SlotNumber, VerifySolutionParams) {
    let proof_of_time = PotOutput([4; 16]);
    let mut solution = Solution::genesis_solution(PublicKey([1; 32]), PublicKey([2; 32]));
    solution.piece_offset = PieceOffset::new(3);
    let sector_id = solution.sector_id();

    let table = proof_of_space.create_table(&sector_id.derive_evaluation_seed(solution.piece_offset));
    let (slot, s_bucket, proof) = (1..)
        .find_map(|slot| {
            let challenge =
                sector_id.derive_sector_slot_challenge(&proof_of_time.derive_global_challenge(slot));
            let s_bucket = u32::from(challenge.s_bucket_audit_index());
            Some((slot, s_bucket, table.find_proof(s_bucket)?))
        })
        .expect("half of the s-buckets have a proof");
    solution.proof_of_space = proof;

    let record = Polynomial::interpolate(&values(NUM_CHUNKS, 3)).expect("a power of two");
    let point = transform::domain_point(NUM_S_BUCKETS, s_bucket as usize).expect("a power of two");
    let witness = kzg
        .create_witness(&record, NUM_S_BUCKETS, s_bucket)
        .expect("inside of the domain");
    solution.chunk = ScalarBytes::from(record.evaluate(point));
    solution.chunk_witness = ChunkWitness::from(witness.to_bytes());
    solution.record_commitment = RecordCommitment::from(kzg.commit(&record).expect("as many as powers"));

    let mut params = PieceCheckParams {
        max_pieces_in_sector: 1000,
        segment_commitment: SegmentCommitment([0; 48]),
        recent_segments: HistorySize::ONE,
        recent_history_fraction: (HistorySize::ONE, HistorySize::ONE),
        min_sector_lifetime: HistorySize::ONE,
        current_history_size: HistorySize::ONE,
        sector_expiration_check_segment_commitment: None,
    };
    let position = sector_id
        .derive_piece_index(
            solution.piece_offset,
            solution.history_size,
            params.max_pieces_in_sector,
            params.recent_segments,
            params.recent_history_fraction,
        )
        .position();
    let mut hashes = values(NUM_PIECES_IN_SEGMENT, 7);
    hashes[position as usize] =
        Scalar::try_from(&solution.record_commitment.hash_to_scalar()).expect("254 bits");
    let segment = Polynomial::interpolate(&hashes).expect("a power of two");
    let witness = kzg
        .create_witness(&segment, NUM_PIECES_IN_SEGMENT, position)
        .expect("inside of the domain");
    solution.record_witness = RecordWitness::from(witness.to_bytes());
    params.segment_commitment = SegmentCommitment::from(kzg.commit(&segment).expect("few"));
    let params = VerifySolutionParams {
        proof_of_time,
        solution_range: u64::MAX,
        piece_check_params: Some(params),
    };
    (solution, slot, params)
}

fn verification(criterion: &mut Criterion) {
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool(2)));
    let proof_of_space = ChiaProofOfSpace::new();
    let (solution, slot, full) = solution(&kzg, &proof_of_space);
    let stateless = VerifySolutionParams {
        piece_check_params: None,
        ..full
    };
    let mut group = group(criterion, "verify-solution");
    for (name, params) in [("stateless", &stateless), ("with piece", &full)] {
        at_once(
            &mut group,
            name,
            || (),
            |()| verify_solution(&solution, slot, params, &kzg, &proof_of_space).expect("valid"),
        );
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = verification);
criterion_main!(benches);

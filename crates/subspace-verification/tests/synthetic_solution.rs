//! Verification of a made-up solution, which needs no mainnet parameters: record and segment are constant polynomials, so
//! every opening has the same value and the point at infinity as its witness.

use parity_scale_codec::{Decode, Encode};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::sync::LazyLock;
use subspace_core_primitives::pieces::{
    ChunkWitness, PieceOffset, RecordCommitment, RecordWitness, ScalarBytes,
};
use subspace_core_primitives::pos::PosProof;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::segments::{HistorySize, SegmentCommitment};
use subspace_core_primitives::solutions::Solution;
use subspace_core_primitives::{PublicKey, SlotNumber};
use subspace_kzg::{Kzg, Polynomial, ReferenceString, Scalar};
use subspace_proof_of_space::{FastTestProofOfSpace, ProofOfSpace};
use subspace_verification::{PieceCheckParams, SolutionError, VerifySolutionParams, verify_solution};

static KZG: LazyLock<Kzg> = LazyLock::new(|| {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("a pool starts");
    Kzg::new(ReferenceString::insecure_development(&pool))
});

fn size(segments: u64) -> HistorySize {
    HistorySize::from_segments(segments).expect("not zero")
}

fn constant(value: Scalar) -> Polynomial {
    Polynomial::from_coefficients(vec![value])
}

/// A solution, its slot, and parameters that accept it.
fn valid() -> (Solution, SlotNumber, VerifySolutionParams) {
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    let chunk = Scalar::from_u64(0x1234_5678);
    let record_commitment = RecordCommitment::from(KZG.commit(&constant(chunk)).expect("commits"));
    let value = Scalar::try_from(&record_commitment.hash_to_scalar()).expect("254 bits");
    let segment_commitment = SegmentCommitment::from(KZG.commit(&constant(value)).expect("commits"));
    let proof_of_time = PotOutput([4; 16]);

    let mut solution = Solution {
        public_key: PublicKey([1; 32]),
        reward_address: PublicKey([2; 32]),
        sector_index: 3,
        history_size: size(5),
        piece_offset: PieceOffset::new(0),
        record_commitment,
        record_witness: RecordWitness(infinity),
        chunk: ScalarBytes::from(chunk),
        chunk_witness: ChunkWitness(infinity),
        proof_of_space: PosProof::default(),
    };
    // Not every s-bucket has a proof: take the first slot in which there is one.
    let (slot, proof) = (1..100)
        .find_map(|slot| {
            let sector_id = solution.sector_id();
            let challenge =
                sector_id.derive_sector_slot_challenge(&proof_of_time.derive_global_challenge(slot));
            let seed = sector_id.derive_evaluation_seed(solution.piece_offset);
            let proof = FastTestProofOfSpace
                .create_table(&seed)
                .find_proof(challenge.s_bucket_audit_index().into())?;
            Some((slot, proof))
        })
        .expect("more than one in a hundred s-buckets has a proof");
    solution.proof_of_space = proof;

    let piece_check_params = PieceCheckParams {
        max_pieces_in_sector: 10,
        segment_commitment,
        recent_segments: size(5),
        recent_history_fraction: (size(1), size(10)),
        min_sector_lifetime: size(4),
        current_history_size: size(5),
        sector_expiration_check_segment_commitment: None,
    };
    let params = VerifySolutionParams {
        proof_of_time,
        solution_range: u64::MAX,
        piece_check_params: Some(piece_check_params),
    };
    (solution, slot, params)
}

fn verify(
    solution: &Solution,
    slot: SlotNumber,
    params: &VerifySolutionParams,
) -> Result<u64, SolutionError> {
    verify_solution(solution, slot, params, &KZG, &FastTestProofOfSpace)
}

#[test]
fn points_at_infinity_are_valid_witnesses() {
    let (solution, slot, params) = valid();
    let distance = verify(&solution, slot, &params).expect("valid");
    let without_piece = VerifySolutionParams {
        piece_check_params: None,
        ..params
    };
    assert_eq!(verify(&solution, slot, &without_piece), Ok(distance));
}

#[test]
fn checks_have_an_order() {
    let (mut solution, slot, mut params) = valid();
    let distance = verify(&solution, slot, &params).expect("valid");
    // Everything is wrong at once; each repair uncovers the next error.
    let good = (solution, params);
    solution.proof_of_space[0] ^= 1;
    solution.piece_offset = PieceOffset::new(0);
    params.solution_range = 0;
    assert_eq!(
        verify(&solution, slot, &params),
        Err(SolutionError::InvalidProofOfSpace)
    );
    solution.proof_of_space = good.0.proof_of_space;

    let error = SolutionError::OutsideSolutionRange {
        half_solution_range: 0,
        solution_distance: distance,
    };
    assert_eq!(verify(&solution, slot, &params), Err(error));
    params.solution_range = u64::MAX;

    solution.record_commitment = RecordCommitment([0; 48]);
    let piece = params.piece_check_params.as_mut().expect("given");
    piece.current_history_size = size(3);
    assert_eq!(
        verify(&solution, slot, &params),
        Err(SolutionError::InvalidChunkWitness)
    );
    solution.record_commitment = good.0.record_commitment;

    let error = SolutionError::FutureHistorySize {
        current: size(3),
        solution: size(5),
    };
    assert_eq!(verify(&solution, slot, &params), Err(error));
    let piece = params.piece_check_params.as_mut().expect("given");
    piece.current_history_size = size(4);
    piece.max_pieces_in_sector = 0;
    piece.min_sector_lifetime = size(u64::MAX);
    piece.sector_expiration_check_segment_commitment = Some(SegmentCommitment([9; 48]));

    let error = SolutionError::InvalidPieceOffset {
        piece_offset: 0,
        max_pieces_in_sector: 0,
    };
    assert_eq!(verify(&solution, slot, &params), Err(error));
    params
        .piece_check_params
        .as_mut()
        .expect("given")
        .max_pieces_in_sector = 1;
    assert_eq!(
        verify(&solution, slot, &params),
        Err(SolutionError::InvalidHistorySize)
    );

    let piece = params.piece_check_params.as_mut().expect("given");
    piece.min_sector_lifetime = size(4);
    let expiration = solution
        .sector_id()
        .derive_expiration_history_size(size(5), &SegmentCommitment([9; 48]), size(4))
        .expect("small numbers");
    piece.current_history_size = expiration;
    solution.record_witness = RecordWitness([0; 48]);
    let error = SolutionError::SectorExpired {
        expiration_history_size: expiration,
        current_history_size: expiration,
    };
    assert_eq!(verify(&solution, slot, &params), Err(error));
    let piece = params.piece_check_params.as_mut().expect("given");
    piece.current_history_size = size(expiration.get() - 1);
    assert_eq!(verify(&solution, slot, &params), Err(SolutionError::InvalidPiece));

    solution.record_witness = good.0.record_witness;
    assert_eq!(verify(&solution, slot, &params), Ok(distance));
    params
        .piece_check_params
        .as_mut()
        .expect("given")
        .segment_commitment
        .0[5] ^= 1;
    assert_eq!(verify(&solution, slot, &params), Err(SolutionError::InvalidPiece));
}

#[test]
fn a_chunk_must_be_the_committed_field_element() {
    let (mut solution, slot, params) = valid();
    solution.chunk.0[31] ^= 1;
    assert_eq!(
        verify(&solution, slot, &params),
        Err(SolutionError::InvalidChunkWitness)
    );
    solution.chunk.0 = [0xff; 32];
    assert_eq!(verify(&solution, slot, &params), Err(SolutionError::InvalidChunk));
}

proptest! {
    // Two openings are checked in most cases, about 4 ms.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_flipped_bit_but_of_the_reward_address_is_noticed(byte in 0..Solution::ENCODED_SIZE, bit in 0..8u32) {
        let (solution, slot, params) = valid();
        let mut scale = solution.encode();
        scale[byte] ^= 1 << bit;
        let changed = Solution::decode(&mut scale.as_slice()).expect("no flipped bit makes the history size zero");
        let is_reward_address = (32..64).contains(&byte);
        prop_assert_eq!(verify(&changed, slot, &params).is_ok(), is_reward_address);
    }
}

//! Golden vectors of accepted and refused solutions.

use autonomys_test_support::{Node, mainnet_kzg_params, report_skipped, section};
use parity_scale_codec::Decode;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::segments::{HistorySize, SegmentCommitment};
use subspace_core_primitives::solutions::{Solution, SolutionRange};
use subspace_kzg::{Kzg, ReferenceString};
use subspace_proof_of_space::{ProofOfSpaceKind, proof_of_space};
use subspace_verification::{PieceCheckParams, SolutionError, VerifySolutionParams, verify_solution};

#[test]
fn solution_verification() {
    let Some(params) = mainnet_kzg_params() else {
        report_skipped(
            "solution_verification",
            "the mainnet KZG parameters are not on this machine",
        );
        return;
    };
    let kzg = Kzg::new(ReferenceString::mainnet_from_bytes(&params).expect("the mainnet parameters"));
    let proof_of_space = proof_of_space(ProofOfSpaceKind::Chia);

    let vectors = section("solution_verification.json", "cases");
    for case in vectors.root().items() {
        let solution = case.get("solution").bytes();
        let solution = Solution::decode(&mut solution.as_slice()).expect("decodes");
        let piece_check = case.get("piece_check");
        let params = VerifySolutionParams {
            proof_of_time: PotOutput(case.get("proof_of_time").array()),
            solution_range: case.get("solution_range").u64(),
            piece_check_params: (!piece_check.is_null()).then(|| piece_check_params(&piece_check)),
        };
        let result = verify_solution(&solution, case.get("slot").u64(), &params, &kzg, &*proof_of_space);
        assert_result(&case.get("result"), result, case.get("what").str());
    }
    vectors.finish();
}

fn history_size(node: &Node<'_>) -> HistorySize {
    HistorySize::from_segments(node.u64()).expect("history sizes are not zero")
}

fn piece_check_params(node: &Node<'_>) -> PieceCheckParams {
    let fraction = node.get("recent_history_fraction").items();
    assert_eq!(fraction.len(), 2);
    let check_commitment = node.get("sector_expiration_check_segment_commitment");
    PieceCheckParams {
        max_pieces_in_sector: node.get("max_pieces_in_sector").u16(),
        segment_commitment: SegmentCommitment(node.get("segment_commitment").array()),
        recent_segments: history_size(&node.get("recent_segments")),
        recent_history_fraction: (history_size(&fraction[0]), history_size(&fraction[1])),
        min_sector_lifetime: history_size(&node.get("min_sector_lifetime")),
        current_history_size: history_size(&node.get("current_history_size")),
        sector_expiration_check_segment_commitment: (!check_commitment.is_null())
            .then(|| SegmentCommitment(check_commitment.array())),
    }
}

fn assert_result(expected: &Node<'_>, result: Result<SolutionRange, SolutionError>, what: &str) {
    match result {
        Ok(distance) => {
            let expected = expected
                .try_get("ok")
                .unwrap_or_else(|| panic!("{what}: must be refused"));
            assert_eq!(distance, expected.u64(), "{what}");
        }
        Err(error) => {
            let expected_error = expected
                .try_get("error")
                .unwrap_or_else(|| panic!("{what}: must be accepted, got {error:?}"));
            let (name, message) = recorded_form(&error);
            assert_eq!(name, expected_error.str(), "{what}");
            assert_eq!(message, expected.get("message").str(), "{what}");
        }
    }
}

/// Name and message under which the vectors know an error; our own messages say more.
fn recorded_form(error: &SolutionError) -> (String, String) {
    let message = match error {
        SolutionError::InvalidProofOfSpace => "Invalid proof of space".to_string(),
        SolutionError::OutsideSolutionRange {
            half_solution_range,
            solution_distance,
        } => format!(
            "Solution distance {solution_distance} is outside of solution range {half_solution_range} (half of actual \
            solution range)"
        ),
        SolutionError::InvalidChunk => "Invalid chunk: Invalid scalar".to_string(),
        SolutionError::InvalidChunkWitness => "Invalid chunk witness".to_string(),
        SolutionError::FutureHistorySize { current, solution } => {
            format!("History size {solution} is in the future, current is {current}")
        }
        SolutionError::InvalidHistorySize => "Invalid history size".to_string(),
        SolutionError::SectorExpired { .. } => "Sector expired".to_string(),
        SolutionError::InvalidPieceOffset { .. } | SolutionError::InvalidPiece => {
            "Piece verification failed".to_string()
        }
    };
    let name = match error {
        SolutionError::InvalidChunk => "InvalidChunk(\"Invalid scalar\")".to_string(),
        other => format!("{other:?}"),
    };
    (name, message)
}

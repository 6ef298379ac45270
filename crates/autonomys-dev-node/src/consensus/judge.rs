//! Judging the solutions of a slot on top of the best block.

use super::runtime::RuntimeState;
use crate::archive::segment_store::SegmentStore;
use std::sync::Arc;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::solutions::{PieceCheckParams, Solution, SolutionRange, VerifySolutionParams};
use subspace_kzg::Kzg;
use subspace_proof_of_space::ProofOfSpace;
use subspace_verification::{SlotJudge, SolutionError, Verdict, verify_solution};

/// What became of the solutions of a slot.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The solution that makes the block.
    pub block: Option<Solution>,
    /// Solutions that make votes, in order of arrival.
    pub votes: Vec<Solution>,
}

/// Why a solution is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The segment of the piece is not known.
    #[error("Segment commitment not found")]
    SegmentCommitmentNotFound,
    /// The solution does not verify.
    #[error(transparent)]
    Solution(#[from] SolutionError),
}

/// What verification needs beside the state.
pub struct Judge {
    /// KZG.
    pub kzg: Kzg,
    /// Proof of space of the chain.
    pub proof_of_space: Arc<dyn ProofOfSpace>,
    /// Segments; their headers give the commitments.
    pub segments: Arc<SegmentStore>,
}

impl Judge {
    /// Verifies one solution against `solution_range` with the history at `state`. Takes a few milliseconds.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        state: &RuntimeState,
        solution: &Solution,
        slot: SlotNumber,
        proof_of_time: PotOutput,
        solution_range: SolutionRange,
    ) -> Result<SolutionRange, Refusal> {
        let parameters = state.parameters();
        let recent_segments = parameters.recent_segments();
        let recent_history_fraction = parameters.recent_history_fraction();
        let min_sector_lifetime = parameters.min_sector_lifetime();
        let piece_index = solution.sector_id().derive_piece_index(
            solution.piece_offset,
            solution.history_size,
            parameters.max_pieces_in_sector,
            recent_segments,
            recent_history_fraction,
        );
        let commitment = |segment_index| {
            self.segments
                .header(segment_index)
                .map(|header| header.segment_commitment())
        };
        let segment_commitment =
            commitment(piece_index.segment_index()).ok_or(Refusal::SegmentCommitmentNotFound)?;
        let params = VerifySolutionParams {
            proof_of_time,
            solution_range,
            piece_check_params: Some(PieceCheckParams {
                max_pieces_in_sector: parameters.max_pieces_in_sector,
                segment_commitment,
                recent_segments,
                recent_history_fraction,
                min_sector_lifetime,
                current_history_size: state.history_size(),
                sector_expiration_check_segment_commitment: solution
                    .history_size
                    .sector_expiration_check(min_sector_lifetime)
                    .and_then(|history_size| commitment(history_size.segment_index())),
            }),
        };
        Ok(verify_solution(
            solution,
            slot,
            &params,
            &self.kzg,
            &*self.proof_of_space,
        )?)
    }

    /// Judges all solutions of a slot in order of arrival on top of the block of `state`.
    pub fn judge(
        &self,
        state: &RuntimeState,
        slot: SlotNumber,
        proof_of_time: PotOutput,
        solutions: Vec<Solution>,
    ) -> Judgement {
        let mut judge = SlotJudge::new(state.solution_range(), state.number == 0);
        let mut judgement = Judgement::default();
        for solution in solutions {
            let verified = self.verify(
                state,
                &solution,
                slot,
                proof_of_time,
                state.voting_solution_range(),
            );
            let verdict = match verified {
                Ok(distance) => judge.judge(Ok(distance)),
                Err(Refusal::Solution(error)) => judge.judge(Err(error)),
                Err(error) => {
                    tracing::warn!(slot, sector = solution.sector_index, %error, "invalid solution");
                    continue;
                }
            };
            match verdict {
                Verdict::Block => judgement.block = Some(solution),
                Verdict::Vote => judgement.votes.push(solution),
                Verdict::SurplusBlock => {
                    tracing::debug!(slot, "another solution was good enough for a block already")
                }
                Verdict::VoteOnGenesis => tracing::debug!(slot, "there are no votes on top of genesis"),
                Verdict::Invalid(error) => {
                    tracing::warn!(slot, sector = solution.sector_index, %error, "invalid solution");
                }
            }
        }
        judgement
    }
}

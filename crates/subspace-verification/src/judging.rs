//! What a block author makes of the solutions of one slot.

use crate::solution::SolutionError;
use subspace_core_primitives::solutions::{SolutionRange, is_within_solution_range};

/// What becomes of a solution.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It makes the block of the slot.
    Block,
    /// It could make a block, but one before it does already; it is dropped.
    SurplusBlock,
    /// It makes a vote.
    Vote,
    /// It would make a vote, but nothing votes on top of genesis; it is dropped.
    VoteOnGenesis,
    /// It is refused.
    Invalid(SolutionError),
}

/// Judges the solutions of one slot in the order of their arrival.
///
/// Solutions are collected until the proof of time exists that allows the block (four slots later on mainnet), then each one
/// is verified against the **voting** range, and its result given to [`Self::judge`].
#[derive(Debug, Clone)]
pub struct SlotJudge {
    solution_range: SolutionRange,
    parent_is_genesis: bool,
    has_block: bool,
}

impl SlotJudge {
    /// For a slot with `solution_range`, on top of genesis or of another block.
    pub const fn new(solution_range: SolutionRange, parent_is_genesis: bool) -> Self {
        Self {
            solution_range,
            parent_is_genesis,
            has_block: false,
        }
    }

    /// Takes what [`crate::verify_solution`] says about the next solution.
    pub const fn judge(&mut self, verified: Result<SolutionRange, SolutionError>) -> Verdict {
        match verified {
            Err(error) => Verdict::Invalid(error),
            Ok(distance) if is_within_solution_range(distance, self.solution_range) => {
                if self.has_block {
                    Verdict::SurplusBlock
                } else {
                    self.has_block = true;
                    Verdict::Block
                }
            }
            Ok(_) if self.parent_is_genesis => Verdict::VoteOnGenesis,
            Ok(_) => Verdict::Vote,
        }
    }
}

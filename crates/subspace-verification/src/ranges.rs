//! Solution range and voting range, from block to block.

use subspace_core_primitives::solutions::{SolutionRange, next_solution_range};
use subspace_core_primitives::{BlockNumber, SlotNumber};

/// Votes that are expected for each block on mainnet.
pub const EXPECTED_VOTES_PER_BLOCK: u32 = 9;
/// Blocks of an era on mainnet.
pub const ERA_DURATION: BlockNumber = 2016;
/// Blocks per slot on mainnet: numerator and denominator.
pub const SLOT_PROBABILITY: (u64, u64) = (1, 6);

/// Range in which a solution makes a vote, so that each block has `expected_votes_per_block` votes on average. While the
/// range is not adjusted (at the start of a chain) there are no votes: both ranges are the same.
pub const fn voting_solution_range(
    solution_range: SolutionRange,
    expected_votes_per_block: u32,
    is_adjusted: bool,
) -> SolutionRange {
    if is_adjusted {
        solution_range.saturating_mul(expected_votes_per_block as u64 + 1)
    } else {
        solution_range
    }
}

/// Solution range along one chain of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolutionRanges {
    /// Range of the last block.
    current: SolutionRange,
    /// Range that the last block scheduled for the next one.
    next: Option<SolutionRange>,
    /// Slot of the last block of the previous era, 0 in the first one.
    era_start_slot: SlotNumber,
    era_duration: BlockNumber,
    slot_probability: (u64, u64),
    expected_votes_per_block: u32,
    is_adjusted: bool,
    /// Replaces the result of the next adjustment.
    next_override: Option<SolutionRange>,
}

impl SolutionRanges {
    /// State at genesis, with the constants of mainnet and adjustment switched off.
    pub const fn new(initial: SolutionRange) -> Self {
        Self::with_constants(initial, ERA_DURATION, SLOT_PROBABILITY, EXPECTED_VOTES_PER_BLOCK)
    }

    /// State at genesis of another chain. An era of 0 blocks never ends.
    pub const fn with_constants(
        initial: SolutionRange,
        era_duration: BlockNumber,
        slot_probability: (u64, u64),
        expected_votes_per_block: u32,
    ) -> Self {
        Self {
            current: initial,
            next: None,
            era_start_slot: 0,
            era_duration,
            slot_probability,
            expected_votes_per_block,
            is_adjusted: false,
            next_override: None,
        }
    }

    /// Switches the adjustment on (root only). `next_override` replaces the result of the first adjustment.
    pub const fn enable_adjustment(&mut self, next_override: Option<SolutionRange>) {
        self.is_adjusted = true;
        self.next_override = next_override;
    }

    /// Takes the next block. At the end of an era this schedules the range of the next one, from the block after this on.
    pub fn on_block(&mut self, block: BlockNumber, slot: SlotNumber) {
        if let Some(next) = self.next.take() {
            self.current = next;
        }
        if self.era_duration == 0 || !block.is_multiple_of(self.era_duration) {
            return;
        }
        if self.is_adjusted {
            let adjusted = next_solution_range(
                self.era_start_slot,
                slot,
                self.slot_probability,
                self.current,
                self.era_duration,
            );
            self.next = Some(self.next_override.take().unwrap_or(adjusted));
        }
        self.era_start_slot = slot;
    }

    /// Range in which a solution for the block after the last one makes that block.
    pub fn solution_range(&self) -> SolutionRange {
        self.next.unwrap_or(self.current)
    }

    /// Range in which a solution for the block after the last one makes a vote; sectors are audited with it.
    pub fn voting_solution_range(&self) -> SolutionRange {
        voting_solution_range(
            self.solution_range(),
            self.expected_votes_per_block,
            self.is_adjusted,
        )
    }
}

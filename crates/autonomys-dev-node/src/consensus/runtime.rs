//! The part of the runtime's state that consensus needs, as a pure state machine over blocks.

use crate::chain::digest::{BlockDigest, ConsensusLog, PreDigest};
use crate::error::DevNodeError;
use crate::parameters::{ChainParameters, EXPECTED_VOTES_PER_BLOCK};
use std::sync::Arc;
use subspace_core_primitives::segments::{HistorySize, SegmentCommitment, SegmentIndex};
use subspace_core_primitives::solutions::SolutionRange;
use subspace_core_primitives::{BlockNumber, SlotNumber};
use subspace_proof_of_time::{EntropySchedule, PotParametersChange};
use subspace_verification::SolutionRanges;

/// State after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeState {
    parameters: Arc<ChainParameters>,
    /// Number of the block.
    pub number: BlockNumber,
    /// Slot of the block.
    pub slot: SlotNumber,
    ranges: SolutionRanges,
    /// Voting range at the parent, for votes whose height is that of this block.
    parent_voting_range: SolutionRange,
    parent_solution_range: SolutionRange,
    entropy: EntropySchedule,
    /// Change of the proof of time that the block announced.
    pub pot_change: Option<PotParametersChange>,
    /// Commitments of segments whose headers entered the chain.
    segment_commitments: Vec<SegmentCommitment>,
}

impl RuntimeState {
    /// State after block 0.
    ///
    /// # Errors
    /// [`DevNodeError::Configuration`] when the parameters cannot work.
    pub fn genesis(parameters: Arc<ChainParameters>) -> Result<Self, DevNodeError> {
        let ranges = SolutionRanges::with_constants(
            parameters.initial_solution_range,
            parameters.era_duration,
            parameters.slot_probability,
            EXPECTED_VOTES_PER_BLOCK,
        );
        let entropy = EntropySchedule::new(parameters.entropy_injection()?, parameters.pot_iterations()?)
            .map_err(|error| DevNodeError::Configuration(error.to_string()))?;
        Ok(Self {
            number: 0,
            slot: 0,
            parent_voting_range: ranges.voting_solution_range(),
            parent_solution_range: ranges.solution_range(),
            ranges,
            entropy,
            pot_change: None,
            segment_commitments: Vec::new(),
            parameters,
        })
    }

    /// Parameters of the chain.
    pub fn parameters(&self) -> &ChainParameters {
        &self.parameters
    }

    /// Range in which a solution makes the next block.
    pub fn solution_range(&self) -> SolutionRange {
        self.ranges.solution_range()
    }

    /// Range in which a solution makes a vote beside the next block.
    pub fn voting_solution_range(&self) -> SolutionRange {
        self.ranges.voting_solution_range()
    }

    /// Range in which a solution made this block.
    pub fn parent_solution_range(&self) -> SolutionRange {
        self.parent_solution_range
    }

    /// Range in which a solution made a vote beside this block.
    pub fn parent_voting_range(&self) -> SolutionRange {
        self.parent_voting_range
    }

    /// Segments in the chain; the genesis segment counts before it is stored.
    pub fn history_size(&self) -> HistorySize {
        HistorySize::from_segments(self.segment_commitments.len() as u64).unwrap_or(HistorySize::ONE)
    }

    /// Index of the segment header that the chain waits for.
    pub fn next_segment_index(&self) -> SegmentIndex {
        SegmentIndex::new(self.segment_commitments.len() as u64)
    }

    /// Executes the next block. Returns the logs it deposits, in order.
    pub fn execute(
        &mut self,
        pre_digest: &PreDigest,
        segments: &[(SegmentIndex, SegmentCommitment)],
    ) -> Vec<ConsensusLog> {
        self.number += 1;
        self.slot = pre_digest.slot;
        let solution_range = self.ranges.solution_range();
        self.parent_voting_range = self.ranges.voting_solution_range();
        self.parent_solution_range = solution_range;
        self.pot_change = self.entropy.on_block(
            self.number,
            self.slot,
            &pre_digest.solution.chunk,
            &pre_digest.proof_of_time,
        );
        let mut logs = vec![
            ConsensusLog::SolutionRange(solution_range),
            ConsensusLog::PotSlotIterations(self.entropy.slot_iterations().get()),
        ];
        logs.extend(self.pot_change.map(ConsensusLog::PotParametersChange));
        for segment in segments {
            self.segment_commitments.push(segment.1);
            logs.push(ConsensusLog::SegmentCommitment(*segment));
        }
        if self.parameters.adjustment_start == Some(self.number) {
            self.ranges.enable_adjustment(None);
            logs.push(ConsensusLog::EnableSolutionRangeAdjustment(None));
        }
        self.ranges.on_block(self.number, self.slot);
        if self.number.is_multiple_of(self.parameters.era_duration) {
            logs.push(ConsensusLog::NextSolutionRange(self.ranges.solution_range()));
        }
        logs
    }

    /// Executes a stored block and checks that it deposited the same logs.
    ///
    /// # Errors
    /// What differs.
    pub fn replay(&mut self, digest: &BlockDigest) -> Result<(), String> {
        if digest.pre_digest.slot <= self.slot {
            return Err(format!(
                "slot {} does not follow slot {}",
                digest.pre_digest.slot, self.slot
            ));
        }
        let segments: Vec<_> = digest
            .logs
            .iter()
            .filter_map(|log| match log {
                ConsensusLog::SegmentCommitment(segment) => Some(*segment),
                _ => None,
            })
            .collect();
        let logs = self.execute(&digest.pre_digest, &segments);
        if logs == digest.logs {
            Ok(())
        } else {
            Err(format!("its logs are {:?} instead of {logs:?}", digest.logs))
        }
    }
}

#[cfg(test)]
mod tests;

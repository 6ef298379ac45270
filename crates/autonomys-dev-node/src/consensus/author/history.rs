//! The history that a chain begins with: blocks that the node makes by itself, the same ones every time.
//!
//! Nobody won their slots and nobody signed them: the solution is the empty one and the seal is zeros. Everything else is as in farmed
//! blocks, proofs of time and segment headers included. Half of them are full of data, the others empty, in runs: who reads the
//! blocks meets both.

use super::super::builder::{BlockParts, DataSource, UnsealedBlock};
use super::{Author, archive_up_to};
use crate::chain::digest::PreDigest;
use crate::error::DevNodeError;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use crate::shared::BestBlock;
use std::sync::Arc;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::segments::SegmentIndex;
use subspace_core_primitives::solutions::{RewardSignature, Solution};
use subspace_proof_of_time::prove;

/// Bytes of data in a full block.
const FULL_BLOCK: usize = 3_900_000;
/// Blocks of one kind that follow each other.
const RUN: u32 = 16;
/// Time of the genesis block in milliseconds since 1970.
const GENESIS_TIME: u64 = 1_700_000_000_000;
/// Milliseconds of a slot.
const SLOT_TIME: u64 = 1000;

impl Author {
    /// Makes blocks until the headers of all segments that the chain begins with are in the chain. Blocking; continues where an
    /// earlier call was interrupted.
    pub(crate) fn prepare_history(&mut self) -> Result<(), DevNodeError> {
        let parameters = self.state.parameters();
        let wanted = SegmentIndex::new(u64::from(parameters.history_segments));
        if wanted <= SegmentIndex::ONE || self.state.next_segment_index() >= wanted {
            return Ok(());
        }
        let (numerator, denominator) = parameters.slot_probability;
        let slots_per_block = (denominator / numerator).max(1);
        let full = DataSource::new(FULL_BLOCK, None)?;
        let empty = DataSource::new(0, None)?;
        while self.state.next_segment_index() < wanted {
            let number = self.state.number + 1;
            let data = if (number / RUN).is_multiple_of(2) {
                &empty
            } else {
                &full
            };
            self.make_block(self.state.slot + slots_per_block, data)?;
        }
        tracing::info!(blocks = self.state.number, segments = %wanted, "the chain begins with a history");
        self.change.send_replace(self.state.pot_change);
        self.shared.best.send_replace(BestBlock {
            hash: self.head.hash(),
            state: Arc::clone(&self.state),
        });
        Ok(())
    }

    fn make_block(&mut self, slot: u64, data: &DataSource) -> Result<(), DevNodeError> {
        let missing = || DevNodeError::ProofOfTime(format!("the proof of slot {slot} is missing"));
        let parent_slot = (self.state.number > 0).then_some(self.state.slot);
        let mut pot = self.pot.lock();
        while pot.last_slot() < slot + BLOCK_AUTHORING_DELAY {
            let input = pot.next(self.state.pot_change.as_ref())?;
            let checkpoints = prove(input.seed, input.slot_iterations)
                .map_err(|error| DevNodeError::ProofOfTime(error.to_string()))?;
            pot.push(&input, checkpoints);
        }
        let nobody = PublicKey([0; 32]);
        let number = self.state.number + 1;
        let parts = BlockParts {
            parent: &self.head,
            parent_state: &self.state,
            pre_digest: PreDigest {
                slot,
                solution: Solution::genesis_solution(nobody, nobody),
                proof_of_time: pot.output(slot).ok_or_else(missing)?,
                future_proof_of_time: pot.output(slot + BLOCK_AUTHORING_DELAY).ok_or_else(missing)?,
            },
            justification: pot.justification(parent_slot, slot).ok_or_else(missing)?,
            segment_headers: self.due_segment_headers(),
            votes: Vec::new(),
            // A stretch of filler of its own for each block; what a data file has progressed is not touched.
            data_progress: u64::from(number) * FULL_BLOCK as u64,
            milliseconds: GENESIS_TIME + slot * SLOT_TIME,
        };
        let block = UnsealedBlock::build(parts, data)?;
        let state = block.state.clone();
        let block = block.seal(&RewardSignature([0; 64]));
        pot.on_block(parent_slot.unwrap_or(0), slot);
        drop(pot);
        self.shared.log.write().append(&block, self.data_progress)?;
        self.parent = parent_slot.map(|slot| (self.head.hash(), slot));
        self.head = block.header;
        self.state = Arc::new(state);
        let workshop = self.workshop.as_mut().ok_or(DevNodeError::Aborted)?;
        archive_up_to(&mut workshop.archiver, &self.shared, number)?;
        Ok(())
    }
}

//! When blocks contribute entropy to the chain of slots, and when it is injected: what the runtime keeps book of.

use crate::chain::PotParametersChange;
use crate::{ITERATIONS_MULTIPLE, PotError};
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::ScalarBytes;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::{BlockNumber, SlotNumber};

/// Constants of entropy injection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct EntropyInjection {
    /// Blocks between two contributions.
    pub interval: NonZeroU32,
    /// Intervals between a contribution and the announcement of its injection.
    pub lookback_depth: u8,
    /// Slots between the block that schedules the injection and the injection.
    pub delay: NonZeroU64,
}

impl EntropyInjection {
    /// Values of mainnet: every 50 blocks, announced 100 blocks later, injected 15 slots after that.
    pub const MAINNET: Self = Self {
        interval: NonZeroU32::new(50).expect("not zero"),
        lookback_depth: 2,
        delay: NonZeroU64::new(15).expect("not zero"),
    };

    /// Last block at which entropy was collected, at or before `block`, that block `block` may announce; `None` while there
    /// is none. Genesis contributes nothing.
    pub const fn source_block(&self, block: BlockNumber) -> Option<BlockNumber> {
        let multiple = block - block % self.interval.get();
        let lookback = self.interval.get().saturating_mul(self.lookback_depth as u32);
        match multiple.checked_sub(lookback) {
            Some(0) | None => None,
            source => source,
        }
    }
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
struct Contribution {
    entropy: Blake3Hash,
    /// Known from the block that is `lookback_depth` intervals later.
    target_slot: Option<SlotNumber>,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
struct IterationsUpdate {
    slot_iterations: NonZeroU32,
    target_slot: Option<SlotNumber>,
}

/// State of entropy injection and iteration updates along one chain of blocks. Holds at most `lookback_depth` + 2
/// contributions while slots keep ahead of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntropySchedule {
    constants: EntropyInjection,
    slot_iterations: NonZeroU32,
    update: Option<IterationsUpdate>,
    contributions: BTreeMap<BlockNumber, Contribution>,
}

impl EntropySchedule {
    /// State at genesis.
    ///
    /// # Errors
    /// [`PotError::NotMultiple`] when `slot_iterations` is not a multiple of 16.
    pub fn new(constants: EntropyInjection, slot_iterations: NonZeroU32) -> Result<Self, PotError> {
        check_multiple(slot_iterations)?;
        Ok(Self {
            constants,
            slot_iterations,
            update: None,
            contributions: BTreeMap::new(),
        })
    }

    /// Iterations in force at the last block.
    pub const fn slot_iterations(&self) -> NonZeroU32 {
        self.slot_iterations
    }

    /// Raises the iterations, from the slot of the next injection that gets scheduled.
    ///
    /// # Errors
    /// When the number is not a multiple of 16 or not above the one in force.
    pub fn update_slot_iterations(&mut self, slot_iterations: NonZeroU32) -> Result<(), PotError> {
        check_multiple(slot_iterations)?;
        if slot_iterations <= self.slot_iterations {
            return Err(PotError::NotRaised {
                current: self.slot_iterations.get(),
                requested: slot_iterations.get(),
            });
        }
        self.update = Some(IterationsUpdate {
            slot_iterations,
            target_slot: None,
        });
        Ok(())
    }

    /// Takes the next block (number from 1, its slot, and the chunk and proof of time of its solution), and returns the change
    /// that the block announces.
    pub fn on_block(
        &mut self,
        block: BlockNumber,
        slot: SlotNumber,
        solution_chunk: &ScalarBytes,
        proof_of_time: &PotOutput,
    ) -> Option<PotParametersChange> {
        if let Some(update) = self
            .update
            .take_if(|update| update.target_slot.is_some_and(|target| target <= slot))
        {
            self.slot_iterations = update.slot_iterations;
        }

        let source = self.constants.source_block(block);
        if block.is_multiple_of(self.constants.interval.get()) {
            let entropy = proof_of_time.derive_entropy(solution_chunk);
            self.contributions.insert(
                block,
                Contribution {
                    entropy,
                    target_slot: None,
                },
            );
            if let Some(contribution) = source.and_then(|source| self.contributions.get_mut(&source)) {
                let target_slot = slot.saturating_add(self.constants.delay.get());
                contribution.target_slot = Some(target_slot);
                if let Some(update) = &mut self.update {
                    update.target_slot.get_or_insert(target_slot);
                }
            }
        }

        let announced = source
            .and_then(|source| self.contributions.get(&source))
            .and_then(|contribution| {
                let target_slot = contribution.target_slot?;
                let update = self
                    .update
                    .filter(|update| update.target_slot == Some(target_slot));
                Some(PotParametersChange {
                    slot: target_slot,
                    slot_iterations: update.map_or(self.slot_iterations, |update| update.slot_iterations),
                    entropy: contribution.entropy,
                })
            });

        self.contributions
            .retain(|_, contribution| contribution.target_slot.is_none_or(|target| target >= slot));
        announced
    }
}

fn check_multiple(slot_iterations: NonZeroU32) -> Result<(), PotError> {
    if slot_iterations.get().is_multiple_of(ITERATIONS_MULTIPLE) {
        Ok(())
    } else {
        Err(PotError::NotMultiple(slot_iterations.get()))
    }
}

//! Proofs of time that were computed and are still needed, and the next one.

use crate::chain::justification::PotJustification;
use crate::error::DevNodeError;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};
use subspace_proof_of_time::{NextSlotInput, PotParametersChange};

/// Slots without a block after which the node gives up: their checkpoints (128 bytes each) must fit one justification.
pub const MAX_SLOTS_WITHOUT_BLOCK: SlotNumber = 1_000_000;

/// The proof-of-time chain from the slot of the best block's parent on.
#[derive(Debug)]
pub struct PotChain {
    iterations: NonZeroU32,
    genesis_seed: PotSeed,
    proofs: BTreeMap<SlotNumber, (PotSeed, PotCheckpoints)>,
    last_slot: SlotNumber,
    /// Slot of the best block.
    best_slot: SlotNumber,
}

impl PotChain {
    /// Chain at genesis: the first proof is that of slot 1.
    pub fn genesis(genesis_hash: &[u8; 32], external_entropy: &[u8], iterations: NonZeroU32) -> Self {
        let first = NextSlotInput::after_genesis(genesis_hash, external_entropy, iterations);
        Self {
            iterations,
            genesis_seed: first.seed,
            proofs: BTreeMap::new(),
            last_slot: 0,
            best_slot: 0,
        }
    }

    /// Continues behind stored blocks: takes over the proofs of a justification whose last slot is `last_slot`. Only outputs
    /// are needed of these, so seeds other than the first are left out.
    pub fn restore(&mut self, justification: &PotJustification, last_slot: SlotNumber) {
        let checkpoints = justification.checkpoints();
        let first = (last_slot + 1).saturating_sub(checkpoints.len() as u64);
        for (slot, checkpoints) in (first..).zip(checkpoints) {
            self.proofs.insert(slot, (justification.seed(), *checkpoints));
        }
        self.last_slot = self.last_slot.max(last_slot);
    }

    /// Last slot with a proof.
    pub fn last_slot(&self) -> SlotNumber {
        self.last_slot
    }

    /// Output of a slot.
    pub fn output(&self, slot: SlotNumber) -> Option<PotOutput> {
        self.proofs
            .get(&slot)
            .map(|(_, checkpoints)| checkpoints.output())
    }

    /// Seed and checkpoints of a slot.
    pub fn proof(&self, slot: SlotNumber) -> Option<(PotSeed, PotCheckpoints)> {
        self.proofs.get(&slot).copied()
    }

    /// Proofs from a slot on, in order, at most `limit`; what was forgotten is left out.
    pub fn proofs_from(&self, slot: SlotNumber, limit: usize) -> Vec<(SlotNumber, PotCheckpoints)> {
        let proofs = self.proofs.range(slot..);
        proofs
            .take(limit)
            .map(|(slot, (_, checkpoints))| (*slot, *checkpoints))
            .collect()
    }

    /// What the next proof starts from.
    ///
    /// # Errors
    /// [`DevNodeError::ProofOfTime`] when the chain cannot go on.
    pub fn next(&self, change: Option<&PotParametersChange>) -> Result<NextSlotInput, DevNodeError> {
        if self.last_slot.saturating_sub(self.best_slot) >= MAX_SLOTS_WITHOUT_BLOCK {
            return Err(DevNodeError::ProofOfTime(format!(
                "{MAX_SLOTS_WITHOUT_BLOCK} slots went by without a block; start a farmer or begin a new chain"
            )));
        }
        if self.last_slot == 0 {
            return Ok(NextSlotInput {
                slot: 1,
                slot_iterations: self.iterations,
                seed: self.genesis_seed,
            });
        }
        let output = self.output(self.last_slot).ok_or_else(|| {
            DevNodeError::ProofOfTime(format!("the proof of slot {} is missing", self.last_slot))
        })?;
        NextSlotInput::after(self.iterations, self.last_slot, output, change)
            .ok_or_else(|| DevNodeError::ProofOfTime("slot numbers are used up".to_string()))
    }

    /// Adds the next proof.
    pub fn push(&mut self, input: &NextSlotInput, checkpoints: PotCheckpoints) {
        self.proofs.insert(input.slot, (input.seed, checkpoints));
        self.last_slot = input.slot;
    }

    /// Justification of a block of `slot` whose parent has `parent_slot` (`None` for genesis): all slots that the parent did
    /// not cover, up to the authoring delay behind `slot`. `None` when a proof is missing.
    pub fn justification(
        &self,
        parent_slot: Option<SlotNumber>,
        slot: SlotNumber,
    ) -> Option<PotJustification> {
        let first = parent_slot.map_or(1, |parent_slot| parent_slot + BLOCK_AUTHORING_DELAY + 1);
        let last = slot + BLOCK_AUTHORING_DELAY;
        let seed = self.proofs.get(&first)?.0;
        let checkpoints: Vec<_> = (first..=last)
            .map(|slot| Some(self.proofs.get(&slot)?.1))
            .collect::<Option<_>>()?;
        Some(PotJustification::V0 { seed, checkpoints })
    }

    /// Notes the best block, of `slot`, and its parent's slot (0 for genesis); forgets what neither the next block nor a vote in it can
    /// need.
    pub fn on_block(&mut self, parent_slot: SlotNumber, slot: SlotNumber) {
        self.best_slot = slot;
        self.forget_up_to(parent_slot);
    }

    fn forget_up_to(&mut self, slot: SlotNumber) {
        self.proofs = self.proofs.split_off(&(slot + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::hashes::Blake3Hash;
    use subspace_proof_of_time::{prove, verify};

    const ITERATIONS: NonZeroU32 = NonZeroU32::new(32).unwrap();

    fn grow(chain: &mut PotChain, to: SlotNumber, change: Option<&PotParametersChange>) {
        while chain.last_slot() < to {
            let input = chain.next(change).unwrap();
            let checkpoints = prove(input.seed, input.slot_iterations).unwrap();
            chain.push(&input, checkpoints);
        }
    }

    #[test]
    fn justifications_cover_every_slot_once() {
        let mut chain = PotChain::genesis(&[1; 32], b"", ITERATIONS);
        grow(&mut chain, 7, None);
        let first = chain.justification(None, 3).unwrap();
        assert_eq!(first.checkpoints().len(), 7);
        assert_eq!(first.seed(), PotSeed::from_genesis(&[1; 32], b""));
        assert!(chain.justification(None, 4).is_none());
        chain.forget_up_to(3);
        let change = PotParametersChange {
            slot: 9,
            slot_iterations: ITERATIONS,
            entropy: Blake3Hash([5; 32]),
        };
        grow(&mut chain, 12, Some(&change));
        let second = chain.justification(Some(3), 8).unwrap();
        assert_eq!(second.checkpoints().len(), 5);
        let all: Vec<_> = first
            .checkpoints()
            .iter()
            .chain(second.checkpoints())
            .copied()
            .collect();
        let mut seed = first.seed();
        for (slot, checkpoints) in (1..).zip(&all) {
            assert!(verify(seed, ITERATIONS, checkpoints).unwrap(), "slot {slot}");
            assert_eq!(chain.output(slot).is_some(), slot > 3);
            seed = checkpoints.output().seed();
            if slot == 7 {
                assert_eq!(seed, second.seed());
            }
            if slot + 1 == change.slot {
                seed = checkpoints.output().seed_with_entropy(&change.entropy);
            }
        }
        // A restored chain continues with the same proofs.
        let mut restored = PotChain::genesis(&[1; 32], b"", ITERATIONS);
        restored.restore(&first, 7);
        restored.restore(&second, 12);
        restored.forget_up_to(8);
        grow(&mut restored, 20, Some(&change));
        grow(&mut chain, 20, Some(&change));
        assert_eq!(restored.output(20), chain.output(20));
        assert_eq!(
            restored.justification(Some(8), 14),
            chain.justification(Some(8), 14)
        );
    }
}

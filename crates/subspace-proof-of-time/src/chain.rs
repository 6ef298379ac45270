//! Seeds and iterations from slot to slot.

use parity_scale_codec::{Decode, Encode};
use std::num::NonZeroU32;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pot::{PotOutput, PotSeed};

/// Announced change of the chain from some slot on; 44 bytes in SCALE.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PotParametersChange {
    /// First slot that the change applies to.
    pub slot: SlotNumber,
    /// Iterations of that slot and those that follow.
    pub slot_iterations: NonZeroU32,
    /// Entropy that is injected into the seed of that slot.
    pub entropy: Blake3Hash,
}

/// What the proof of time of a slot starts from.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct NextSlotInput {
    /// Number of the slot.
    pub slot: SlotNumber,
    /// Iterations of the slot.
    pub slot_iterations: NonZeroU32,
    /// Seed of the slot.
    pub seed: PotSeed,
}

impl NextSlotInput {
    /// The first slot with a proof, which is slot 1.
    pub fn after_genesis(
        genesis_block_hash: &[u8; 32],
        external_entropy: &[u8],
        slot_iterations: NonZeroU32,
    ) -> Self {
        Self {
            slot: 1,
            slot_iterations,
            seed: PotSeed::from_genesis(genesis_block_hash, external_entropy),
        }
    }

    /// The slot after `parent_slot`, whose output is `parent_output`.
    ///
    /// `base_slot_iterations` is in force unless a change has been announced and its slot is reached. Entropy is injected
    /// exactly in the slot of the change. `None` after the last slot that fits 64 bits.
    pub fn after(
        base_slot_iterations: NonZeroU32,
        parent_slot: SlotNumber,
        parent_output: PotOutput,
        change: Option<&PotParametersChange>,
    ) -> Option<Self> {
        let slot = parent_slot.checked_add(1)?;
        let reached = change.filter(|change| change.slot <= slot);
        let slot_iterations = reached.map_or(base_slot_iterations, |change| change.slot_iterations);
        let seed = match reached {
            Some(change) if change.slot == slot => parent_output.seed_with_entropy(&change.entropy),
            _ => parent_output.seed(),
        };
        Some(Self {
            slot,
            slot_iterations,
            seed,
        })
    }
}

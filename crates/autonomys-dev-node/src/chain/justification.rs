//! Proof-of-time justification of a block: seed and checkpoints of the slots it adds.

use super::digest::ENGINE_ID;
use parity_scale_codec::{Decode, Encode};
use subspace_archiving::encoding::Justification;
use subspace_core_primitives::pot::{PotCheckpoints, PotSeed};

/// Checkpoints of all slots from the parent's future slot (exclusive) to the block's future slot (inclusive).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PotJustification {
    /// The only version.
    #[codec(index = 0)]
    V0 {
        /// Seed of the first of these slots.
        seed: PotSeed,
        /// One group for each slot.
        checkpoints: Vec<PotCheckpoints>,
    },
}

impl PotJustification {
    /// The form in which a block carries it.
    pub fn to_justification(&self) -> Justification {
        Justification {
            engine_id: ENGINE_ID,
            payload: self.encode(),
        }
    }

    /// Finds it among the justifications of a block.
    pub fn find(justifications: &[Justification]) -> Option<Self> {
        let justification = justifications
            .iter()
            .find(|justification| justification.engine_id == ENGINE_ID)?;
        Self::decode(&mut justification.payload.as_slice()).ok()
    }

    /// Checkpoints in slot order.
    pub fn checkpoints(&self) -> &[PotCheckpoints] {
        let Self::V0 { checkpoints, .. } = self;
        checkpoints
    }

    /// Seed of the first slot.
    pub fn seed(&self) -> PotSeed {
        let Self::V0 { seed, .. } = self;
        *seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_archiving::encoding::is_subspace_justification;

    #[test]
    fn has_the_bytes_that_the_archive_keeps() {
        let justification = PotJustification::V0 {
            seed: PotSeed([0x55; 16]),
            checkpoints: vec![PotCheckpoints::default(), PotCheckpoints::default()],
        };
        let carried = justification.to_justification();
        assert_eq!(carried.payload.len(), 1 + 16 + 1 + 2 * 128);
        assert_eq!(&carried.payload[..18], [&[0][..], &[0x55; 16], &[8]].concat());
        assert!(is_subspace_justification(&carried));
        assert_eq!(
            PotJustification::find(std::slice::from_ref(&carried)),
            Some(justification)
        );
        assert_eq!(PotJustification::find(&[]), None);
    }
}

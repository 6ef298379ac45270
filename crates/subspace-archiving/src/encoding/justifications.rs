//! Which justifications of a block the archive keeps.

use parity_scale_codec::{Compact, Decode};

/// Engine id of the justifications that carry proof-of-time checkpoints.
pub const SUBSPACE_ENGINE_ID: [u8; 4] = *b"SUB_";
/// Variant byte of the only kind of Subspace justification there is.
const POT_CHECKPOINTS_VARIANT: u8 = 0;
/// Bytes of a proof-of-time seed.
const SEED_SIZE: usize = 16;
/// Bytes of the checkpoints of one slot.
const SLOT_CHECKPOINTS_SIZE: usize = 8 * 16;

/// A justification as the node stores it beside a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Justification {
    /// Consensus engine.
    pub engine_id: [u8; 4],
    /// Bytes whose meaning the engine knows.
    pub payload: Vec<u8>,
}

/// Whether the payload of a `SUB_` justification begins with a value of the chain's type: variant, seed, checkpoints of
/// whole slots. Bytes behind it do not matter.
pub fn is_subspace_justification(justification: &Justification) -> bool {
    let Justification { engine_id, payload } = justification;
    if *engine_id != SUBSPACE_ENGINE_ID || payload.first() != Some(&POT_CHECKPOINTS_VARIANT) {
        return false;
    }
    let Some(mut rest) = payload.get(1 + SEED_SIZE..) else {
        return false;
    };
    let Ok(Compact(slots)) = Compact::<u32>::decode(&mut rest) else {
        return false;
    };
    // u64: on a 32-bit target the product does not fit.
    u64::from(slots) * SLOT_CHECKPOINTS_SIZE as u64 <= rest.len() as u64
}

/// The justification that the archive keeps: the first Subspace one, unchanged, since one engine may justify a block
/// only once.
pub fn archived_justification(justifications: &[Justification]) -> Option<&Justification> {
    justifications
        .iter()
        .find(|justification| is_subspace_justification(justification))
}

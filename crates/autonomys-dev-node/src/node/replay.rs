//! What a stored chain says about itself: the state after its last block, and the proofs of time that are still needed.

use crate::chain::digest::BlockDigest;
use crate::chain::justification::PotJustification;
use crate::consensus::pot::PotChain;
use crate::consensus::runtime::RuntimeState;
use crate::error::DevNodeError;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use crate::store::block_log::BlockLog;
use subspace_core_primitives::SlotNumber;

pub(super) fn stored<T>(item: Option<T>, number: u32) -> Result<T, DevNodeError> {
    item.ok_or_else(|| DevNodeError::Inconsistent {
        number,
        reason: "it is not stored".to_string(),
    })
}

pub(super) fn slot_of(digest_items: &[Vec<u8>], number: u32) -> Result<SlotNumber, DevNodeError> {
    let digest = BlockDigest::from_items(digest_items).ok_or_else(|| DevNodeError::Inconsistent {
        number,
        reason: "its digest cannot be decoded".to_string(),
    })?;
    Ok(digest.pre_digest.slot)
}

/// Executes one stored header.
pub(super) fn replay(
    log: &BlockLog,
    number: u32,
    genesis_hash: [u8; 32],
    state: &mut RuntimeState,
) -> Result<(), DevNodeError> {
    let inconsistent = |reason: String| DevNodeError::Inconsistent { number, reason };
    let header = stored(log.header(number)?, number)?;
    if number == 0 {
        if header.hash() != genesis_hash {
            return Err(inconsistent(
                "it is the genesis block of another chain".to_string(),
            ));
        }
        return Ok(());
    }
    if header.number != number || Some(header.parent_hash) != log.hash(number - 1) {
        return Err(inconsistent(
            "it does not continue the block before it".to_string(),
        ));
    }
    let digest = BlockDigest::from_items(&header.digest_items)
        .ok_or_else(|| inconsistent("its digest cannot be decoded".to_string()))?;
    state.replay(&digest).map_err(inconsistent)
}

/// Proofs of time from the slot of the best block's parent on, out of the justifications of the last blocks.
pub(super) fn restore_pot(
    log: &BlockLog,
    state: &RuntimeState,
    parent_slot: SlotNumber,
    genesis_hash: [u8; 32],
    parameters: &crate::parameters::ChainParameters,
) -> Result<PotChain, DevNodeError> {
    let mut pot = PotChain::genesis(&genesis_hash, b"", parameters.pot_iterations()?);
    let mut number = state.number;
    while number > 0 {
        let block = stored(log.block(number)?, number)?;
        let slot = slot_of(&block.header.digest_items, number)?;
        let justification =
            PotJustification::find(&block.justifications).ok_or_else(|| DevNodeError::Inconsistent {
                number,
                reason: "its justification cannot be decoded".to_string(),
            })?;
        let last = slot + BLOCK_AUTHORING_DELAY;
        pot.restore(&justification, last);
        if (last + 1).saturating_sub(justification.checkpoints().len() as u64) <= parent_slot + 1 {
            break;
        }
        number -= 1;
    }
    pot.on_block(parent_slot, state.slot);
    Ok(pot)
}

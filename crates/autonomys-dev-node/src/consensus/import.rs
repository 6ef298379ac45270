//! Checks of a block that another node made, before it becomes part of this node's chain: all that its author had to keep to.
//!
//! Who gives a block (the node that is followed, or one that follows) is not trusted with anything: parent, digest and seal, roots,
//! segment headers, votes, proofs of time, and the solution are checked, in about this order, cheap ones first.

use super::judge::{Judge, Refusal};
use super::pot::PotChain;
use super::runtime::RuntimeState;
use super::votes::{VoteContext, VoteError, check_vote, check_vote_proofs};
use crate::chain::digest::{BlockDigest, PreDigest};
use crate::chain::extrinsics::{Extrinsic, MAX_BLOCK_LENGTH};
use crate::chain::genesis::{blake2b_256, extrinsics_root};
use crate::chain::justification::PotJustification;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use subspace_archiving::encoding::{BlockHeader, SignedBlock};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::segments::SegmentHeader;
use subspace_proof_of_time::{PotParametersChange, verify};
use subspace_verification::SignedVote;
use subspace_verification::check_reward_signature;
use subspace_verification::vote::VoteKey;

/// Why a block is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It does not stand on the best block.
    #[error("it is block {number} on a parent that is not the best block here, which is {best}")]
    NotNext {
        /// Number of the block.
        number: u32,
        /// Number of the best block.
        best: u32,
    },
    /// The digest is malformed.
    #[error("its digest cannot be decoded or lacks the seal")]
    Digest,
    /// Something in the header or the extrinsics is not what follows from the rest.
    #[error("{0}")]
    Inconsistent(String),
    /// The seal is not the farmer's.
    #[error("its seal is not by the farmer of its solution")]
    Seal,
    /// The proofs of time are wrong.
    #[error("proof of time: {0}")]
    ProofOfTime(String),
    /// The solution is refused.
    #[error("its solution is refused: {0}")]
    Solution(#[from] Refusal),
    /// It contains a vote that no block may contain.
    #[error("one of its votes is refused: {0}")]
    Vote(#[from] VoteError),
}

/// What a block has to stand on.
pub struct Parent<'a> {
    /// Header of the best block.
    pub header: &'a BlockHeader,
    /// State after it.
    pub state: &'a RuntimeState,
    /// Hash and slot of its own parent, `None` when that is genesis or there is none.
    pub parent: Option<([u8; 32], SlotNumber)>,
    /// Segment headers that the next block has to contain.
    pub due_segment_headers: &'a [SegmentHeader],
    /// Whether it may bring proofs of time that are not known here yet. A node that makes the proofs itself knows all there can be.
    pub may_bring_proofs: bool,
}

/// A block that may be imported.
#[derive(Debug)]
pub struct CheckedBlock {
    /// State after it.
    pub state: RuntimeState,
    /// What it uses up: its votes and its own solution.
    pub used: Vec<VoteKey>,
}

/// Checks a block. Adds the proofs of time that it brings and that are right, whatever else is wrong with it.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_block(
    block: &SignedBlock,
    parent: &Parent<'_>,
    judge: &Judge,
    pot: &Mutex<PotChain>,
) -> Result<CheckedBlock, ImportError> {
    let header = &block.header;
    let state = parent.state;
    if header.number != state.number + 1 || header.parent_hash != parent.header.hash() {
        return Err(ImportError::NotNext {
            number: header.number,
            best: state.number,
        });
    }
    let digest = BlockDigest::from_items(&header.digest_items).ok_or(ImportError::Digest)?;
    let seal = digest.seal.ok_or(ImportError::Digest)?;
    let PreDigest {
        slot,
        solution,
        proof_of_time,
        future_proof_of_time,
    } = digest.pre_digest;
    let mut unsealed = header.clone();
    unsealed.digest_items.pop();
    // The seal is the last item, or the items are in no order that an author may choose.
    let unsealed_digest = BlockDigest::from_items(&unsealed.digest_items).ok_or(ImportError::Digest)?;
    if unsealed_digest.seal.is_some() || unsealed_digest.to_items() != unsealed.digest_items {
        return Err(ImportError::Digest);
    }
    check_reward_signature(&unsealed.hash(), &seal, &solution.public_key).map_err(|_| ImportError::Seal)?;
    let mut next = state.clone();
    next.replay(&unsealed_digest).map_err(ImportError::Inconsistent)?;
    let votes = check_extrinsics(block, parent, slot)?;

    let parent_slot = (state.number > 0).then_some(state.slot);
    let future_slot = slot
        .checked_add(BLOCK_AUTHORING_DELAY)
        .ok_or(ImportError::Digest)?;
    {
        let mut pot = pot.lock();
        let change = state.pot_change.as_ref();
        let justification = PotJustification::find(&block.justifications)
            .filter(|_| block.justifications.len() == 1)
            .ok_or_else(|| ImportError::ProofOfTime("the justification cannot be decoded".to_string()))?;
        let first = parent_slot.map_or(1, |slot| slot + BLOCK_AUTHORING_DELAY + 1);
        if future_slot > pot.last_slot() && !parent.may_bring_proofs {
            let text = format!("slot {future_slot} has not come yet");
            return Err(ImportError::ProofOfTime(text));
        }
        check_proofs(&justification, first..=future_slot, change, &mut pot)?;
        if (pot.output(slot), pot.output(future_slot)) != (Some(proof_of_time), Some(future_proof_of_time)) {
            let text = "the digest has other outputs than the justification";
            return Err(ImportError::ProofOfTime(text.to_string()));
        }
        for vote in &votes {
            check_vote_proofs(vote, &pot)?;
        }
    }
    judge.verify(state, &solution, slot, proof_of_time, state.solution_range())?;
    let context = VoteContext {
        number: header.number,
        slot,
        parent: (header.parent_hash, state.slot),
        grandparent: parent.parent,
    };
    let mut used = HashSet::new();
    for vote in &votes {
        check_vote(vote, judge, state, &context)?;
        if !used.insert(vote.vote.key()) {
            return Err(VoteError::Duplicate.into());
        }
    }
    let own = (
        solution.public_key,
        solution.sector_index,
        solution.piece_offset,
        solution.chunk,
        slot,
    );
    Ok(CheckedBlock {
        state: next,
        used: used.into_iter().chain([own]).collect(),
    })
}

/// Roots, sizes and inherents; returns the votes.
fn check_extrinsics(
    block: &SignedBlock,
    parent: &Parent<'_>,
    slot: SlotNumber,
) -> Result<Vec<SignedVote>, ImportError> {
    let inconsistent = |text: &str| ImportError::Inconsistent(text.to_string());
    let header = &block.header;
    let length: usize = block.extrinsics.iter().map(Vec::len).sum();
    if length > MAX_BLOCK_LENGTH {
        return Err(ImportError::Inconsistent(format!(
            "its extrinsics have {length} bytes, more than the {MAX_BLOCK_LENGTH} of a block"
        )));
    }
    if header.extrinsics_root != extrinsics_root(&block.extrinsics) {
        return Err(inconsistent("its extrinsics are not those of the header"));
    }
    let state_root = blake2b_256(&[
        &parent.header.state_root,
        &header.extrinsics_root,
        &slot.to_le_bytes(),
    ]);
    if header.state_root != state_root {
        return Err(inconsistent("it has another state root"));
    }
    let mut segment_headers = Vec::new();
    let mut votes = Vec::new();
    for (position, extrinsic) in block.extrinsics.iter().enumerate() {
        match Extrinsic::decode(extrinsic) {
            Some(Extrinsic::Timestamp(_)) if position == 0 => {}
            Some(Extrinsic::SegmentHeaders(headers)) if position == 1 => segment_headers = headers,
            Some(Extrinsic::Vote(vote)) => votes.push(*vote),
            Some(Extrinsic::Remark(_)) if position > 0 => {}
            _ => {
                return Err(ImportError::Inconsistent(format!(
                    "its extrinsic {position} cannot stand there"
                )));
            }
        }
    }
    if segment_headers != parent.due_segment_headers {
        return Err(inconsistent("its segment headers are not those that are due"));
    }
    Ok(votes)
}

/// Compares the proofs of these slots with those that are known, and verifies and adds the others.
fn check_proofs(
    justification: &PotJustification,
    slots: RangeInclusive<SlotNumber>,
    change: Option<&PotParametersChange>,
    pot: &mut PotChain,
) -> Result<(), ImportError> {
    let wrong = |text: String| ImportError::ProofOfTime(text);
    let (first, last) = (*slots.start(), *slots.end());
    let checkpoints = justification.checkpoints();
    if checkpoints.len() as u64 != (last + 1).saturating_sub(first) {
        return Err(wrong(format!(
            "{} proofs for the slots {first} to {last}",
            checkpoints.len()
        )));
    }
    for (slot, checkpoints) in slots.zip(checkpoints) {
        if pot.last_slot().checked_add(1) == Some(slot) {
            let input = pot.next(change).map_err(|error| wrong(error.to_string()))?;
            match verify(input.seed, input.slot_iterations, checkpoints) {
                Ok(true) => pot.push(&input, *checkpoints),
                _ => return Err(wrong(format!("the proof of slot {slot} does not verify"))),
            }
        } else if pot.proof(slot).map(|(_, known)| known) != Some(*checkpoints) {
            return Err(wrong(format!("another proof of slot {slot} is known here")));
        }
    }
    if pot.proof(first).map(|(seed, _)| seed) != Some(justification.seed()) {
        return Err(wrong("the justification begins with another seed".to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use subspace_core_primitives::hashes::Blake3Hash;
    use subspace_proof_of_time::prove;

    const ITERATIONS: NonZeroU32 = NonZeroU32::new(16).unwrap();

    /// A follower that has none of them takes the proofs of two blocks, with a change of entropy between, and nothing that is wrong.
    #[test]
    fn proofs_that_a_block_brings_are_verified() {
        let change = PotParametersChange {
            slot: 9,
            slot_iterations: ITERATIONS,
            entropy: Blake3Hash([5; 32]),
        };
        let genesis = || PotChain::genesis(&[1; 32], b"", ITERATIONS);
        let mut author = genesis();
        while author.last_slot() < 12 {
            let input = author.next(Some(&change)).unwrap();
            author.push(&input, prove(input.seed, input.slot_iterations).unwrap());
        }
        let first = author.justification(None, 3).unwrap();
        let second = author.justification(Some(3), 8).unwrap();

        let mut pot = genesis();
        let text = |checked: Result<(), ImportError>| checked.unwrap_err().to_string();
        assert!(text(check_proofs(&first, 1..=6, None, &mut pot)).contains("7 proofs for the slots 1 to 6"));
        assert!(text(check_proofs(&second, 8..=12, None, &mut pot)).contains("another proof of slot 8"));
        let PotJustification::V0 {
            seed,
            mut checkpoints,
        } = first.clone();
        checkpoints[4].0[7].0[0] ^= 1;
        let forged = PotJustification::V0 { seed, checkpoints };
        assert!(text(check_proofs(&forged, 1..=7, None, &mut pot)).contains("slot 5 does not verify"));
        // What is right was taken; the rest comes with the true block.
        assert_eq!(pot.last_slot(), 4);
        check_proofs(&first, 1..=7, None, &mut pot).unwrap();
        assert!(text(check_proofs(&forged, 1..=7, None, &mut pot)).contains("another proof of slot 5"));
        assert!(text(check_proofs(&second, 8..=12, None, &mut pot)).contains("slot 9 does not verify"));
        check_proofs(&second, 8..=12, Some(&change), &mut pot).unwrap();
        assert_eq!(pot.output(12), author.output(12));
        let PotJustification::V0 {
            mut seed,
            checkpoints,
        } = second;
        seed.0[0] ^= 1;
        let forged = PotJustification::V0 { seed, checkpoints };
        assert!(text(check_proofs(&forged, 8..=12, Some(&change), &mut pot)).contains("another seed"));
    }
}

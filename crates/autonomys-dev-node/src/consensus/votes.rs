//! Votes that wait for a block, and the rules by which a block may contain them.

use super::judge::{Judge, Refusal};
use super::pot::PotChain;
use super::runtime::RuntimeState;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use std::collections::HashSet;
use subspace_core_primitives::solutions::is_within_solution_range;
use subspace_core_primitives::{BlockNumber, SlotNumber};
use subspace_verification::vote::VoteKey;
use subspace_verification::{SignedVote, Vote};

/// Votes in the pool; a block is expected to take nine.
const POOL_CAPACITY: usize = 256;

/// Why a vote cannot be included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// There are no votes in the first block.
    #[error("there are no votes before block 2")]
    TooEarly,
    /// The height is above that of the block.
    #[error("the vote is in the future")]
    InFuture,
    /// The height is below that of the previous block.
    #[error("the vote is in the past")]
    InPast,
    /// The parent is not the block of the chain before the vote's height.
    #[error("the vote has another parent")]
    OtherParent,
    /// The slot does not fit the slots of the block and of the vote's parent.
    #[error("the slot of the vote does not fit its height")]
    Slot,
    /// The signature is wrong.
    #[error("the vote is not signed by the farmer of its solution")]
    Signature,
    /// The proofs of time are not those of its slots.
    #[error("the vote has other proofs of time")]
    ProofOfTime,
    /// The solution is refused.
    #[error(transparent)]
    Solution(#[from] Refusal),
    /// The solution could have been a block.
    #[error("the solution is good enough for a block")]
    QualityTooHigh,
    /// It was used in this or the previous block.
    #[error("the solution was used already")]
    Duplicate,
}

/// Block that a vote is checked against.
#[derive(Debug, Clone, Copy)]
pub struct VoteContext {
    /// Number of the block that is to contain the vote.
    pub number: BlockNumber,
    /// Slot of that block.
    pub slot: SlotNumber,
    /// Hash and slot of its parent.
    pub parent: ([u8; 32], SlotNumber),
    /// Hash and slot of the parent's parent, `None` when the parent is genesis.
    pub grandparent: Option<([u8; 32], SlotNumber)>,
}

/// Pool of votes.
#[derive(Debug, Default)]
pub struct VotePool {
    votes: Vec<SignedVote>,
    /// What blocks and votes of the previous block used up.
    used_in_parent: HashSet<VoteKey>,
    used_in_current: HashSet<VoteKey>,
}

impl VotePool {
    /// Adds a vote; the oldest gives way when the pool is full. One that waits already is not added again: other nodes hand it in as well.
    pub fn add(&mut self, vote: SignedVote) {
        if self.votes.contains(&vote) {
            return;
        }
        if self.votes.len() == POOL_CAPACITY {
            self.votes.remove(0);
        }
        self.votes.push(vote);
    }

    /// Takes out the votes that the block of `context` may contain, at most `limit`, and drops those that no block may
    /// contain any more. `state` is that of the parent.
    pub fn take(
        &mut self,
        judge: &Judge,
        state: &RuntimeState,
        context: &VoteContext,
        limit: usize,
    ) -> Vec<SignedVote> {
        let mut included = Vec::new();
        let mut used: HashSet<VoteKey> = HashSet::new();
        self.votes.retain(|vote| {
            if included.len() == limit {
                return true;
            }
            let key = vote.vote.key();
            if used.contains(&key)
                || self.used_in_current.contains(&key)
                || self.used_in_parent.contains(&key)
            {
                tracing::debug!("{}", VoteError::Duplicate);
                return false;
            }
            match check_vote(vote, judge, state, context) {
                Ok(()) => {
                    used.insert(key);
                    included.push(*vote);
                    false
                }
                Err(VoteError::InFuture | VoteError::Slot) => true,
                Err(error) => {
                    tracing::debug!(%error, "a vote was dropped");
                    false
                }
            }
        });
        included
    }

    /// Notes what an imported block used up: its own solution and its votes.
    pub fn on_block(&mut self, keys: impl IntoIterator<Item = VoteKey>) {
        self.used_in_parent = std::mem::take(&mut self.used_in_current);
        self.used_in_current.extend(keys);
    }
}

/// Checks a vote for inclusion. Its proofs of time are a matter of [`check_vote_proofs`].
///
/// # Errors
/// The first rule that it breaks.
pub fn check_vote(
    signed: &SignedVote,
    judge: &Judge,
    state: &RuntimeState,
    context: &VoteContext,
) -> Result<(), VoteError> {
    let Vote::V0 {
        height,
        parent_hash,
        slot,
        solution,
        proof_of_time,
        ..
    } = &signed.vote;
    if context.number < 2 || *height < 2 {
        return Err(VoteError::TooEarly);
    }
    let (parent, solution_range, voting_range) = if *height == context.number {
        (
            context.parent,
            state.solution_range(),
            state.voting_solution_range(),
        )
    } else if *height > context.number {
        return Err(VoteError::InFuture);
    } else if *height + 1 == context.number {
        let grandparent = context.grandparent.ok_or(VoteError::InPast)?;
        (
            grandparent,
            state.parent_solution_range(),
            state.parent_voting_range(),
        )
    } else {
        return Err(VoteError::InPast);
    };
    if *parent_hash != parent.0 {
        return Err(VoteError::OtherParent);
    }
    let too_late = *slot > context.slot || (*slot == context.slot && *height != context.number);
    if too_late || *slot <= parent.1 {
        return Err(VoteError::Slot);
    }
    signed.check_signature().map_err(|_| VoteError::Signature)?;
    let distance = judge.verify(state, solution, *slot, *proof_of_time, voting_range)?;
    if is_within_solution_range(distance, solution_range) {
        return Err(VoteError::QualityTooHigh);
    }
    Ok(())
}

/// Checks the proofs of time of a vote that another node made; those of our own votes come from the same place.
///
/// # Errors
/// [`VoteError::ProofOfTime`], also when they are not known here, because the slot is too old or not there yet.
pub fn check_vote_proofs(signed: &SignedVote, pot: &PotChain) -> Result<(), VoteError> {
    let Vote::V0 {
        slot,
        proof_of_time,
        future_proof_of_time,
        ..
    } = &signed.vote;
    let future_slot = slot
        .checked_add(BLOCK_AUTHORING_DELAY)
        .ok_or(VoteError::ProofOfTime)?;
    let known = (pot.output(*slot), pot.output(future_slot));
    if known == (Some(*proof_of_time), Some(*future_proof_of_time)) {
        Ok(())
    } else {
        Err(VoteError::ProofOfTime)
    }
}

//! Votes: solutions that were good, but not good enough for a block.

use crate::reward_signing::{RewardSignatureError, check_reward_signature};
use blake2::Digest;
use blake2::digest::consts::U32;
use parity_scale_codec::{Decode, Encode};
use subspace_core_primitives::pieces::{PieceOffset, ScalarBytes};
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::solutions::{RewardSignature, Solution};
use subspace_core_primitives::{BlockHash, BlockNumber, PublicKey, SlotNumber};

/// A vote, 489 bytes in SCALE.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Vote {
    /// The only version.
    #[codec(index = 0)]
    V0 {
        /// Number of the block that the vote stands beside: that of its parent plus one.
        height: BlockNumber,
        /// Hash of the parent block.
        parent_hash: BlockHash,
        /// Slot of the solution.
        slot: SlotNumber,
        /// The solution.
        solution: Solution,
        /// Proof of time of the slot.
        proof_of_time: PotOutput,
        /// Proof of time of the slot at which the vote could be made.
        future_proof_of_time: PotOutput,
    },
}

/// What may be used only once in a block, its parent and their votes; using it again with another signature is
/// equivocation.
pub type VoteKey = (PublicKey, SectorIndex, PieceOffset, ScalarBytes, SlotNumber);

impl Vote {
    /// Size in SCALE, in bytes.
    pub const ENCODED_SIZE: usize = 1 + 4 + 32 + 8 + Solution::ENCODED_SIZE + PotOutput::SIZE * 2;

    /// The solution of any version.
    pub const fn solution(&self) -> &Solution {
        let Self::V0 { solution, .. } = self;
        solution
    }

    /// The slot of any version.
    pub const fn slot(&self) -> SlotNumber {
        let Self::V0 { slot, .. } = self;
        *slot
    }

    /// BLAKE2b-256 of the SCALE encoding; this is what gets signed.
    pub fn hash(&self) -> BlockHash {
        self.using_encoded(|encoded| blake2::Blake2b::<U32>::digest(encoded).into())
    }

    /// What the vote uses up.
    pub const fn key(&self) -> VoteKey {
        let solution = self.solution();
        (
            solution.public_key,
            solution.sector_index,
            solution.piece_offset,
            solution.chunk,
            self.slot(),
        )
    }
}

/// A vote with the reward signature over its hash.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// Signature of the farmer.
    pub signature: RewardSignature,
}

impl SignedVote {
    /// Size in SCALE, in bytes.
    pub const ENCODED_SIZE: usize = Vote::ENCODED_SIZE + RewardSignature::SIZE;

    /// Checks that the farmer of the solution signed the vote.
    ///
    /// # Errors
    /// See [`check_reward_signature`].
    pub fn check_signature(&self) -> Result<(), RewardSignatureError> {
        check_reward_signature(
            &self.vote.hash(),
            &self.signature,
            &self.vote.solution().public_key,
        )
    }
}

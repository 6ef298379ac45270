//! Keys, seeds, outputs and checkpoints of the proof of time, and what is derived from them.

use crate::chain::{Randomness, SlotNumber, derive_global_challenge};
use crate::hashes::{Blake3Hash, blake3_hash, blake3_hash_list};
use crate::pieces::ScalarBytes;
use parity_scale_codec::{Decode, Encode};

byte_array!(
    /// AES-128 key with which the chain of one slot is encrypted.
    PotKey,
    16
);
byte_array!(
    /// Start of the chain of one slot.
    PotSeed,
    16
);
byte_array!(
    /// A point of the chain of a slot: a checkpoint, or the output of the slot.
    PotOutput,
    16
);
byte_array_hex_serde!(PotKey, PotSeed, PotOutput);
byte_array_default!(PotKey, PotSeed, PotOutput);

impl PotSeed {
    /// Seed of the first slot after genesis: first half of BLAKE3 of the genesis block hash and the external entropy of the
    /// chain specification (empty when there is none).
    pub fn from_genesis(genesis_block_hash: &[u8], external_entropy: &[u8]) -> Self {
        Self(first_half(&blake3_hash_list(&[
            genesis_block_hash,
            external_entropy,
        ])))
    }

    /// Key that belongs to this seed: first half of its BLAKE3.
    pub fn key(&self) -> PotKey {
        PotKey(first_half(&blake3_hash(&self.0)))
    }
}

impl PotOutput {
    /// Randomness of the slot: BLAKE3 of the output.
    pub fn derive_global_randomness(&self) -> Randomness {
        Randomness(blake3_hash(&self.0).0)
    }

    /// Challenge of the slot, see [`derive_global_challenge`].
    pub fn derive_global_challenge(&self, slot: SlotNumber) -> Blake3Hash {
        derive_global_challenge(&self.derive_global_randomness(), slot)
    }

    /// Seed of the next slot when no entropy is injected: the output itself.
    pub const fn seed(&self) -> PotSeed {
        PotSeed(self.0)
    }

    /// Seed of the next slot when `entropy` is injected: first half of BLAKE3 of the entropy and the output.
    pub fn seed_with_entropy(&self, entropy: &Blake3Hash) -> PotSeed {
        PotSeed(first_half(&blake3_hash_list(&[&entropy.0, &self.0])))
    }

    /// Entropy that a block contributes: BLAKE3 of the chunk of its solution and its proof of time (`self`).
    pub fn derive_entropy(&self, solution_chunk: &ScalarBytes) -> Blake3Hash {
        blake3_hash_list(&[&solution_chunk.0, &self.0])
    }
}

fn first_half(hash: &Blake3Hash) -> [u8; 16] {
    hash.as_chunks::<16>().0[0]
}

/// The chain of a slot at its eight checkpoints, 128 bytes in SCALE.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct PotCheckpoints(pub [PotOutput; Self::NUM_CHECKPOINTS]);

impl PotCheckpoints {
    /// Checkpoints in a slot.
    pub const NUM_CHECKPOINTS: usize = 8;

    /// Output of the slot: the last checkpoint.
    pub const fn output(&self) -> PotOutput {
        self.0[Self::NUM_CHECKPOINTS - 1]
    }
}

impl std::ops::Deref for PotCheckpoints {
    type Target = [PotOutput; Self::NUM_CHECKPOINTS];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<[PotOutput; Self::NUM_CHECKPOINTS]> for PotCheckpoints {
    fn from(checkpoints: [PotOutput; Self::NUM_CHECKPOINTS]) -> Self {
        Self(checkpoints)
    }
}

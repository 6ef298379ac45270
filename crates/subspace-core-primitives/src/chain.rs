//! Numbers, keys and challenges of the chain.

use crate::hashes::{Blake3Hash, blake3_hash, blake3_hash_list};

/// Number of a block; fixed 4 bytes in SCALE, except in block headers where it is compact.
pub type BlockNumber = u32;
/// Number of a slot (one proof of time, about a second).
pub type SlotNumber = u64;
/// Hash of a block (BLAKE2b-256 of its header).
pub type BlockHash = [u8; 32];
/// Weight of a fork: the sum of the weights of its blocks, see [`crate::solutions::block_fork_weight`].
pub type BlockForkWeight = u128;

byte_array!(
    /// sr25519 (Ristretto) public key; also the form of a reward address on RPC.
    PublicKey,
    32
);
byte_array!(
    /// Randomness of a slot: the hash of its proof of time.
    Randomness,
    32
);
byte_array_hex_serde!(PublicKey, Randomness);
byte_array_default!(PublicKey, Randomness);

impl PublicKey {
    /// BLAKE3 of the key bytes, the key of all sector identifiers of this farmer.
    pub fn hash(&self) -> Blake3Hash {
        blake3_hash(&self.0)
    }
}

/// Global challenge of a slot: BLAKE3 of the randomness and the slot number (8 bytes, little-endian).
pub fn derive_global_challenge(randomness: &Randomness, slot: SlotNumber) -> Blake3Hash {
    blake3_hash_list(&[&randomness.0, &slot.to_le_bytes()])
}

//! Seed and proof of the proof of space.

use crate::hashes::{Blake3Hash, blake3_hash};

/// The space parameter `k`: x values have this many bits.
pub const POS_K: u8 = 20;

byte_array!(
    /// Seed of a proof-of-space table (32 bytes); one for each piece offset of each sector.
    PosSeed,
    32
);
byte_array!(
    /// Proof of space: 64 x values of 20 bits, most significant bit first (160 bytes).
    PosProof,
    160
);
byte_array_hex_serde!(PosSeed, PosProof);
byte_array_default!(PosSeed, PosProof);

impl PosProof {
    /// BLAKE3 of the proof, the mask that encodes a chunk.
    pub fn hash(&self) -> Blake3Hash {
        blake3_hash(&self.0)
    }
}

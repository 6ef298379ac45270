//! 256-bit unsigned numbers, as far as the derivations need them.

use parity_scale_codec::{Decode, Encode};

/// Unsigned 256-bit number in four 64-bit limbs, least significant first (in SCALE 32 little-endian bytes).
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct U256(pub [u64; 4]);

impl U256 {
    /// Half of the range: 2^255 − 1.
    pub const MIDDLE: Self = Self([u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 1]);

    /// From 32 little-endian bytes.
    pub fn from_le_bytes(bytes: &[u8; 32]) -> Self {
        let (limbs, _) = bytes.as_chunks::<8>();
        Self([0, 1, 2, 3].map(|index: usize| u64::from_le_bytes(limbs[index])))
    }

    /// From 32 big-endian bytes.
    pub fn from_be_bytes(bytes: &[u8; 32]) -> Self {
        let mut reversed = *bytes;
        reversed.reverse();
        Self::from_le_bytes(&reversed)
    }

    /// As 32 little-endian bytes.
    pub fn to_le_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (target, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *target = limb.to_le_bytes();
        }
        bytes
    }

    /// As 32 big-endian bytes.
    pub fn to_be_bytes(&self) -> [u8; 32] {
        let mut bytes = self.to_le_bytes();
        bytes.reverse();
        bytes
    }

    /// Remainder of the division by a 64-bit number.
    pub fn rem_u64(&self, divisor: std::num::NonZeroU64) -> u64 {
        let divisor = u128::from(divisor.get());
        let remainder = self.0.iter().rev().fold(0u128, |remainder, limb| {
            ((remainder << 64) | u128::from(*limb)) % divisor
        });
        // A remainder is smaller than its 64-bit divisor.
        remainder as u64
    }
}

//! The function that makes an entry of table 2 to 7 from a matching pair, in its plainest form.
//!
//! Used by verification and by the unbounded tables; [`crate::kernel`] holds the same in vectors.

use crate::constants::{K, Y_BITS, metadata_multiple};

/// Bits of a 256-bit string, first bit most significant.
#[derive(Clone, Copy)]
struct Bits([u128; 2]);

impl Bits {
    /// Writes `width` bits at `offset`; what was there must be zero.
    fn put(&mut self, offset: u32, width: u32, value: u128) {
        for (index, word) in self.0.iter_mut().enumerate() {
            // Distance from the value's lowest bit to the word's lowest bit.
            let shift = 128 * (index as i32 + 1) - (offset + width) as i32;
            *word |= shift_left(value, shift);
        }
    }

    /// Reads `width` (at most 128) bits at `offset`.
    fn get(&self, offset: u32, width: u32) -> u128 {
        if width == 0 {
            return 0;
        }
        let end = (offset + width) as i32;
        let value = shift_left(self.0[0], end - 128) | shift_left(self.0[1], end - 256);
        value & (u128::MAX >> (128 - width))
    }
}

/// Shift by any distance, to the right when negative.
fn shift_left(value: u128, distance: i32) -> u128 {
    if distance >= 0 {
        value.checked_shl(distance as u32).unwrap_or(0)
    } else {
        value.checked_shr(distance.unsigned_abs()).unwrap_or(0)
    }
}

/// `y` and metadata of the entry of `table` (2 to 7) made from a left entry `(y, left)` and the metadata of a right one.
pub(crate) fn compute(table: u8, y: u32, left: u128, right: u128) -> (u32, u128) {
    compute_with(K, Y_BITS, table, y, left, right)
}

/// [`compute`] for another space parameter.
fn compute_with(k: u32, y_bits: u32, table: u8, y: u32, left: u128, right: u128) -> (u32, u128) {
    let parent_bits = metadata_multiple(table - 1) * k;
    let own_bits = metadata_multiple(table) * k;

    let mut input = Bits([0; 2]);
    input.put(0, y_bits, u128::from(y));
    input.put(y_bits, parent_bits, left);
    input.put(y_bits + parent_bits, parent_bits, right);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&input.0[0].to_be_bytes());
    bytes[16..].copy_from_slice(&input.0[1].to_be_bytes());
    let length = (y_bits + 2 * parent_bits).div_ceil(8) as usize;

    let hash = *blake3::hash(&bytes[..length]).as_bytes();
    let (high, low) = hash.split_at(16);
    let word = |half: &[u8]| half.iter().fold(0, |word, &byte| (word << 8) | u128::from(byte));
    let output = Bits([word(high), word(low)]);
    let metadata = match table {
        2 | 3 => (left << parent_bits) | right,
        _ => output.get(y_bits, own_bits),
    };
    (output.get(0, y_bits) as u32, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_at_k_16_are_the_known_ones() {
        let cases = [
            (2, 0x20a61a, 0x44cb, 0x204f, 0x2af546, 0x44cb_204f),
            (
                3,
                0x31e541,
                0x35bf_992d,
                0x7ce4_2c82,
                0x0f73b3,
                0x35bf_992d_7ce4_2c82,
            ),
            (
                4,
                0x30cb4c,
                0x05b6_e6e3_07d4_bedc,
                0x8a9a_021e_a648_a7dd,
                0x011ad5,
                0xd4bd_0b14_4fc2_6138,
            ),
            (
                5,
                0x25f01e,
                0xc2cd_789a_3802_08a9,
                0x1999_9e3f_a46d_6753,
                0x1f22bd,
                0xabe4_2304_0a33,
            ),
            (
                6,
                0x1f121a,
                0xc965_815a_47c5,
                0xf5e0_08d6_af57,
                0x1cabbe,
                0xc8cc_6947,
            ),
            (7, 0x14f410, 0x5fec_898f, 0x8228_3d15, 0x24c3c2, 0),
        ];
        for (table, y, left, right, y_out, metadata) in cases {
            assert_eq!(
                compute_with(16, 22, table, y, left, right),
                (y_out, metadata),
                "table {table}"
            );
        }
    }
}

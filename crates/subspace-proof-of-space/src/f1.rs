//! Table 1: `y` of an `x` value, cut from a ChaCha8 keystream.

use crate::constants::K;
use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use subspace_core_primitives::pos::PosSeed;

/// Computes `y` of `x` values.
pub(crate) struct F1 {
    cipher: ChaCha8,
}

impl F1 {
    pub(crate) fn new(seed: &PosSeed) -> Self {
        Self {
            cipher: ChaCha8::new(seed.as_bytes().into(), &[0; 12].into()),
        }
    }

    /// `y` of one `x` below `2^20`.
    pub(crate) fn y(&mut self, x: u32) -> u32 {
        let bit_offset = x * K;
        let mut bytes = [0; 4];
        self.cipher.seek(bit_offset / 8);
        self.cipher.apply_keystream(&mut bytes[..3]);
        let slice = u32::from_be_bytes(bytes) << (bit_offset % 8) >> (32 - K);
        join(slice, x)
    }

    /// Calls `use_y(x, y)` for every `x` of `xs` in order; both bounds must be even.
    pub(crate) fn for_each(&mut self, xs: std::ops::Range<u32>, mut use_y: impl FnMut(u32, u32)) {
        /// Keystream bytes made at a time: large enough for the cipher's parallel blocks, small enough for the first
        /// level cache.
        const CHUNK: usize = 64 * 5 * 16;
        let mut buffer = [0_u8; CHUNK];
        self.cipher.seek(xs.start * K / 8);
        let mut x = xs.start;
        while x < xs.end {
            let bytes = ((xs.end - x) * K / 8).min(CHUNK as u32) as usize;
            let chunk = &mut buffer[..bytes];
            chunk.fill(0);
            self.cipher.apply_keystream(chunk);
            for pair in chunk.as_chunks::<5>().0 {
                let high = u32::from_be_bytes([pair[0], pair[1], pair[2], pair[3]]);
                use_y(x, join(high >> 12, x));
                use_y(x + 1, join(((high & 0xfff) << 8) | u32::from(pair[4]), x + 1));
                x += 2;
            }
        }
    }
}

/// The keystream slice on top, the six most significant bits of `x` below.
fn join(slice: u32, x: u32) -> u32 {
    (slice << 6) | (x >> (K - 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_values_and_ranges_agree() {
        let mut f1 = F1::new(&PosSeed::from([3; 32]));
        let mut range = F1::new(&PosSeed::from([3; 32]));
        for xs in [0..4098_u32, 1_000_000..1_003_000, (1 << 20) - 2..1 << 20, 6..6] {
            let mut expected = xs.start;
            range.for_each(xs.clone(), |x, y| {
                assert_eq!(x, expected);
                expected += 1;
                assert_eq!(y, f1.y(x), "x {x}");
                assert_eq!(y & 63, x >> 14);
            });
            assert_eq!(expected, xs.end);
        }
    }
}

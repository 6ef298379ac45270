//! CRC32C (Castagnoli), the checksum of frames.

use crate::limits::CHECKSUM_STEP;
use crc_fast::{CrcAlgorithm, Digest};

/// CRC32C of one run of bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// CRC32C of two runs of bytes behind each other, from their own: the second has `length` bytes. Takes some two microseconds for a
/// piece; the library's own takes sixty.
pub(crate) fn combine(first: u32, second: u32, mut length: usize) -> u32 {
    // Zeros behind a run multiply its sum with a power of x: eight for each byte, made of squares.
    let (mut power, mut square) = (1 << 31, 1 << 23);
    while length > 0 {
        if length & 1 == 1 {
            power = multiply(power, square);
        }
        square = multiply(square, square);
        length >>= 1;
    }
    multiply(power, first) ^ second
}

/// Product of two polynomials over GF(2) modulo that of the checksum.
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        product ^= b & ((a >> bit) & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

/// CRC32C of bytes that come in parts, so that each is summed while it is still in the processor's cache.
pub(crate) struct Crc32c(Digest);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(CHECKSUM_STEP) {
            self.0.update(part);
        }
    }

    pub(crate) fn finish(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn agrees_with_another_implementation_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..200_000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..5),
        ) {
            let expected = crc32c::crc32c(&bytes);
            prop_assert_eq!(crc32c(&bytes), expected);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut crc = Crc32c::new();
            for range in cuts.windows(2) {
                crc.update(&bytes[range[0]..range[1]]);
            }
            prop_assert_eq!(crc.finish(), expected);
            let (first, second) = bytes.split_at(cuts[cuts.len() / 2]);
            prop_assert_eq!(combine(crc32c(first), crc32c(second), second.len()), expected);
        }
    }
}

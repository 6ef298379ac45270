//! A binary logarithm in fixed point that is the same on every machine.

use std::sync::LazyLock;

/// Fraction bits of results.
const FRACTION_BITS: u32 = 32;

/// The mantissa's leading bits that choose a table entry; between entries the curve is taken as straight (error below 2^-26).
const TABLE_BITS: u32 = 12;

/// log2(1 + i / 4096) for i = 0..=4096, 32 fraction bits.
static TABLE: LazyLock<Vec<u64>> = LazyLock::new(|| {
    (0..=1u64 << TABLE_BITS)
        .map(|step| log2_by_squaring((1 << TABLE_BITS) + step))
        .collect()
});

/// log2(value / 4096) for a value in 4096..=8192, one result bit at a time: squaring doubles the logarithm.
fn log2_by_squaring(value: u64) -> u64 {
    if value == 2 << TABLE_BITS {
        return 1 << FRACTION_BITS;
    }
    // The number in 1..2 with 63 fraction bits.
    let mut mantissa = value << (63 - TABLE_BITS);
    let mut result = 0;
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        result <<= 1;
        if square >> 127 == 1 {
            result |= 1;
            mantissa = (square >> 64) as u64;
        } else {
            mantissa = (square >> 63) as u64;
        }
    }
    result
}

/// -log2(draw / 2^64) with 32 fraction bits, at least 1; a draw of 0 counts as 1.
pub(super) fn negative_log2(draw: u64) -> u64 {
    let draw = draw.max(1);
    let zeros = draw.leading_zeros();
    let mantissa = draw << zeros;
    let rest_bits = 63 - TABLE_BITS;
    let step = ((mantissa >> rest_bits) & ((1 << TABLE_BITS) - 1)) as usize;
    let rest = (mantissa & ((1 << rest_bits) - 1)) >> (rest_bits - FRACTION_BITS);
    let (low, high) = (TABLE[step], TABLE[step + 1]);
    let fraction = low + (((high - low) * rest) >> FRACTION_BITS);
    // -log2 = zeros + 1 - log2(mantissa in 1..2)
    (((u64::from(zeros) + 1) << FRACTION_BITS) - fraction).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_floating_point(draw: u64) {
            let exact = 64.0 - (draw.max(1) as f64).log2();
            let ours = negative_log2(draw) as f64 / 2f64.powi(32);
            prop_assert!((exact - ours).abs() < 1e-6, "{draw}: {exact} against {ours}");
        }
    }

    #[test]
    fn is_the_same_everywhere() {
        // Powers of two are exact; the others pin the table.
        assert_eq!(negative_log2(1 << 63), 1 << 32);
        assert_eq!(negative_log2(0), 64 << 32);
        assert_eq!(negative_log2(u64::MAX), 1);
        // Exact: 2 981 746 314.56; the rest is the straight line between two entries.
        assert_eq!(negative_log2(0x9e37_79b9_7f4a_7c15), 2_981_746_323);
    }
}

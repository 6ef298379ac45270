//! Signed digits of scalars, sorted by the bucket they belong to.

use crate::Scalar;

/// Bits of a digit. 16 balances additions (one a digit) against the pass over the buckets (two a bucket).
pub(super) const WINDOW_BITS: usize = 16;

/// Digits of a scalar: signed digits of 255 bits need no seventeenth, as the top one stays below 2^15.
pub(super) const WINDOWS: usize = 256 / WINDOW_BITS;

/// Signed digits have magnitude 1 to 2^15; bucket `b` collects magnitude `b + 1`.
pub(super) const BUCKETS: usize = 1 << (WINDOW_BITS - 1);

/// Set in an entry whose point enters negated.
pub(super) const NEGATIVE: u32 = 1 << 31;

/// Digits of all scalars, grouped by bucket.
pub(super) struct SortedDigits {
    /// Index into the multiples, with [`NEGATIVE`] set where the digit is negative; bucket after bucket.
    pub(super) entries: Vec<u32>,
    /// Where the entries of each bucket start; one more element than buckets.
    pub(super) starts: Vec<u32>,
}

impl SortedDigits {
    pub(super) fn new(scalars: &[Scalar]) -> Self {
        let digits = scalars.iter().map(signed_digits).collect::<Vec<_>>();
        let mut starts = vec![0_u32; BUCKETS + 2];
        for digit in digits.iter().flatten() {
            if *digit != 0 {
                starts[usize::from(bucket(*digit)) + 2] += 1;
            }
        }
        for index in 2..starts.len() {
            starts[index] += starts[index - 1];
        }
        let total = starts[BUCKETS + 1] as usize;
        let mut entries = vec![0_u32; total];
        for (index, digit) in digits.iter().flatten().enumerate() {
            if *digit != 0 {
                // `starts[b + 1]` walks from the start of bucket `b` to its end, which is the start of `b + 1`.
                let place = &mut starts[usize::from(bucket(*digit)) + 1];
                entries[*place as usize] = index as u32 | if *digit < 0 { NEGATIVE } else { 0 };
                *place += 1;
            }
        }
        starts.pop();
        Self { entries, starts }
    }
}

#[inline]
fn bucket(digit: i32) -> u16 {
    (digit.unsigned_abs() - 1) as u16
}

/// Digits in `-2^15 ..= 2^15`, least significant first.
fn signed_digits(scalar: &Scalar) -> [i32; WINDOWS] {
    let bytes = scalar.to_little_endian();
    let mut digits = [0; WINDOWS];
    let mut carry = 0;
    for (digit, pair) in digits.iter_mut().zip(bytes.chunks_exact(2)) {
        let value = i32::from(u16::from_le_bytes([pair[0], pair[1]])) + carry;
        carry = i32::from(value > BUCKETS as i32);
        *digit = value - (carry << WINDOW_BITS);
    }
    debug_assert_eq!(carry, 0, "a scalar has 255 bits");
    digits
}

//! Multi-scalar multiplication over the powers of the reference string with tables of `2^(16 j) · P_i`.
//!
//! With the tables all digits of a scalar share one array of buckets: a commitment is one batch-affine addition for each
//! of the 16 digits of each coefficient plus one pass over the buckets, without doublings.

use crate::Scalar;
use crate::batch_affine::{self, INFINITY, PairAdder};
use crate::g1::G1Point;
use blst::blst_p1_affine;
use rayon::prelude::*;
use std::ptr;

/// Bits of a digit. 16 balances additions (one a digit) against the pass over the buckets (two a bucket).
const WINDOW_BITS: usize = 16;

/// Digits of a scalar: signed digits of 255 bits need no seventeenth, as the top one stays below 2^15.
const WINDOWS: usize = 256 / WINDOW_BITS;

/// Signed digits have magnitude 1 to 2^15; bucket `b` collects magnitude `b + 1`.
const BUCKETS: usize = 1 << (WINDOW_BITS - 1);

/// Points of a bucket range that are summed at once: 1.5 MiB, what fits a second-level cache together with the operands.
const BLOCK_POINTS: usize = 1 << 13;

/// Entries between asking for a point and using it.
const PREFETCH_DISTANCE: usize = 24;

/// Set in an entry whose point enters negated.
const NEGATIVE: u32 = 1 << 31;

/// `WINDOWS` multiples of every point: 1536 bytes a point, 48 MiB for 32 768 points.
pub(crate) struct FixedBaseTables {
    /// `2^(16 j) · P_i` at `i * WINDOWS + j`: the digits of one scalar lie together.
    multiples: Vec<blst_p1_affine>,
}

impl FixedBaseTables {
    /// Computes the tables on `pool`; about 240 doublings a point. No point may be the identity or outside the subgroup.
    pub(crate) fn new(points: &[blst_p1_affine], pool: &rayon::ThreadPool) -> Self {
        let mut multiples = vec![INFINITY; points.len() * WINDOWS];
        // Points whose normalisation shares an inversion.
        const CHUNK: usize = 64;
        pool.install(|| {
            multiples
                .par_chunks_mut(CHUNK * WINDOWS)
                .zip(points.par_chunks(CHUNK))
                .for_each(|(output, points)| {
                    let mut projective = Vec::with_capacity(output.len());
                    for point in points {
                        let mut multiple = G1Point::from_affine(point);
                        for window in 0..WINDOWS {
                            if window > 0 {
                                for _ in 0..WINDOW_BITS {
                                    multiple = multiple.doubled();
                                }
                            }
                            projective.push(multiple);
                        }
                    }
                    output.copy_from_slice(&batch_affine::normalize(&projective));
                });
        });
        Self { multiples }
    }

    /// `Σ scalars[i] · P_{first + i}` on the calling thread; `first + scalars.len()` must not exceed the number of points.
    pub(crate) fn multi_scalar_mult(&self, first: usize, scalars: &[Scalar]) -> G1Point {
        let multiples = &self.multiples[first * WINDOWS..(first + scalars.len()) * WINDOWS];
        let sorted = SortedDigits::new(scalars);
        let mut buckets = vec![INFINITY; BUCKETS];
        sum_buckets(multiples, &sorted, &mut buckets);
        weighted_sum(&buckets)
    }
}

/// Digits of all scalars, grouped by bucket.
struct SortedDigits {
    /// Index into the multiples, with [`NEGATIVE`] set where the digit is negative; bucket after bucket.
    entries: Vec<u32>,
    /// Where the entries of each bucket start; one more element than buckets.
    starts: Vec<u32>,
}

impl SortedDigits {
    fn new(scalars: &[Scalar]) -> Self {
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

/// Sums the points of every bucket by halving: each round adds neighbours of the same bucket, all pairs of a block of
/// buckets sharing inversions.
fn sum_buckets(multiples: &[blst_p1_affine], sorted: &SortedDigits, buckets: &mut [blst_p1_affine]) {
    let mut block = Block {
        points: Vec::with_capacity(BLOCK_POINTS + 1),
        buckets: Vec::new(),
        lengths: Vec::new(),
        adder: PairAdder::new(),
    };
    let mut bucket = 0;
    let mut entry = 0;
    while bucket < buckets.len() {
        let end = sorted.starts[bucket + 1] as usize;
        let available = BLOCK_POINTS - block.points.len();
        let taken = (end - entry).min(available);
        let ahead = sorted.entries.len().min(entry + PREFETCH_DISTANCE);
        block.push_run(
            bucket,
            multiples,
            &sorted.entries[entry..entry + taken],
            &sorted.entries[ahead..],
        );
        entry += taken;
        if entry < end {
            // The rest of a bucket that is larger than the block goes on with the sum so far.
            block.sum_into(buckets);
        } else {
            bucket += 1;
            if block.points.len() == BLOCK_POINTS || bucket == buckets.len() {
                block.sum_into(buckets);
            }
        }
    }
}

struct Block {
    /// Runs of points that belong to one bucket each.
    points: Vec<blst_p1_affine>,
    /// Bucket of each run.
    buckets: Vec<usize>,
    /// Points of each run.
    lengths: Vec<usize>,
    adder: PairAdder,
}

impl Block {
    fn push_run(&mut self, bucket: usize, multiples: &[blst_p1_affine], entries: &[u32], following: &[u32]) {
        if entries.is_empty() {
            return;
        }
        for (entry, ahead) in entries.iter().zip(following) {
            prefetch(&multiples[(ahead & !NEGATIVE) as usize]);
            self.push(multiples, *entry);
        }
        for entry in entries.iter().skip(following.len()) {
            self.push(multiples, *entry);
        }
        self.buckets.push(bucket);
        self.lengths.push(entries.len());
    }

    #[inline]
    fn push(&mut self, multiples: &[blst_p1_affine], entry: u32) {
        self.points.push(multiples[(entry & !NEGATIVE) as usize]);
        if entry & NEGATIVE != 0
            && let Some(point) = self.points.last_mut()
        {
            batch_affine::negate(point);
        }
    }

    /// Adds the sum of every run to its bucket and empties the block.
    fn sum_into(&mut self, buckets: &mut [blst_p1_affine]) {
        // A bucket that already has a sum from an earlier block takes part as one more point.
        if let (Some(bucket), Some(length)) = (self.buckets.first(), self.lengths.first_mut())
            && !batch_affine::is_infinity(&buckets[*bucket])
        {
            self.points.insert(0, buckets[*bucket]);
            *length += 1;
        }
        self.adder.sum_runs(&mut self.points, &mut self.lengths);
        for (bucket, point) in self.buckets.iter().zip(&self.points) {
            buckets[*bucket] = *point;
        }
        self.points.clear();
        self.buckets.clear();
        self.lengths.clear();
    }
}

/// Asks for a point that is needed soon: the multiples lie anywhere in the tables.
#[inline]
fn prefetch(point: &blst_p1_affine) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = ptr::from_ref(point).cast::<i8>();
        // SAFETY: a prefetch has no effect but on caches, and the address is that of a live value of 96 bytes.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address);
            _mm_prefetch::<_MM_HINT_T0>(address.add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = point;
}

/// `Σ (b + 1) · buckets[b]`. With `b = COLUMNS · row + column` that is `Σ COLUMNS · row · (sum of the row)` plus
/// `Σ (column + 1) · (sum of the column)`, so that all but a few hundred additions share inversions.
fn weighted_sum(buckets: &[blst_p1_affine]) -> G1Point {
    const COLUMNS: usize = 256;

    let rows = buckets.len() / COLUMNS;
    let mut adder = PairAdder::new();
    let mut points = buckets.to_vec();
    adder.sum_runs(&mut points, &mut vec![COLUMNS; rows]);
    let row_sums = points[..rows].to_vec();
    for (index, point) in points.iter_mut().enumerate() {
        *point = buckets[index % rows * COLUMNS + index / rows];
    }
    adder.sum_runs(&mut points, &mut vec![rows; COLUMNS]);

    // Σ (i + 1) · P_i by summing the running sums from the end.
    let ascending = |points: &[blst_p1_affine]| {
        let mut running = G1Point::IDENTITY;
        let mut sum = G1Point::IDENTITY;
        for point in points.iter().rev() {
            running.add_affine_assign(point);
            sum.add_assign(&running);
        }
        sum
    };
    // The first row has weight zero.
    let mut sum = ascending(&row_sums[1..]);
    for _ in 0..COLUMNS.trailing_zeros() {
        sum = sum.doubled();
    }
    sum.add_assign(&ascending(&points[..COLUMNS]));
    sum
}

#[cfg(test)]
mod tests;

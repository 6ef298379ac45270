//! Multi-scalar multiplication over tables with the arithmetic of the library, on any processor.

use super::digits::{BUCKETS, NEGATIVE, SortedDigits};
use super::weights::{self, COLUMNS, ROWS};
use crate::batch_affine::{self, INFINITY, PairAdder};
use crate::g1::G1Point;
use blst::blst_p1_affine;

/// Points of a bucket range that are summed at once: 1.5 MiB, what fits a second-level cache together with the operands.
const BLOCK_POINTS: usize = 1 << 13;

/// Entries between asking for a point and using it.
const PREFETCH_DISTANCE: usize = 24;

/// The sum of the multiples that the digits ask for.
pub(super) fn sum_digits(multiples: &[blst_p1_affine], sorted: &SortedDigits) -> G1Point {
    let mut buckets = vec![INFINITY; BUCKETS];
    sum_buckets(multiples, sorted, &mut buckets);
    weighted_sum(&buckets)
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
        let address = std::ptr::from_ref(point).cast::<i8>();
        // SAFETY: a prefetch has no effect but on caches, and the address is that of a live value of 96 bytes.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address);
            _mm_prefetch::<_MM_HINT_T0>(address.add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = point;
}

fn weighted_sum(buckets: &[blst_p1_affine]) -> G1Point {
    let mut adder = PairAdder::new();
    let mut rows = buckets.to_vec();
    adder.sum_runs(&mut rows, &mut vec![COLUMNS; ROWS]);
    let mut columns = weights::columns()
        .flatten()
        .map(|bucket| buckets[bucket as usize])
        .collect::<Vec<_>>();
    adder.sum_runs(&mut columns, &mut vec![ROWS; COLUMNS]);
    weights::weighted_sum(&rows[..ROWS], &columns[..COLUMNS])
}

#[cfg(test)]
mod tests;

//! Multi-scalar multiplication over tables with the 52-bit multiplier of AVX-512.

mod field;
mod points;
mod sums;

pub(super) use points::PackedPoint;

use super::digits::{BUCKETS, SortedDigits};
use super::weights;
use crate::g1::G1Point;
use std::arch::is_x86_feature_detected;

/// Proof that the processor has the instructions.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Ifma(());

impl Ifma {
    /// The proof, when it holds.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")).then_some(Self(()))
    }
}

/// The sum of the multiples that the digits ask for.
pub(super) fn sum_digits(_proof: Ifma, multiples: &[PackedPoint], sorted: &SortedDigits) -> G1Point {
    // SAFETY: the processor has the instructions, which is what the proof is for.
    unsafe { sum_digits_inner(multiples, sorted) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn sum_digits_inner(multiples: &[PackedPoint], sorted: &SortedDigits) -> G1Point {
    let buckets = sums::sum_runs(multiples, &sorted.entries, &sorted.starts);
    let mut entries = Vec::with_capacity(2 * BUCKETS);
    let mut starts = vec![0];
    for line in weights::rows().chain(weights::columns()) {
        entries.extend(line.filter(|bucket| !buckets[*bucket as usize].is_identity()));
        starts.push(entries.len() as u32);
    }
    let lines = sums::sum_runs(&buckets, &entries, &starts);
    let lines = lines.into_iter().map(PackedPoint::to_affine).collect::<Vec<_>>();
    let (rows, columns) = lines.split_at(weights::ROWS);
    weights::weighted_sum(rows, columns)
}

//! The last step of a multi-scalar multiplication: buckets times their weights.
//!
//! Bucket `b` has the weight `b + 1`. With `b = COLUMNS · row + column` the weighted sum is `Σ COLUMNS · row · (sum of the row)`
//! plus `Σ (column + 1) · (sum of the column)`, so that all but a few hundred additions are unweighted and share inversions.

use super::digits::BUCKETS;
use crate::g1::G1Point;
use blst::blst_p1_affine;
use std::iter::StepBy;
use std::ops::Range;

pub(super) const COLUMNS: usize = 256;
pub(super) const ROWS: usize = BUCKETS / COLUMNS;

/// The buckets of each row.
pub(super) fn rows() -> impl Iterator<Item = StepBy<Range<u32>>> {
    (0..ROWS).map(|row| {
        let first = (row * COLUMNS) as u32;
        (first..first + COLUMNS as u32).step_by(1)
    })
}

/// The buckets of each column.
pub(super) fn columns() -> impl Iterator<Item = StepBy<Range<u32>>> {
    (0..COLUMNS as u32).map(|first| (first..BUCKETS as u32).step_by(COLUMNS))
}

/// The weighted sum of all buckets from the sums of rows and columns.
pub(super) fn weighted_sum(row_sums: &[blst_p1_affine], column_sums: &[blst_p1_affine]) -> G1Point {
    // The first row has weight zero.
    let mut sum = ascending(&row_sums[1..]);
    for _ in 0..COLUMNS.trailing_zeros() {
        sum = sum.doubled();
    }
    sum.add_assign(&ascending(column_sums));
    sum
}

/// `Σ (i + 1) · points[i]` by summing the running sums from the end.
fn ascending(points: &[blst_p1_affine]) -> G1Point {
    let mut running = G1Point::IDENTITY;
    let mut sum = G1Point::IDENTITY;
    for point in points.iter().rev() {
        running.add_affine_assign(point);
        sum.add_assign(&running);
    }
    sum
}

//! Multi-scalar multiplication over the powers of the reference string with tables of `2^(16 j) · P_i`.
//!
//! With the tables all digits of a scalar share one array of buckets: a commitment is one batch-affine addition for each
//! of the 16 digits of each coefficient plus one pass over the buckets, without doublings.

use super::digits::{SortedDigits, WINDOW_BITS, WINDOWS};
#[cfg(target_arch = "x86_64")]
use super::{
    avx2::{self, Avx2},
    ifma::{self, Ifma},
    instructions::PackedPoint,
    sums,
};
use super::{huge_pages, portable};
use crate::batch_affine::{self, INFINITY};
use crate::g1::G1Point;
use crate::{Scalar, SimdLevel};
use blst::blst_p1_affine;
use rayon::prelude::*;

/// Points whose normalisation shares an inversion while the tables are built.
const CHUNK: usize = 64;

/// Points that one task brings into another form: some tenths of a millisecond.
#[cfg(target_arch = "x86_64")]
const PACKED_AT_ONCE: usize = 1 << 12;

/// `WINDOWS` multiples of every point: 1536 bytes a point, 48 MiB for 32 768 points (a third more with AVX2). `2^(16 j) · P_i`
/// is at `i * WINDOWS + j`: the digits of one scalar lie together.
pub(crate) enum FixedBaseTables {
    Portable(Vec<blst_p1_affine>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, Vec<avx2::PackedPoint>),
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma, Vec<ifma::PackedPoint>),
}

impl FixedBaseTables {
    /// Multiples of each point.
    pub(crate) const MULTIPLES: usize = WINDOWS;

    /// Computes the tables on `pool`; about 240 doublings a point. No point may be the identity or outside the subgroup.
    /// A level that the processor does not have is as good as the portable one.
    pub(crate) fn new(points: &[blst_p1_affine], level: SimdLevel, pool: &rayon::ThreadPool) -> Self {
        Self::from_multiples(Self::multiples(points, pool), level, pool)
    }

    /// Room for the multiples of `points` points.
    pub(crate) fn empty(points: usize) -> Vec<blst_p1_affine> {
        huge_pages::filled_vec(INFINITY, points * WINDOWS)
    }

    /// The tables in the form that is the same for all levels.
    pub(crate) fn multiples(points: &[blst_p1_affine], pool: &rayon::ThreadPool) -> Vec<blst_p1_affine> {
        let mut multiples = Self::empty(points.len());
        pool.install(|| {
            multiples
                .par_chunks_mut(CHUNK * WINDOWS)
                .zip(points.par_chunks(CHUNK))
                .for_each(|(output, points)| write_multiples(points, output));
        });
        multiples
    }

    /// The tables in the form for a level.
    pub(crate) fn from_multiples(
        multiples: Vec<blst_p1_affine>,
        level: SimdLevel,
        pool: &rayon::ThreadPool,
    ) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 if let Some(proof) = Avx2::detect() => {
                Self::Avx2(proof, packed(&multiples, pool))
            }
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 if let Some(proof) = Ifma::detect() => {
                Self::Ifma(proof, packed(&multiples, pool))
            }
            _ => Self::Portable(multiples),
        }
    }

    /// `Σ scalars[i] · P_{first + i}` on the calling thread; `first + scalars.len()` must not exceed the number of points.
    pub(crate) fn multi_scalar_mult(&self, first: usize, scalars: &[Scalar]) -> G1Point {
        let range = first * WINDOWS..(first + scalars.len()) * WINDOWS;
        let sorted = SortedDigits::new(scalars);
        match self {
            Self::Portable(multiples) => portable::sum_digits(&multiples[range], &sorted),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof, multiples) => sums::sum_digits(*proof, &multiples[range], &sorted),
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(proof, multiples) => sums::sum_digits(*proof, &multiples[range], &sorted),
        }
    }
}

/// Points in the form that their sums want.
#[cfg(target_arch = "x86_64")]
fn packed<P: PackedPoint + Send + Sync>(points: &[blst_p1_affine], pool: &rayon::ThreadPool) -> Vec<P> {
    let mut packed = huge_pages::filled_vec(P::IDENTITY, points.len());
    pool.install(|| {
        packed
            .par_iter_mut()
            .with_min_len(PACKED_AT_ONCE)
            .zip(points)
            .for_each(|(packed, point)| *packed = P::new(point));
    });
    packed
}

/// `WINDOWS` multiples of each point.
fn write_multiples(points: &[blst_p1_affine], output: &mut [blst_p1_affine]) {
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
}

#[cfg(test)]
mod tests;

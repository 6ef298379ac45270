//! Affine points as they lie in tables, and how eight of them get from there to the arithmetic and back.

use super::super::instructions::{self, LANES};
use super::field::{self, Fp8, Limbs};
use super::multiply::{LIMBS, Numbers};
use crate::batch_affine::INFINITY;
use blst::blst_p1_affine;
use std::arch::x86_64::*;

/// Limbs of both coordinates of a point: 128 bytes, a cache line for each. The identity is all zeroes, which no other point is,
/// as the coordinates of none are both zero.
#[derive(Copy, Clone)]
#[repr(C, align(64))]
pub(crate) struct PackedPoint {
    x: Limbs,
    y: Limbs,
}

impl instructions::PackedPoint for PackedPoint {
    const IDENTITY: Self = Self {
        x: [0.0; LIMBS],
        y: [0.0; LIMBS],
    };

    fn new(point: &blst_p1_affine) -> Self {
        Self {
            x: field::to_limbs(&point.x),
            y: field::to_limbs(&point.y),
        }
    }

    fn to_affine(self) -> blst_p1_affine {
        if self.is_identity() {
            return INFINITY;
        }
        blst_p1_affine {
            x: field::from_limbs(&self.x),
            y: field::from_limbs(&self.y),
        }
    }

    fn is_identity(&self) -> bool {
        self.x.iter().chain(&self.y).all(|limb| *limb == 0.0)
    }
}

/// Two limbs from `first` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn two_limbs(number: &Limbs, first: usize) -> __m128d {
    let limbs: &[f64] = &number[first..first + 2];
    // SAFETY: these are two limbs.
    unsafe { _mm_loadu_pd(limbs.as_ptr()) }
}

/// Four numbers side by side.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed([n0, n1, n2, n3]: [&Limbs; 4]) -> Numbers {
    let mut limbs = [_mm256_setzero_pd(); LIMBS];
    for first in [0, 2, 4, 6] {
        let even = _mm256_set_m128d(two_limbs(n2, first), two_limbs(n0, first));
        let odd = _mm256_set_m128d(two_limbs(n3, first), two_limbs(n1, first));
        limbs[first] = _mm256_unpacklo_pd(even, odd);
        limbs[first + 1] = _mm256_unpackhi_pd(even, odd);
    }
    limbs
}

/// First coordinates of the points with the given indexes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn gather_x(points: &[PackedPoint], [i0, i1, i2, i3, i4, i5, i6, i7]: &[u32; LANES]) -> Fp8 {
    let x = |index: &u32| &points[*index as usize].x;
    Fp8([
        transposed([x(i0), x(i1), x(i2), x(i3)]),
        transposed([x(i4), x(i5), x(i6), x(i7)]),
    ])
}

/// Second coordinates of the points with the given indexes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn gather_y(points: &[PackedPoint], [i0, i1, i2, i3, i4, i5, i6, i7]: &[u32; LANES]) -> Fp8 {
    let y = |index: &u32| &points[*index as usize].y;
    Fp8([
        transposed([y(i0), y(i1), y(i2), y(i3)]),
        transposed([y(i4), y(i5), y(i6), y(i7)]),
    ])
}

/// Points with these coordinates; the identity in the lanes of `identity`.
pub(super) fn pack(x: &Fp8, y: &Fp8, identity: u8) -> [PackedPoint; LANES] {
    let (x, y) = (x.to_lanes(), y.to_lanes());
    std::array::from_fn(|lane| match identity >> lane & 1 {
        1 => instructions::PackedPoint::IDENTITY,
        _ => PackedPoint {
            x: x[lane],
            y: y[lane],
        },
    })
}

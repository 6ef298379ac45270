//! Affine point arithmetic that shares one field inversion among many operations.

use crate::g1::G1Point;
use blst::{
    blst_fp, blst_fp_add, blst_fp_cneg, blst_fp_eucl_inverse, blst_fp_mul, blst_fp_mul_by_3, blst_fp_sqr,
    blst_fp_sub, blst_p1_affine,
};

pub(crate) const ZERO: blst_fp = blst_fp { l: [0; 6] };

/// 1 in Montgomery form (2^384 mod p).
pub(crate) const ONE: blst_fp = blst_fp {
    l: [
        0x7609_0000_0002_fffd,
        0xebf4_000b_c40c_0002,
        0x5f48_9857_53c7_58ba,
        0x77ce_5853_7052_5745,
        0x5c07_1a97_a256_ec6d,
        0x15f6_5ec3_fa80_e493,
    ],
};

pub(crate) const INFINITY: blst_p1_affine = blst_p1_affine { x: ZERO, y: ZERO };

#[inline]
fn mul(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_mul(&mut result, a, b) };
    result
}

#[inline]
fn square(a: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_sqr(&mut result, a) };
    result
}

#[inline]
fn sub(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_sub(&mut result, a, b) };
    result
}

#[inline]
fn add(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_add(&mut result, a, b) };
    result
}

fn inverse(a: &blst_fp) -> blst_fp {
    let mut result = ZERO;
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_eucl_inverse(&mut result, a) };
    result
}

/// The opposite point.
#[inline]
pub(crate) fn negate(point: &mut blst_p1_affine) {
    let y: *mut blst_fp = &mut point.y;
    // SAFETY: the function allows its output to be its input.
    unsafe { blst_fp_cneg(y, y, true) };
}

#[inline]
pub(crate) fn is_infinity(point: &blst_p1_affine) -> bool {
    *point == INFINITY
}

/// Projective to affine form, the identity included.
pub(crate) fn normalize(points: &[G1Point]) -> Vec<blst_p1_affine> {
    let mut product = ONE;
    let mut prefixes = Vec::with_capacity(points.len());
    for G1Point(point) in points {
        prefixes.push(product);
        if point.z != ZERO {
            product = mul(&product, &point.z);
        }
    }
    let mut remaining = inverse(&product);
    let mut output = vec![INFINITY; points.len()];
    for ((G1Point(point), prefix), output) in points.iter().zip(&prefixes).zip(&mut output).rev() {
        if point.z != ZERO {
            let z_inverse = mul(&remaining, prefix);
            remaining = mul(&remaining, &point.z);
            let z_inverse_squared = square(&z_inverse);
            output.x = mul(&point.x, &z_inverse_squared);
            output.y = mul(&point.y, &mul(&z_inverse_squared, &z_inverse));
        }
    }
    output
}

/// How the sum of a pair comes about.
#[derive(Copy, Clone, PartialEq, Eq)]
enum PairSum {
    Chord,
    Tangent,
    First,
    Second,
    Infinity,
}

/// Additions done with one shared inversion. The scratch (at most [`PairAdder::BATCH`] elements) is kept between calls.
pub(crate) struct PairAdder {
    pending: Vec<(PairSum, blst_fp, blst_fp)>,
}

impl PairAdder {
    /// Additions that share one inversion: enough to make the inversion (about 100 multiplications) cheap, few enough to
    /// keep the operands in the first-level cache and a half of the second.
    pub(crate) const BATCH: usize = 1024;

    pub(crate) fn new() -> Self {
        Self {
            pending: Vec::with_capacity(Self::BATCH),
        }
    }

    /// Replaces `points[i]` by `points[2i] + points[2i + 1]` for `i < pairs`.
    pub(crate) fn add_neighbours(&mut self, points: &mut [blst_p1_affine], pairs: usize) {
        let mut first = 0;
        while first < pairs {
            let count = (pairs - first).min(Self::BATCH);
            self.pending.clear();
            let mut product = ONE;
            for pair in points[2 * first..2 * (first + count)].chunks_exact(2) {
                let (kind, denominator) = denominator(&pair[0], &pair[1]);
                self.pending.push((kind, denominator, product));
                if matches!(kind, PairSum::Chord | PairSum::Tangent) {
                    product = mul(&product, &denominator);
                }
            }
            let mut remaining = inverse(&product);
            // From the end, because the products come apart from the end; a sum is written to its own place first as the
            // final place of an early sum still holds operands of others.
            for (index, (kind, denominator, prefix)) in self.pending.iter().enumerate().rev() {
                let at = 2 * (first + index);
                let (a, b) = (points[at], points[at + 1]);
                points[at] = match kind {
                    PairSum::First => a,
                    PairSum::Second => b,
                    PairSum::Infinity => INFINITY,
                    PairSum::Chord | PairSum::Tangent => {
                        let denominator_inverse = mul(&remaining, prefix);
                        remaining = mul(&remaining, denominator);
                        let numerator = if *kind == PairSum::Chord {
                            sub(&b.y, &a.y)
                        } else {
                            let mut triple = ZERO;
                            // SAFETY: the pointers are to live field elements.
                            unsafe { blst_fp_mul_by_3(&mut triple, &square(&a.x)) };
                            triple
                        };
                        let slope = mul(&numerator, &denominator_inverse);
                        let x = sub(&sub(&square(&slope), &a.x), &b.x);
                        let y = sub(&mul(&slope, &sub(&a.x, &x)), &a.y);
                        blst_p1_affine { x, y }
                    }
                };
            }
            for index in first..first + count {
                points[index] = points[2 * index];
            }
            first += count;
        }
    }
}

#[inline]
fn denominator(a: &blst_p1_affine, b: &blst_p1_affine) -> (PairSum, blst_fp) {
    if is_infinity(a) {
        (PairSum::Second, ONE)
    } else if is_infinity(b) {
        (PairSum::First, ONE)
    } else if a.x != b.x {
        (PairSum::Chord, sub(&b.x, &a.x))
    } else if a.y == b.y && a.y != ZERO {
        (PairSum::Tangent, add(&a.y, &a.y))
    } else {
        (PairSum::Infinity, ONE)
    }
}

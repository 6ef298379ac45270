//! Affine point arithmetic that shares one field inversion among many operations.

use crate::g1::G1Point;
use blst::{
    blst_fp, blst_fp_add, blst_fp_cneg, blst_fp_eucl_inverse, blst_fp_mul, blst_fp_mul_by_3, blst_fp_sqr,
    blst_fp_sub, blst_p1_affine,
};
use std::mem::{self, MaybeUninit};

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
pub(crate) fn mul(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = MaybeUninit::uninit();
    // SAFETY: the pointers are to live field elements, and the function writes the whole result.
    unsafe {
        blst_fp_mul(result.as_mut_ptr(), a, b);
        result.assume_init()
    }
}

#[inline]
fn square(a: &blst_fp) -> blst_fp {
    let mut result = MaybeUninit::uninit();
    // SAFETY: the pointers are to live field elements, and the function writes the whole result.
    unsafe {
        blst_fp_sqr(result.as_mut_ptr(), a);
        result.assume_init()
    }
}

#[inline]
fn add(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = MaybeUninit::uninit();
    // SAFETY: the pointers are to live field elements, and the function writes the whole result.
    unsafe {
        blst_fp_add(result.as_mut_ptr(), a, b);
        result.assume_init()
    }
}

pub(crate) fn inverse(a: &blst_fp) -> blst_fp {
    let mut result = MaybeUninit::uninit();
    // SAFETY: the pointers are to live field elements, and the function writes the whole result.
    unsafe {
        blst_fp_eucl_inverse(result.as_mut_ptr(), a);
        result.assume_init()
    }
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
    let limbs = point.x.l.iter().chain(&point.y.l);
    limbs.fold(0, |any, limb| any | limb) == 0
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

/// Additions done with one shared inversion; keeps its scratch between calls.
///
/// Field elements are always computed in their final place: the library writes them limb by limb, and a wide load of a copy
/// right after that stalls the processor for longer than the copy takes.
pub(crate) struct PairAdder {
    kinds: Vec<PairSum>,
    denominators: Vec<blst_fp>,
    /// Products of the denominators before each one, then of all.
    products: Vec<blst_fp>,
    firsts: Vec<u32>,
}

impl PairAdder {
    /// Additions that share one inversion: enough to make the inversion (about 100 multiplications) cheap, few enough to
    /// keep operands and scratch (300 bytes an addition) out of the slow caches.
    pub(crate) const BATCH: usize = 512;

    pub(crate) fn new() -> Self {
        Self {
            kinds: vec![PairSum::First; Self::BATCH],
            denominators: vec![ONE; Self::BATCH],
            products: vec![ONE; Self::BATCH + 1],
            firsts: Vec::new(),
        }
    }

    /// Replaces `points[i]` by `points[i] + points[i + 1]` for every `i` in `firsts`. No point may belong to two pairs.
    pub(crate) fn add_neighbours(&mut self, points: &mut [blst_p1_affine], firsts: &[u32]) {
        for firsts in firsts.chunks(Self::BATCH) {
            for (index, first) in firsts.iter().enumerate() {
                let first = *first as usize;
                let denominator = &mut self.denominators[index];
                self.kinds[index] = set_denominator(denominator, &points[first], &points[first + 1]);
                let (before, after) = self.products.split_at_mut(index + 1);
                set_product(&mut after[0], &before[index], denominator);
            }
            let mut remaining = inverse(&self.products[firsts.len()]);
            // From the end, because the products come apart from the end.
            for (index, first) in firsts.iter().enumerate().rev() {
                let (low, high) = points.split_at_mut(*first as usize + 1);
                let (a, b) = (&mut low[*first as usize], &high[0]);
                let mut denominator_inverse = ZERO;
                set_product(&mut denominator_inverse, &remaining, &self.products[index]);
                multiply_by(&mut remaining, &self.denominators[index]);
                match self.kinds[index] {
                    PairSum::First => {}
                    PairSum::Second => *a = *b,
                    PairSum::Infinity => *a = INFINITY,
                    PairSum::Chord => {
                        let mut slope = ZERO;
                        set_difference(&mut slope, &b.y, &a.y);
                        multiply_by(&mut slope, &denominator_inverse);
                        finish_sum(a, &b.x, &slope);
                    }
                    PairSum::Tangent => {
                        let mut slope = ZERO;
                        // SAFETY: the pointers are to live field elements.
                        unsafe { blst_fp_mul_by_3(&mut slope, &square(&a.x)) };
                        multiply_by(&mut slope, &denominator_inverse);
                        finish_sum(a, &b.x, &slope);
                    }
                }
            }
        }
    }

    /// Replaces runs of points that lie one after the other, of the given lengths, by their sums, in the same order at the
    /// start of `points`. Empty runs are not allowed.
    pub(crate) fn sum_runs(&mut self, points: &mut [blst_p1_affine], lengths: &mut [usize]) {
        let mut firsts = mem::take(&mut self.firsts);
        while lengths.iter().any(|length| *length > 1) {
            firsts.clear();
            let mut start = 0;
            for length in lengths.iter() {
                firsts.extend(
                    (start..start + length / 2 * 2)
                        .step_by(2)
                        .map(|first| first as u32),
                );
                start += length;
            }
            self.add_neighbours(points, &firsts);
            let (mut start, mut end) = (0, 0);
            for length in lengths.iter_mut() {
                for index in (start..start + *length).step_by(2) {
                    points[end] = points[index];
                    end += 1;
                }
                start += *length;
                *length = length.div_ceil(2);
            }
        }
        self.firsts = firsts;
    }
}

/// Sets the denominator of the slope (one where there is none) and says what kind of sum it is.
#[inline]
fn set_denominator(denominator: &mut blst_fp, a: &blst_p1_affine, b: &blst_p1_affine) -> PairSum {
    let kind = if is_infinity(a) {
        PairSum::Second
    } else if is_infinity(b) {
        PairSum::First
    } else if a.x.l != b.x.l {
        set_difference(denominator, &b.x, &a.x);
        return PairSum::Chord;
    } else if a.y.l == b.y.l && a.y.l != ZERO.l {
        *denominator = add(&a.y, &a.y);
        return PairSum::Tangent;
    } else {
        PairSum::Infinity
    };
    *denominator = ONE;
    kind
}

/// Replaces `a` by its sum with a point whose first coordinate is `b_x`, given the slope of the line through both.
#[inline]
fn finish_sum(a: &mut blst_p1_affine, b_x: &blst_fp, slope: &blst_fp) {
    let a_x = a.x;
    let mut run = ZERO;
    set_square(&mut a.x, slope);
    subtract(&mut a.x, &a_x);
    subtract(&mut a.x, b_x);
    set_difference(&mut run, &a_x, &a.x);
    multiply_by(&mut run, slope);
    let y: *mut blst_fp = &mut a.y;
    // SAFETY: the function allows its output to be one of its inputs.
    unsafe { blst_fp_sub(y, &run, y) };
}

#[inline]
fn set_product(output: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_mul(output, a, b) };
}

#[inline]
fn set_square(output: &mut blst_fp, a: &blst_fp) {
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_sqr(output, a) };
}

#[inline]
fn set_difference(output: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    // SAFETY: the pointers are to live field elements.
    unsafe { blst_fp_sub(output, a, b) };
}

#[inline]
fn multiply_by(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    // SAFETY: the function allows its output to be one of its inputs.
    unsafe { blst_fp_mul(a, a, b) };
}

#[inline]
fn subtract(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    // SAFETY: the function allows its output to be one of its inputs.
    unsafe { blst_fp_sub(a, a, b) };
}

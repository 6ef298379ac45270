//! Verification of openings by pairings with the two fixed points of the second group.
//!
//! `e(C - [y]G1 + [z]W, G2) = e(W, [s]G2)`: both right-hand arguments never change, so the lines that Miller loops evaluate are
//! computed once, and multiplications stay in the first group. Points may lie outside the prime-order subgroup, as on the
//! network: all steps are sums and endomorphisms of the group of all points of the curve, which take the part of prime order to
//! what it should be and any other part to some other part, and pairings do not see those.

use crate::batch_affine::{is_infinity, normalize};
use crate::g1::G1Point;
use crate::kzg::{Kzg, point_of_index};
use crate::msm::RANDOM_BITS;
use crate::opening_batch::random_coefficients;
use crate::{Commitment, Opening, Scalar, Witness};
use blst::{
    blst_fp6, blst_fp12, blst_fp12_finalverify, blst_fp12_one, blst_miller_loop_lines, blst_p1_affine,
    blst_p1_to_affine, blst_p2_affine, blst_precompute_lines,
};

/// Lines of one Miller loop, as many as the library says.
const LINES: usize = 68;

/// Bits of a digit of scalars that the generator is multiplied by.
const DIGIT_BITS: usize = 4;

/// Multiples of the generator for each digit: all but zero.
const DIGIT_MULTIPLES: usize = (1 << DIGIT_BITS) - 1;

/// What pairings prepare once: 130 KiB.
pub(crate) struct PreparedPairings {
    /// Lines of G2 and of `[s]G2`.
    generator: Box<[blst_fp6; LINES]>,
    secret: Box<[blst_fp6; LINES]>,
    /// `d · 2^(4 j) · G1` at `DIGIT_MULTIPLES · j + d - 1`.
    generator_multiples: Vec<blst_p1_affine>,
}

impl PreparedPairings {
    /// From at least two powers of the secret in the second group.
    pub(crate) fn new(g2_powers: &[blst_p2_affine]) -> Self {
        let mut multiples = Vec::with_capacity(Scalar::BYTES * 2 * DIGIT_MULTIPLES);
        let mut base = G1Point::generator();
        for _ in 0..Scalar::BYTES * 2 {
            let mut multiple = base;
            for _ in 0..DIGIT_MULTIPLES {
                multiples.push(multiple);
                multiple.add_assign(&base);
            }
            base = multiple;
        }
        Self {
            generator: lines(&g2_powers[0]),
            secret: lines(&g2_powers[1]),
            generator_multiples: normalize(&multiples),
        }
    }

    /// `scalar · G1`
    fn generator_times(&self, scalar: &Scalar) -> G1Point {
        let mut sum = G1Point::IDENTITY;
        let digits = scalar
            .to_little_endian()
            .into_iter()
            .flat_map(|byte| [byte & 0xf, byte >> DIGIT_BITS]);
        for (digit, multiples) in digits.zip(self.generator_multiples.chunks_exact(DIGIT_MULTIPLES)) {
            if digit > 0 {
                sum.add_affine_assign(&multiples[usize::from(digit) - 1]);
            }
        }
        sum
    }

    /// `C - [y]G1 + [z]W`
    fn left_side(
        &self,
        commitment: &Commitment,
        point: &Scalar,
        value: &Scalar,
        witness: &Witness,
    ) -> G1Point {
        let mut sum = G1Point::from_affine(&witness.0).multiplied(point);
        sum.add_affine_assign(&commitment.0);
        sum.sub_assign(&self.generator_times(value));
        sum
    }

    /// Whether `e(a, G2) = e(b, [s]G2)`.
    pub(crate) fn agree(&self, a: &G1Point, b: &G1Point) -> bool {
        let (a, b) = (miller_loop(&self.generator, a), miller_loop(&self.secret, b));
        // SAFETY: both pointers are to live values.
        unsafe { blst_fp12_finalverify(&a, &b) }
    }
}

fn lines(point: &blst_p2_affine) -> Box<[blst_fp6; LINES]> {
    let mut lines = Box::new([blst_fp6::default(); LINES]);
    // SAFETY: the array has room for the 68 lines that the function writes; the point is a live one and not the identity (no
    // reference string has that).
    unsafe { blst_precompute_lines(lines.as_mut_ptr(), point) };
    lines
}

fn miller_loop(lines: &[blst_fp6; LINES], point: &G1Point) -> blst_fp12 {
    // The pairing with the identity is one; the Miller loop is not defined there.
    if point.is_identity() {
        // SAFETY: the function returns a pointer to a constant of the library.
        return unsafe { *blst_fp12_one() };
    }
    let mut affine = blst_p1_affine::default();
    let mut product = blst_fp12::default();
    // SAFETY: all pointers are to live values, and there are as many lines as the function reads.
    unsafe {
        blst_p1_to_affine(&mut affine, &point.0);
        blst_miller_loop_lines(&mut product, lines.as_ptr(), &affine);
    }
    debug_assert!(!is_infinity(&affine));
    product
}

impl Kzg {
    /// Whether `witness` proves that the committed polynomial takes `value` at `w_num_values^index`. `num_values` is
    /// rounded up to a power of two; an index outside of the domain is never valid.
    ///
    /// Like on the network, points outside the prime-order subgroup are not rejected (the equation does not see their
    /// cofactor part).
    pub fn verify(
        &self,
        commitment: &Commitment,
        num_values: usize,
        index: u32,
        value: &Scalar,
        witness: &Witness,
    ) -> bool {
        let Ok(point) = point_of_index(num_values, index) else {
            return false;
        };
        let pairings = self.pairings();
        let left = pairings.left_side(commitment, &point, value, witness);
        pairings.agree(&left, &G1Point::from_affine(&witness.0))
    }

    /// Whether **all** openings are valid by the rule of [`Kzg::verify`] (points outside the prime-order subgroup included), with two
    /// pairings for all of them; meant for a few, [`Kzg::verify_batch`] is faster for many. A wrong one is overlooked with a
    /// probability of 2^-128. No openings are valid.
    pub fn verify_all(&self, openings: &[Opening]) -> bool {
        let single = |opening: &Opening| {
            let Opening {
                commitment,
                num_values,
                index,
                value,
                witness,
            } = opening;
            self.verify(commitment, *num_values, *index, value, witness)
        };
        let Some((first, others)) = openings.split_first() else {
            return true;
        };
        if others.is_empty() {
            return single(first);
        }
        // One of the coefficients can be one.
        let Some(random) = random_coefficients(others.len()) else {
            return openings.iter().all(single);
        };
        let pairings = self.pairings();
        let (mut left_sum, mut right_sum) = (G1Point::IDENTITY, G1Point::IDENTITY);
        let coefficients = std::iter::once(None).chain(random.iter().map(Some));
        for (opening, coefficient) in openings.iter().zip(coefficients) {
            let Ok(point) = point_of_index(opening.num_values, opening.index) else {
                return false;
            };
            let mut left = pairings.left_side(&opening.commitment, &point, &opening.value, &opening.witness);
            let mut right = G1Point::from_affine(&opening.witness.0);
            if let Some(coefficient) = coefficient {
                left = left.multiplied_by_bits(coefficient, RANDOM_BITS);
                right = right.multiplied_by_bits(coefficient, RANDOM_BITS);
            }
            left_sum.add_assign(&left);
            right_sum.add_assign(&right);
        }
        pairings.agree(&left_sum, &right_sum)
    }
}

#[cfg(test)]
mod tests;

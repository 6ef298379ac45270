//! Many linear combinations of the same few points.

use crate::g1::G1Point;
use crate::{Commitment, PointError, Scalar};
use blst::{
    blst_p1_affine, blst_p1s_mult_wbits, blst_p1s_mult_wbits_precompute,
    blst_p1s_mult_wbits_precompute_sizeof, blst_p1s_mult_wbits_scratch_sizeof,
};
use std::ptr;

/// Bits of a digit: with 128 points and as many combinations, wider digits cost more for the tables than they save.
const DIGIT_BITS: usize = 8;

/// Bits of the scalars.
const SCALAR_BITS: usize = 255;

/// Points with their multiples: 12 KiB a point. For 128 points a combination takes as long as 20 multiplications of a point.
pub struct PointCombinations {
    multiples: Vec<blst_p1_affine>,
    /// Which of the given points are in the table: all but the identity.
    included: Vec<bool>,
    count: usize,
}

impl PointCombinations {
    /// Prepares the points.
    ///
    /// # Errors
    /// [`PointError::NotInSubgroup`] when one is outside the prime-order subgroup.
    pub fn new(points: &[Commitment]) -> Result<Self, PointError> {
        if !points.iter().all(Commitment::is_in_subgroup) {
            return Err(PointError::NotInSubgroup);
        }
        let included: Vec<_> = points
            .iter()
            .map(|point| *point != Commitment::IDENTITY)
            .collect();
        let affine: Vec<_> = points
            .iter()
            .filter(|point| **point != Commitment::IDENTITY)
            .map(|point| point.0)
            .collect();
        let count = affine.len();
        let mut multiples = Vec::new();
        if count > 0 {
            // A null second pointer means that the rest follows the first contiguously.
            let pointers: [*const blst_p1_affine; 2] = [affine.as_ptr(), ptr::null()];
            // SAFETY: the function only computes a size.
            let bytes = unsafe { blst_p1s_mult_wbits_precompute_sizeof(DIGIT_BITS, count) };
            multiples = vec![blst_p1_affine::default(); bytes.div_ceil(size_of::<blst_p1_affine>())];
            // SAFETY: the table has the size that the library asks for, and there are `count` points.
            unsafe {
                blst_p1s_mult_wbits_precompute(multiples.as_mut_ptr(), DIGIT_BITS, pointers.as_ptr(), count);
            }
        }
        Ok(Self {
            multiples,
            included,
            count,
        })
    }

    /// `Σ scalars[i] · points[i]` on the calling thread; there must be as many scalars as points.
    pub fn combine(&self, scalars: &[Scalar]) -> G1Point {
        assert_eq!(
            scalars.len(),
            self.included.len(),
            "there is a scalar for every point"
        );
        let mut result = G1Point::IDENTITY;
        if self.count == 0 {
            return result;
        }
        let mut bytes = Vec::with_capacity(self.count * Scalar::BYTES);
        for (scalar, _) in scalars
            .iter()
            .zip(&self.included)
            .filter(|(_, included)| **included)
        {
            bytes.extend_from_slice(&scalar.to_little_endian());
        }
        let pointers: [*const u8; 2] = [bytes.as_ptr(), ptr::null()];
        // SAFETY: there are `count` scalars of 32 bytes and the multiples of as many points, and the scratch has as many bytes as
        // the library asks for (in units of its 8-byte limbs).
        unsafe {
            let mut scratch = vec![0_u64; blst_p1s_mult_wbits_scratch_sizeof(self.count).div_ceil(8)];
            blst_p1s_mult_wbits(
                &mut result.0,
                self.multiples.as_ptr(),
                DIGIT_BITS,
                self.count,
                pointers.as_ptr(),
                SCALAR_BITS,
                scratch.as_mut_ptr(),
            );
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::tests::any_scalar;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn combinations_are_sums_of_products(
            pairs in proptest::collection::vec((0..6_u64, any_scalar()), 0..40),
            more in any_scalar(),
        ) {
            // Few different points, so that equal and opposite ones and the identity come together.
            let multiple = |number: u64| match number {
                0 => G1Point::IDENTITY,
                1 => G1Point::generator().negated(),
                _ => G1Point::generator().multiplied(&Scalar::from_u64(number - 1)),
            };
            let points: Vec<_> = pairs.iter().map(|(number, _)| multiple(*number)).collect();
            let combinations = PointCombinations::new(&Commitment::from_points(&points)).unwrap();
            let (_, scalars): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            let equal = vec![more; points.len()];
            let zeroes = vec![Scalar::ZERO; points.len()];
            for scalars in [scalars, equal, zeroes, vec![Scalar::ONE; points.len()]] {
                let mut expected = G1Point::IDENTITY;
                for (point, scalar) in points.iter().zip(&scalars) {
                    expected.add_assign(&point.multiplied(scalar));
                }
                prop_assert_eq!(combinations.combine(&scalars), expected);
            }
        }
    }

    #[test]
    fn points_outside_the_subgroup_are_refused() {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, 4);
        let outside = Commitment::try_from_bytes(&bytes).unwrap();
        let refused = PointCombinations::new(&[Commitment::IDENTITY, outside]);
        assert_eq!(refused.err(), Some(PointError::NotInSubgroup));
    }
}

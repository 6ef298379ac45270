//! What machines are compared by: Pippenger's method of the library `blst`, called directly, so that no change of ours moves it.

use blst::{MultiPoint, blst_p1, blst_p1_add_or_double, blst_p1_compress, blst_p1_generator, p1_affines};
use subspace_kzg::{Commitment, G1Point, Scalar};

/// Bits of the scalars.
const BITS: usize = 255;

/// A multi-scalar multiplication over the multiples 1, 2, 3... of the generator.
pub(crate) struct Yardstick {
    points: p1_affines,
    scalars: Vec<u8>,
}

impl Yardstick {
    /// As many points as scalars, at least one; the result is compared with what it must be.
    pub(crate) fn new(scalars: &[Scalar]) -> Self {
        let mut point = blst_p1::default();
        let points: Vec<_> = scalars
            .iter()
            .map(|_| {
                // SAFETY: the operands are points on the curve, the sum may overwrite one, and the generator is a constant.
                unsafe { blst_p1_add_or_double(&mut point, &point, blst_p1_generator()) };
                point
            })
            .collect();
        let little_endian = |scalar: &Scalar| {
            let mut bytes = scalar.to_bytes();
            bytes.reverse();
            bytes
        };
        let yardstick = Self {
            points: p1_affines::from(&points),
            scalars: scalars.iter().flat_map(little_endian).collect(),
        };
        let sum = (1_u64..)
            .zip(scalars)
            .fold(Scalar::ZERO, |sum, (multiple, scalar)| {
                sum + *scalar * Scalar::from_u64(multiple)
            });
        let expected = Commitment::from(G1Point::generator().multiplied(&sum));
        let mut actual = [0; 48];
        // SAFETY: 48 bytes are what a compressed point takes.
        unsafe { blst_p1_compress(actual.as_mut_ptr(), &yardstick.sum()) };
        assert_eq!(actual, expected.to_bytes());
        yardstick
    }

    /// The multiplication, on the calling thread.
    pub(crate) fn sum(&self) -> blst_p1 {
        self.points.as_slice().mult(&self.scalars, BITS)
    }
}

//! Points of G1: group arithmetic and the wire types [`Commitment`] and [`Witness`].

use crate::Scalar;
use blst::{
    BLST_ERROR, blst_fp, blst_p1, blst_p1_add_or_double, blst_p1_add_or_double_affine, blst_p1_affine,
    blst_p1_affine_compress, blst_p1_affine_generator, blst_p1_affine_in_g1, blst_p1_cneg, blst_p1_double,
    blst_p1_from_affine, blst_p1_is_equal, blst_p1_is_inf, blst_p1_mult, blst_p1_uncompress,
};
use std::fmt;

/// Why bytes are not a usable point.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// Not the compressed form of a point of the curve.
    #[error(
        "the 48 bytes are not a compressed point of the BLS12-381 curve; get the data again from its source"
    )]
    Malformed,
    /// On the curve, outside the subgroup of prime order.
    #[error(
        "the point is on the curve but not in the subgroup of prime order, so no honest party made it; \
        get the data again from another source"
    )]
    NotInSubgroup,
}

/// Point of G1 in projective form, for sums and transforms.
#[derive(Copy, Clone, Default)]
#[repr(transparent)]
pub struct G1Point(pub(crate) blst_p1);

impl G1Point {
    /// The neutral element.
    pub const IDENTITY: Self = Self(blst_p1 {
        x: blst_fp { l: [0; 6] },
        y: blst_fp { l: [0; 6] },
        z: blst_fp { l: [0; 6] },
    });

    /// The standard generator.
    pub fn generator() -> Self {
        Self::from_affine(&generator_affine())
    }

    pub(crate) fn from_affine(affine: &blst_p1_affine) -> Self {
        let mut point = Self::IDENTITY;
        // SAFETY: both pointers are to live points.
        unsafe { blst_p1_from_affine(&mut point.0, affine) };
        point
    }

    /// Whether this is the neutral element.
    pub fn is_identity(&self) -> bool {
        // SAFETY: the pointer is to a live point.
        unsafe { blst_p1_is_inf(&self.0) }
    }

    /// Sum; the operands may be equal, opposite or the identity.
    #[inline]
    pub fn add_assign(&mut self, other: &Self) {
        let this: *mut blst_p1 = &mut self.0;
        // SAFETY: the function allows its output to be one of its inputs.
        unsafe { blst_p1_add_or_double(this, this, &other.0) };
    }

    #[inline]
    pub(crate) fn add_affine_assign(&mut self, other: &blst_p1_affine) {
        let this: *mut blst_p1 = &mut self.0;
        // SAFETY: the function allows its output to be one of its inputs.
        unsafe { blst_p1_add_or_double_affine(this, this, other) };
    }

    /// Difference; the operands may be equal, opposite or the identity.
    pub fn sub_assign(&mut self, other: &Self) {
        self.add_assign(&other.negated());
    }

    /// Twice the point.
    #[inline]
    #[must_use]
    pub fn doubled(&self) -> Self {
        let mut result = Self::IDENTITY;
        // SAFETY: both pointers are to live points.
        unsafe { blst_p1_double(&mut result.0, &self.0) };
        result
    }

    /// The opposite point.
    #[inline]
    #[must_use]
    pub fn negated(&self) -> Self {
        let mut result = *self;
        // SAFETY: the pointer is to a live point.
        unsafe { blst_p1_cneg(&mut result.0, true) };
        result
    }

    /// `scalar · self`. The point must lie in the subgroup of prime order (the endomorphism that speeds this up acts as a
    /// multiplication only there). Zero and ±1 cost nothing.
    #[must_use]
    pub fn multiplied(&self, scalar: &Scalar) -> Self {
        if *scalar == Scalar::ZERO || self.is_identity() {
            return Self::IDENTITY;
        }
        if *scalar == Scalar::ONE {
            return *self;
        }
        if *scalar == -Scalar::ONE {
            return self.negated();
        }
        self.multiplied_by_bits(scalar, 255)
    }

    /// [`Self::multiplied`] by a scalar that has no more than `bits` bits.
    #[must_use]
    pub(crate) fn multiplied_by_bits(&self, scalar: &Scalar, bits: usize) -> Self {
        let bytes = scalar.to_little_endian();
        let mut result = Self::IDENTITY;
        // SAFETY: the scalar has 32 readable bytes, enough for up to 255 bits; the pointers are to live points.
        unsafe { blst_p1_mult(&mut result.0, &self.0, bytes.as_ptr(), bits.min(255)) };
        result
    }
}

impl PartialEq for G1Point {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both pointers are to live points.
        unsafe { blst_p1_is_equal(&self.0, &other.0) }
    }
}

impl Eq for G1Point {}

impl fmt::Debug for G1Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "G1Point({})",
            hex::encode(compress(&crate::batch_affine::normalize(&[*self])[0]))
        )
    }
}

pub(crate) fn generator_affine() -> blst_p1_affine {
    // SAFETY: the function returns a pointer to a constant of the library.
    unsafe { *blst_p1_affine_generator() }
}

pub(crate) fn compress(affine: &blst_p1_affine) -> [u8; 48] {
    let mut bytes = [0; 48];
    // SAFETY: the output has the 48 bytes that the function writes.
    unsafe { blst_p1_affine_compress(bytes.as_mut_ptr(), affine) };
    bytes
}

pub(crate) fn uncompress(bytes: &[u8; 48]) -> Result<blst_p1_affine, PointError> {
    let mut affine = blst_p1_affine::default();
    // SAFETY: the input has the 48 bytes that the function reads.
    match unsafe { blst_p1_uncompress(&mut affine, bytes.as_ptr()) } {
        BLST_ERROR::BLST_SUCCESS => Ok(affine),
        _ => Err(PointError::Malformed),
    }
}

pub(crate) fn in_subgroup(affine: &blst_p1_affine) -> bool {
    // SAFETY: the pointer is to a live point on the curve.
    unsafe { blst_p1_affine_in_g1(affine) }
}

macro_rules! wire_point {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Copy, Clone, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(pub(crate) blst_p1_affine);

        impl $name {
            /// Bytes of the compressed form.
            pub const BYTES: usize = 48;

            /// The point at infinity, a legal value (zero record, constant polynomial).
            pub const IDENTITY: Self =
                Self(blst_p1_affine { x: blst_fp { l: [0; 6] }, y: blst_fp { l: [0; 6] } });

            /// Reads the compressed form. Being in the subgroup of prime order is **not** checked, as on the network.
            ///
            /// # Errors
            /// [`PointError::Malformed`] when the bytes are no point of the curve.
            pub fn try_from_bytes(bytes: &[u8; 48]) -> Result<Self, PointError> {
                uncompress(bytes).map(Self)
            }

            /// Compressed form.
            pub fn to_bytes(&self) -> [u8; 48] {
                compress(&self.0)
            }

            /// Whether the point lies in the subgroup of prime order; every point that an honest party made does.
            pub fn is_in_subgroup(&self) -> bool {
                in_subgroup(&self.0)
            }

            /// The point for group arithmetic.
            ///
            /// # Errors
            /// [`PointError::NotInSubgroup`] when multiplication is not defined for it.
            pub fn to_point(&self) -> Result<G1Point, PointError> {
                if self.is_in_subgroup() {
                    Ok(G1Point::from_affine(&self.0))
                } else {
                    Err(PointError::NotInSubgroup)
                }
            }

            /// Converts many points at the cost of one field inversion.
            pub fn from_points(points: &[G1Point]) -> Vec<Self> {
                crate::batch_affine::normalize(points).into_iter().map(Self).collect()
            }
        }

        impl From<G1Point> for $name {
            fn from(point: G1Point) -> Self {
                Self(crate::batch_affine::normalize(&[point])[0])
            }
        }

        impl TryFrom<&[u8; 48]> for $name {
            type Error = PointError;

            fn try_from(bytes: &[u8; 48]) -> Result<Self, PointError> {
                Self::try_from_bytes(bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.to_bytes()))
            }
        }
    };
}

wire_point! {
    /// Commitment to a polynomial.
    Commitment
}

wire_point! {
    /// Opening proof: commitment to the quotient polynomial.
    Witness
}

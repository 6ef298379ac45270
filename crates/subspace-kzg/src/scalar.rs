//! The scalar field of BLS12-381.

use blst::{
    blst_bendian_from_scalar, blst_fr, blst_fr_add, blst_fr_cneg, blst_fr_eucl_inverse, blst_fr_from_scalar,
    blst_fr_from_uint64, blst_fr_mul, blst_fr_sqr, blst_fr_sub, blst_scalar, blst_scalar_fr_check,
    blst_scalar_from_bendian, blst_scalar_from_fr,
};
use std::fmt;
use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// Why bytes are not a scalar.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// The number is not below the field modulus.
    #[error(
        "the 32 bytes are not a canonical scalar: the big-endian number is not below the BLS12-381 group order; \
        get the data again from its source"
    )]
    NotCanonical,
}

/// Element of the scalar field (32 bytes in memory, Montgomery form).
///
/// Bytes are always 32, big-endian and canonical (docs/protocol/kzg.md, "Field and encodings").
#[derive(Copy, Clone, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Scalar(pub(crate) blst_fr);

impl Scalar {
    /// Bytes of the encoded form.
    pub const BYTES: usize = 32;
    /// Bytes that always fit a scalar.
    pub const SAFE_BYTES: usize = 31;
    /// Additive identity.
    pub const ZERO: Self = Self(blst_fr { l: [0; 4] });
    /// Multiplicative identity: 2^256 mod r, which is 1 in Montgomery form.
    pub const ONE: Self = Self(blst_fr {
        l: [
            0x0000_0001_ffff_fffe,
            0x5884_b7fa_0003_4802,
            0x998c_4fef_ecbc_4ff5,
            0x1824_b159_acc5_056f,
        ],
    });

    /// Reads a canonical big-endian number.
    ///
    /// # Errors
    /// [`ScalarError::NotCanonical`] when the number is not below the field modulus.
    #[inline]
    pub fn try_from_bytes(bytes: &[u8; 32]) -> Result<Self, ScalarError> {
        let mut raw = blst_scalar::default();
        let mut scalar = Self::ZERO;
        // SAFETY: all pointers are to live values of the sizes that the functions expect (32 bytes each).
        unsafe {
            blst_scalar_from_bendian(&mut raw, bytes.as_ptr());
            if !blst_scalar_fr_check(&raw) {
                return Err(ScalarError::NotCanonical);
            }
            blst_fr_from_scalar(&mut scalar.0, &raw);
        }
        Ok(scalar)
    }

    /// Whether [`Self::try_from_bytes`] reads the number.
    #[inline]
    pub(crate) fn is_canonical(bytes: &[u8; 32]) -> bool {
        let mut raw = blst_scalar::default();
        // SAFETY: both pointers are to live values of the sizes that the functions expect (32 bytes each).
        unsafe {
            blst_scalar_from_bendian(&mut raw, bytes.as_ptr());
            blst_scalar_fr_check(&raw)
        }
    }

    /// Reads 31 bytes as the low bytes of a big-endian number; always canonical.
    #[inline]
    pub fn from_safe_bytes(bytes: &[u8; 31]) -> Self {
        let mut padded = [0; 32];
        padded[1..].copy_from_slice(bytes);
        Self::try_from_bytes(&padded).expect("a number below 2^248 is below the modulus; qed")
    }

    /// Canonical big-endian bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut raw = blst_scalar::default();
        let mut bytes = [0; 32];
        // SAFETY: all pointers are to live values of the sizes that the functions expect (32 bytes each).
        unsafe {
            blst_scalar_from_fr(&mut raw, &self.0);
            blst_bendian_from_scalar(bytes.as_mut_ptr(), &raw);
        }
        bytes
    }

    /// The low 31 bytes, when the top byte is zero.
    pub fn try_to_safe_bytes(&self) -> Option<[u8; 31]> {
        let bytes = self.to_bytes();
        let mut safe_bytes = [0; 31];
        safe_bytes.copy_from_slice(&bytes[1..]);
        (bytes[0] == 0).then_some(safe_bytes)
    }

    /// Canonical little-endian bytes, the form that point multiplication wants.
    #[inline]
    pub(crate) fn to_little_endian(self) -> [u8; 32] {
        let mut raw = blst_scalar::default();
        // SAFETY: both pointers are to live values of the sizes that the function expects.
        unsafe { blst_scalar_from_fr(&mut raw, &self.0) };
        raw.b
    }

    /// A small number.
    pub fn from_u64(number: u64) -> Self {
        let mut scalar = Self::ZERO;
        let limbs = [number, 0, 0, 0];
        // SAFETY: the function reads four limbs and writes one field element.
        unsafe { blst_fr_from_uint64(&mut scalar.0, limbs.as_ptr()) };
        scalar
    }

    /// The square.
    #[inline]
    #[must_use]
    pub fn square(&self) -> Self {
        let mut result = Self::ZERO;
        // SAFETY: both pointers are to live field elements.
        unsafe { blst_fr_sqr(&mut result.0, &self.0) };
        result
    }

    /// `self` to the power of `exponent`.
    #[must_use]
    pub fn pow(&self, exponent: u64) -> Self {
        let mut result = Self::ONE;
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            result = result.square();
            if exponent >> bit & 1 == 1 {
                result *= *self;
            }
        }
        result
    }

    /// The multiplicative inverse; `None` for zero.
    pub fn inverse(&self) -> Option<Self> {
        if *self == Self::ZERO {
            return None;
        }
        let mut result = Self::ZERO;
        // SAFETY: both pointers are to live field elements.
        unsafe { blst_fr_eucl_inverse(&mut result.0, &self.0) };
        Some(result)
    }

    /// Replaces every element by its inverse with one inversion and three multiplications an element; zeroes stay zero.
    pub fn batch_inverse(scalars: &mut [Self]) {
        let mut product = Self::ONE;
        let mut prefixes = Vec::with_capacity(scalars.len());
        for scalar in scalars.iter() {
            prefixes.push(product);
            if *scalar != Self::ZERO {
                product *= *scalar;
            }
        }
        let mut inverse = product
            .inverse()
            .expect("a product of non-zero elements is not zero; qed");
        for (scalar, prefix) in scalars.iter_mut().zip(prefixes).rev() {
            if *scalar != Self::ZERO {
                let next = inverse * *scalar;
                *scalar = inverse * prefix;
                inverse = next;
            }
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scalar({})", hex::encode(self.to_bytes()))
    }
}

impl TryFrom<&[u8; 32]> for Scalar {
    type Error = ScalarError;

    fn try_from(bytes: &[u8; 32]) -> Result<Self, ScalarError> {
        Self::try_from_bytes(bytes)
    }
}

impl Add for Scalar {
    type Output = Self;

    #[inline]
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Scalar {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        let this: *mut blst_fr = &mut self.0;
        // SAFETY: the function allows its output to be one of its inputs.
        unsafe { blst_fr_add(this, this, &other.0) }
    }
}

impl Sub for Scalar {
    type Output = Self;

    #[inline]
    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl SubAssign for Scalar {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        let this: *mut blst_fr = &mut self.0;
        // SAFETY: the function allows its output to be one of its inputs.
        unsafe { blst_fr_sub(this, this, &other.0) }
    }
}

impl Mul for Scalar {
    type Output = Self;

    #[inline]
    fn mul(mut self, other: Self) -> Self {
        self *= other;
        self
    }
}

impl MulAssign for Scalar {
    #[inline]
    fn mul_assign(&mut self, other: Self) {
        let this: *mut blst_fr = &mut self.0;
        // SAFETY: the function allows its output to be one of its inputs.
        unsafe { blst_fr_mul(this, this, &other.0) }
    }
}

impl Neg for Scalar {
    type Output = Self;

    #[inline]
    fn neg(mut self) -> Self {
        let this: *mut blst_fr = &mut self.0;
        // SAFETY: the function allows its output to be its input.
        unsafe { blst_fr_cneg(this, this, true) };
        self
    }
}

#[cfg(test)]
pub(crate) mod tests;

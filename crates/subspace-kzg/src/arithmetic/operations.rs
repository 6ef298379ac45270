//! Transforms and element by element arithmetic with the instructions chosen.

use super::{Arithmetic, Kind};
#[cfg(target_arch = "x86_64")]
use crate::lanes;
#[cfg(target_arch = "x86_64")]
use crate::quads;
use crate::transform::{DomainError, check_domain, coset_powers, inverse_coset_powers, portable};
use crate::{Scalar, ScalarError};

impl Arithmetic {
    /// Coefficients to values, see [`transform::forward`](crate::transform::forward).
    ///
    /// # Errors
    /// [`DomainError`] when the length has no domain.
    pub fn forward(self, values: &mut [Scalar]) -> Result<(), DomainError> {
        check_domain(values.len())?;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if values.len() >= lanes::MIN_TRANSFORM => lanes::forward(token, values),
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if values.len() >= quads::MIN_TRANSFORM => quads::forward(proof, values),
            _ => portable::forward(values),
        }
        Ok(())
    }

    /// Values to coefficients, see [`transform::inverse`](crate::transform::inverse).
    ///
    /// # Errors
    /// [`DomainError`] when the length has no domain.
    pub fn inverse(self, values: &mut [Scalar]) -> Result<(), DomainError> {
        check_domain(values.len())?;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if values.len() >= lanes::MIN_TRANSFORM => lanes::inverse(token, values),
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if values.len() >= quads::MIN_TRANSFORM => quads::inverse(proof, values),
            _ => portable::inverse(values),
        }
        Ok(())
    }

    /// From the values of a polynomial of `n` coefficients on `w_n^i` to those on `w_2n^(2i + 1)`.
    ///
    /// # Errors
    /// [`DomainError`] when twice the length has no domain.
    pub fn to_odd_coset(self, values: &mut [Scalar]) -> Result<(), DomainError> {
        let powers = coset_powers(values.len())?;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if values.len() >= lanes::MIN_TRANSFORM => lanes::to_odd_coset(token, values),
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if values.len() >= quads::MIN_TRANSFORM => quads::to_odd_coset(proof, values),
            _ => portable::switch_coset(values, powers),
        }
        Ok(())
    }

    /// The inverse of [`Self::to_odd_coset`].
    ///
    /// # Errors
    /// [`DomainError`] when twice the length has no domain.
    pub fn from_odd_coset(self, values: &mut [Scalar]) -> Result<(), DomainError> {
        let powers = inverse_coset_powers(values.len())?;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) if values.len() >= lanes::MIN_TRANSFORM => {
                lanes::from_odd_coset(token, values)
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Quads(proof) if values.len() >= quads::MIN_TRANSFORM => {
                quads::from_odd_coset(proof, values)
            }
            _ => portable::switch_coset(values, powers),
        }
        Ok(())
    }

    /// Multiplies each scalar by the factor at the same index; scalars beyond the factors stay.
    pub fn multiply(self, scalars: &mut [Scalar], factors: &[Scalar]) {
        let length = scalars.len().min(factors.len());
        let (scalars, factors) = (&mut scalars[..length], &factors[..length]);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) => lanes::multiply(token, scalars, factors),
            _ => {
                for (scalar, factor) in scalars.iter_mut().zip(factors) {
                    *scalar *= *factor;
                }
            }
        }
    }

    /// Multiplies all scalars by `factor`.
    pub fn scale(self, scalars: &mut [Scalar], factor: Scalar) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) => lanes::scale(token, scalars, factor),
            _ => {
                for scalar in scalars {
                    *scalar *= factor;
                }
            }
        }
    }

    /// Adds `factor` times each encoded number to the sum at the same index; sums beyond the numbers stay.
    ///
    /// # Errors
    /// [`ScalarError`] when a number is not canonical; the sums are unchanged then.
    pub fn add_encoded(
        self,
        sums: &mut [Scalar],
        numbers: &[[u8; Scalar::BYTES]],
        factor: Scalar,
    ) -> Result<(), ScalarError> {
        let length = sums.len().min(numbers.len());
        let (sums, numbers) = (&mut sums[..length], &numbers[..length]);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) => lanes::add_encoded(token, sums, numbers, factor),
            _ => {
                if !numbers.iter().all(Scalar::is_canonical) {
                    return Err(ScalarError::NotCanonical);
                }
                for (sum, number) in sums.iter_mut().zip(numbers) {
                    *sum += factor * Scalar::try_from_bytes(number)?;
                }
                Ok(())
            }
        }
    }

    /// `base^0, base^1, ...`, `count` of them.
    pub fn powers(self, base: Scalar, count: usize) -> Vec<Scalar> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) => lanes::powers(token, base, count),
            _ => {
                let next = |power: &Scalar| Some(*power * base);
                std::iter::successors(Some(Scalar::ONE), next)
                    .take(count)
                    .collect()
            }
        }
    }

    /// Replaces every scalar by its inverse; zeroes stay zero.
    pub fn batch_inverse(self, scalars: &mut [Scalar]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Lanes(token) => lanes::batch_inverse(token, scalars),
            _ => Scalar::batch_inverse(scalars),
        }
    }
}

#[cfg(test)]
mod tests;

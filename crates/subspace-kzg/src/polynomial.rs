//! Polynomials in coefficient form.

use crate::Scalar;
use crate::transform::{self, DomainError};

/// Polynomial given by its coefficients; index = power of x. Trailing zeroes are kept unless removed explicitly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polynomial {
    coefficients: Vec<Scalar>,
}

impl Polynomial {
    /// The polynomial with these coefficients, lowest power first.
    pub fn from_coefficients(coefficients: Vec<Scalar>) -> Self {
        Self { coefficients }
    }

    /// The polynomial of `values.len()` coefficients that takes value `i` at point `w_n^i`.
    ///
    /// # Errors
    /// [`DomainError`] when the number of values is no power of two or above 65 536.
    pub fn interpolate(values: &[Scalar]) -> Result<Self, DomainError> {
        transform::check_domain(values.len())?;
        let mut coefficients = values.to_vec();
        transform::inverse(&mut coefficients)?;
        Ok(Self { coefficients })
    }

    /// The coefficients, lowest power first.
    pub fn coefficients(&self) -> &[Scalar] {
        &self.coefficients
    }

    /// The coefficients, lowest power first.
    pub fn into_coefficients(self) -> Vec<Scalar> {
        self.coefficients
    }

    /// Removes trailing zero coefficients, but leaves at least one coefficient.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        while self.coefficients.len() > 1 && self.coefficients.last() == Some(&Scalar::ZERO) {
            self.coefficients.pop();
        }
        self
    }

    /// The value at `point`.
    pub fn evaluate(&self, point: Scalar) -> Scalar {
        self.coefficients
            .iter()
            .rev()
            .fold(Scalar::ZERO, |value, coefficient| value * point + *coefficient)
    }

    /// `(p(x) - p(point)) / (x - point)` by synthetic division; the remainder is dropped. One coefficient less than `self`.
    #[must_use]
    pub fn quotient_at(&self, point: Scalar) -> Self {
        let Some(length) = self.coefficients.len().checked_sub(1) else {
            return Self::default();
        };
        let mut quotient = vec![Scalar::ZERO; length];
        let mut carry = Scalar::ZERO;
        for (output, coefficient) in quotient.iter_mut().zip(&self.coefficients[1..]).rev() {
            carry = carry * point + *coefficient;
            *output = carry;
        }
        Self {
            coefficients: quotient,
        }
    }
}

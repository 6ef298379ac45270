//! Discrete Fourier transforms of points of G1, in natural order.
//!
//! Every point must be in the subgroup of prime order; the identity is fine.

use crate::transform::{self, DomainError};
use crate::{G1Point, Scalar};

/// Points of coefficients to points of values.
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn forward(points: &mut [G1Point]) -> Result<(), DomainError> {
    butterflies(points, false)
}

/// Points of values to points of coefficients, **times the number of points**: fold the division into a multiplication
/// that is done anyway, or use [`transform::inverse_size`].
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn inverse_unscaled(points: &mut [G1Point]) -> Result<(), DomainError> {
    butterflies(points, true)
}

fn butterflies(points: &mut [G1Point], inverse: bool) -> Result<(), DomainError> {
    transform::check_domain(points.len())?;
    transform::bit_reverse_permute(points);
    let mut half = 1;
    while half < points.len() {
        let twiddles: &[Scalar] = if inverse {
            transform::inverse_coset_powers(half)?
        } else {
            transform::coset_powers(half)?
        };
        for block in points.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), twiddle) in low.iter_mut().zip(high).zip(twiddles) {
                let product = b.multiplied(twiddle);
                *b = *a;
                b.sub_assign(&product);
                a.add_assign(&product);
            }
        }
        half *= 2;
    }
    Ok(())
}

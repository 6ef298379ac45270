//! Discrete Fourier transforms of points of G1, in natural order.
//!
//! Every point must be in the subgroup of prime order; the identity is fine. On a thread of a rayon pool the pool helps, elsewhere
//! all work is done by the calling thread.

use crate::transform::{self, DomainError};
use crate::{G1Point, Scalar};
use rayon::prelude::*;

/// Butterflies of one task: some tenths of a millisecond.
const MIN_BUTTERFLIES: usize = 4;

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

/// Multiplies each point by the factor for its index.
pub fn multiply(points: &mut [G1Point], factor: impl Fn(usize) -> Scalar + Sync) {
    let multiply = |(index, point): (usize, &mut G1Point)| *point = point.multiplied(&factor(index));
    if rayon::current_thread_index().is_some() {
        points
            .par_iter_mut()
            .with_min_len(MIN_BUTTERFLIES)
            .enumerate()
            .for_each(multiply);
    } else {
        points.iter_mut().enumerate().for_each(multiply);
    }
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
        if rayon::current_thread_index().is_some() {
            points.par_chunks_exact_mut(2 * half).for_each(|block| {
                let (low, high) = block.split_at_mut(half);
                low.par_iter_mut()
                    .with_min_len(MIN_BUTTERFLIES)
                    .zip(high)
                    .zip(twiddles)
                    .for_each(|((a, b), twiddle)| butterfly(a, b, twiddle));
            });
        } else {
            for block in points.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((a, b), twiddle) in low.iter_mut().zip(high).zip(twiddles) {
                    butterfly(a, b, twiddle);
                }
            }
        }
        half *= 2;
    }
    Ok(())
}

fn butterfly(a: &mut G1Point, b: &mut G1Point, twiddle: &Scalar) {
    let product = b.multiplied(twiddle);
    *b = *a;
    b.sub_assign(&product);
    a.add_assign(&product);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_change_nothing_and_inverses_undo() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for length in [1, 2, 8, 64] {
            let points: Vec<_> = (0..length as u64)
                .map(|number| G1Point::generator().multiplied(&Scalar::from_u64(number * number)))
                .collect();
            let transformed = |operation: fn(&mut [G1Point]) -> Result<(), DomainError>,
                               points: &[G1Point]| {
                let (mut alone, mut together) = (points.to_vec(), points.to_vec());
                operation(&mut alone).unwrap();
                pool.install(|| operation(&mut together)).unwrap();
                assert_eq!(alone, together);
                alone
            };
            let values = transformed(forward, &points);
            let mut scalars: Vec<_> = (0..length as u64)
                .map(|number| Scalar::from_u64(number * number))
                .collect();
            transform::forward(&mut scalars).unwrap();
            for (value, scalar) in values.iter().zip(&scalars) {
                assert_eq!(*value, G1Point::generator().multiplied(scalar));
            }
            let scale = transform::inverse_size(length);
            let back = transformed(inverse_unscaled, &values);
            assert!(
                back.iter()
                    .zip(&points)
                    .all(|(back, point)| back.multiplied(&scale) == *point)
            );
        }
        assert!(forward(&mut [G1Point::IDENTITY; 3]).is_err());
    }
}

//! All witnesses of a small polynomial at once (docs/protocol/kzg.md, "All witnesses at once").

use crate::g1::G1Point;
use crate::transform::{self, DomainError};
use crate::{Scalar, Witness, group_transform};
use blst::blst_p1_affine;
use rayon::prelude::*;

/// What does not depend on the polynomial: the transform of the reversed powers of the reference string.
pub(crate) struct WitnessSetup {
    /// `2n` points.
    transformed_powers: Vec<G1Point>,
}

impl WitnessSetup {
    /// `powers` are the first `n` powers of the reference string.
    pub(crate) fn new(powers: &[blst_p1_affine], pool: &rayon::ThreadPool) -> Result<Self, DomainError> {
        let double = 2 * powers.len();
        transform::check_domain(double)?;
        let mut reversed = vec![G1Point::IDENTITY; double];
        for (m, power) in powers.iter().enumerate().take(powers.len() - 1) {
            reversed[(double - m) % double] = G1Point::from_affine(power);
        }
        pool.install(|| group_transform::forward(&mut reversed))?;
        // The inverse transform of every call divides by the length; doing it here saves a multiplication a point there.
        let scale = transform::inverse_size(double);
        pool.install(|| group_transform::multiply(&mut reversed, |_| scale));
        Ok(Self {
            transformed_powers: reversed,
        })
    }

    /// Witnesses of the `n` values of the polynomial of `n` coefficients.
    pub(crate) fn create(
        &self,
        coefficients: &[Scalar],
        pool: &rayon::ThreadPool,
    ) -> Result<Vec<Witness>, DomainError> {
        let length = coefficients.len();
        let mut values = coefficients.to_vec();
        values.resize(2 * length, Scalar::ZERO);
        transform::forward(&mut values)?;
        pool.install(|| {
            let mut products = values
                .par_iter()
                .zip(&self.transformed_powers)
                .map(|(value, point)| point.multiplied(value))
                .collect::<Vec<_>>();
            group_transform::inverse_unscaled(&mut products)?;
            // products[j + 1] is the coefficient of z^j of the polynomial of all witnesses.
            let mut witnesses = products[1..length].to_vec();
            witnesses.push(G1Point::IDENTITY);
            group_transform::forward(&mut witnesses)?;
            Ok(Witness::from_points(&witnesses))
        })
    }
}

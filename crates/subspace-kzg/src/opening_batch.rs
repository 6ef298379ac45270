//! Verification of many openings with two pairings.

use crate::g1::G1Point;
use crate::kzg::{Kzg, point_of_index};
use crate::msm::{RANDOM_BITS, SCALAR_BITS, multi_scalar_mult};
use crate::{Commitment, Scalar, Witness};
use rand::TryRngCore;
use rand::rngs::OsRng;

/// One claim: the polynomial committed to takes `value` at `w_num_values^index`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Commitment to the polynomial.
    pub commitment: Commitment,
    /// Size of the domain, rounded up to a power of two.
    pub num_values: usize,
    /// Index of the point in the domain.
    pub index: u32,
    /// The claimed value.
    pub value: Scalar,
    /// The proof.
    pub witness: Witness,
}

impl Kzg {
    /// Whether **all** openings are valid. Stricter than [`Kzg::verify`]: points outside the prime-order subgroup are
    /// rejected, which the random combination needs to be sound; an honest party never makes them. On `false` check one by
    /// one to find the bad ones. No openings are valid.
    pub fn verify_batch(&self, openings: &[Opening]) -> bool {
        let mut points = Vec::with_capacity(openings.len());
        for opening in openings {
            if !opening.commitment.is_in_subgroup() || !opening.witness.is_in_subgroup() {
                return false;
            }
            let Ok(point) = point_of_index(opening.num_values, opening.index) else {
                return false;
            };
            points.push(point);
        }
        let Some(random) = random_coefficients(openings.len()) else {
            return openings.iter().all(|opening| {
                let Opening {
                    commitment,
                    num_values,
                    index,
                    value,
                    witness,
                } = opening;
                self.verify(commitment, *num_values, *index, value, witness)
            });
        };

        let commitments = openings
            .iter()
            .map(|opening| opening.commitment.0)
            .collect::<Vec<_>>();
        let witnesses = openings
            .iter()
            .map(|opening| opening.witness.0)
            .collect::<Vec<_>>();
        let shifts = random
            .iter()
            .zip(&points)
            .map(|(random, point)| *random * *point)
            .collect::<Vec<_>>();
        let value_sum = random
            .iter()
            .zip(openings)
            .fold(Scalar::ZERO, |sum, (random, opening)| {
                sum + *random * opening.value
            });

        // e(Σ ρ (C - [y]G1 + [z]W), G2) = e(Σ ρ W, [s]G2)
        let mut left = multi_scalar_mult(&commitments, &random, RANDOM_BITS);
        left.sub_assign(&G1Point::generator().multiplied(&value_sum));
        left.add_assign(&multi_scalar_mult(&witnesses, &shifts, SCALAR_BITS));
        let right = multi_scalar_mult(&witnesses, &random, RANDOM_BITS);
        self.pairings().agree(&left, &right)
    }
}

/// Independent random 128-bit scalars from the operating system; `None` when it has none to give.
pub(crate) fn random_coefficients(count: usize) -> Option<Vec<Scalar>> {
    let mut random = vec![Scalar::ZERO; count];
    for scalar in &mut random {
        let mut bytes = [0; 32];
        OsRng.try_fill_bytes(&mut bytes[32 - RANDOM_BITS / 8..]).ok()?;
        *scalar = Scalar::try_from_bytes(&bytes).expect("128 bits are below the modulus; qed");
    }
    Some(random)
}

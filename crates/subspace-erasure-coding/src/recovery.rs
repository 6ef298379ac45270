//! The interpolating polynomial of the values that are present, for any set of missing ones.

use crate::erasure_coding::ErasureCodingError;
use crate::vanishing::vanishing_polynomial;
use subspace_kzg::Scalar;
use subspace_kzg::transform::{self, DomainError};

/// Coefficients (a power of two of them, at least as many as values are present) of the polynomial of lowest degree through
/// the present values. The number of shards must have a domain.
pub(crate) fn coefficients(
    shards: &[Option<Scalar>],
    max_shards: usize,
) -> Result<Vec<Scalar>, ErasureCodingError> {
    let total = shards.len();
    let present = shards.iter().flatten().count();
    if 2 * present < total {
        return Err(ErasureCodingError::TooManyMissing { present, total });
    }
    let missing = (0..total)
        .filter(|index| shards[*index].is_none())
        .collect::<Vec<_>>();
    interpolate(shards, &missing).map_err(|error| ErasureCodingError::Length {
        given: error.length,
        max_shards,
    })
}

fn interpolate(shards: &[Option<Scalar>], missing: &[usize]) -> Result<Vec<Scalar>, DomainError> {
    let total = shards.len();
    let plan = RecoveryPlan::new(total, missing, total - missing.len())?;
    let mut values = shards
        .iter()
        .map(|shard| shard.unwrap_or_default())
        .collect::<Vec<_>>();
    for (value, vanishing) in values.iter_mut().zip(&plan.vanishing_values) {
        *value *= *vanishing;
    }
    // Coefficients of D · Z, of degree below `total`.
    transform::inverse(&mut values)?;
    let size = plan.coset_powers.len();
    fold_to_coset(&mut values, &plan.coset_powers, plan.coset_wrap);
    values.truncate(size);
    transform::forward(&mut values)?;
    for (value, inverse) in values.iter_mut().zip(&plan.vanishing_inverses) {
        *value *= *inverse;
    }
    transform::inverse(&mut values)?;
    for (value, power) in values.iter_mut().zip(&plan.inverse_coset_powers) {
        *value *= *power;
    }
    Ok(values)
}

/// Reduces coefficients modulo `x^size - g^size` and scales coefficient `j` by `g^j`, in the first `size` places.
fn fold_to_coset(values: &mut [Scalar], powers: &[Scalar], wrap: Scalar) {
    let size = powers.len();
    // At most two parts: the size is at least half of the length.
    if values.len() > size {
        let (low, high) = values.split_at_mut(size);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high * wrap;
        }
    }
    for (value, power) in values.iter_mut().zip(powers) {
        *value *= *power;
    }
}

/// What recovery needs to know about a set of missing positions.
///
/// The wanted polynomial D has at most `size` coefficients, so its values on a coset of `size` points determine it; there D is
/// the quotient of `D · Z`, known everywhere because Z vanishes where D is unknown, and Z.
pub(crate) struct RecoveryPlan {
    /// Values of Z on the domain of all positions.
    pub(crate) vanishing_values: Vec<Scalar>,
    /// Inverses of the values of Z on the coset.
    pub(crate) vanishing_inverses: Vec<Scalar>,
    /// `g^j` for the points `g · w^i` of the coset.
    pub(crate) coset_powers: Vec<Scalar>,
    /// `g^-j`
    pub(crate) inverse_coset_powers: Vec<Scalar>,
    /// `g^size`
    pub(crate) coset_wrap: Scalar,
}

impl RecoveryPlan {
    /// `coefficients` is how many the wanted polynomial has at most, at least half of `total`.
    pub(crate) fn new(total: usize, missing: &[usize], coefficients: usize) -> Result<Self, DomainError> {
        let size = coefficients.next_power_of_two();
        let roots = missing
            .iter()
            .map(|index| transform::domain_point(total, *index))
            .collect::<Result<Vec<_>, _>>()?;
        let vanishing = vanishing_polynomial(&roots)?;

        let mut vanishing_values = vanishing.clone();
        vanishing_values.resize(total, Scalar::ZERO);
        transform::forward(&mut vanishing_values)?;

        // 7 generates the multiplicative group, so no power of two of it is one and the coset misses the domain.
        let generator = Scalar::from_u64(7);
        let coset_wrap = generator.pow(size as u64);
        let coset_powers = powers(generator, size);
        let inverse = generator.inverse().expect("seven is not zero; qed");
        let inverse_coset_powers = powers(inverse, size);

        let mut vanishing_inverses = vanishing;
        // Z has at most `size` roots, so at most one coefficient more.
        if vanishing_inverses.len() > size {
            let leading = vanishing_inverses[size];
            vanishing_inverses[0] += leading * coset_wrap;
        }
        vanishing_inverses.resize(size, Scalar::ZERO);
        for (value, power) in vanishing_inverses.iter_mut().zip(&coset_powers) {
            *value *= *power;
        }
        transform::forward(&mut vanishing_inverses)?;
        Scalar::batch_inverse(&mut vanishing_inverses);
        Ok(Self {
            vanishing_values,
            vanishing_inverses,
            coset_powers,
            inverse_coset_powers,
            coset_wrap,
        })
    }
}

fn powers(base: Scalar, count: usize) -> Vec<Scalar> {
    let mut power = Scalar::ONE;
    (0..count)
        .map(|_| {
            let current = power;
            power *= base;
            current
        })
        .collect()
}

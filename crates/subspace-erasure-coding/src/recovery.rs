//! The interpolating polynomial of the values that are present, for any set of missing ones.

use crate::erasure_coding::ErasureCodingError;
use subspace_kzg::transform::{self, DomainError};
use subspace_kzg::{Arithmetic, Scalar};

/// Coefficients (a power of two of them, at least as many as values are present) of the polynomial of lowest degree through
/// the present values. The number of shards must have a domain. With `parallel` the threads of the current pool help.
pub(crate) fn coefficients(
    shards: &[Option<Scalar>],
    max_shards: usize,
    arithmetic: Arithmetic,
    parallel: bool,
) -> Result<Vec<Scalar>, ErasureCodingError> {
    let total = shards.len();
    let present = shards.iter().flatten().count();
    if 2 * present < total {
        return Err(ErasureCodingError::TooManyMissing { present, total });
    }
    let missing = (0..total)
        .filter(|index| shards[*index].is_none())
        .collect::<Vec<_>>();
    interpolate(shards, &missing, arithmetic, parallel).map_err(|error| ErasureCodingError::Length {
        given: error.length,
        max_shards,
    })
}

fn interpolate(
    shards: &[Option<Scalar>],
    missing: &[usize],
    arithmetic: Arithmetic,
    parallel: bool,
) -> Result<Vec<Scalar>, DomainError> {
    let total = shards.len();
    let plan = RecoveryPlan::new(total, missing, total - missing.len(), arithmetic, parallel)?;
    let mut values = shards
        .iter()
        .map(|shard| shard.unwrap_or_default())
        .collect::<Vec<_>>();
    arithmetic.multiply(&mut values, &plan.vanishing_values);
    // Coefficients of D · Z, of degree below `total`.
    arithmetic.inverse(&mut values)?;
    let size = plan.coset_powers.len();
    fold_to_coset(&mut values, &plan.coset_powers, plan.coset_wrap, arithmetic);
    values.truncate(size);
    arithmetic.forward(&mut values)?;
    arithmetic.multiply(&mut values, &plan.vanishing_inverses);
    arithmetic.inverse(&mut values)?;
    arithmetic.multiply(&mut values, &plan.inverse_coset_powers);
    Ok(values)
}

/// Reduces coefficients modulo `x^size - g^size` and scales coefficient `j` by `g^j`, in the first `size` places.
fn fold_to_coset(values: &mut [Scalar], powers: &[Scalar], wrap: Scalar, arithmetic: Arithmetic) {
    let size = powers.len();
    // At most two parts: the size is at least half of the length.
    if values.len() > size {
        let (low, high) = values.split_at_mut(size);
        arithmetic.scale(high, wrap);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
    }
    arithmetic.multiply(values, powers);
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
    pub(crate) fn new(
        total: usize,
        missing: &[usize],
        coefficients: usize,
        arithmetic: Arithmetic,
        parallel: bool,
    ) -> Result<Self, DomainError> {
        let size = coefficients.next_power_of_two();
        let roots = missing
            .iter()
            .map(|index| transform::domain_point(total, *index))
            .collect::<Result<Vec<_>, _>>()?;
        let vanishing = arithmetic.polynomial_with_roots(&roots, parallel)?;

        // 7 generates the multiplicative group, so no power of two of it is one and the coset misses the domain.
        let generator = Scalar::from_u64(7);
        let coset_wrap = generator.pow(size as u64);
        let on_domain = || {
            let mut values = vanishing.clone();
            values.resize(total, Scalar::ZERO);
            arithmetic.forward(&mut values).map(|()| values)
        };
        let on_coset = || {
            let powers = arithmetic.powers(generator, size);
            let mut values = vanishing.clone();
            // Z has at most `size` roots, so at most one coefficient more.
            if values.len() > size {
                let leading = values[size];
                values[0] += leading * coset_wrap;
            }
            values.resize(size, Scalar::ZERO);
            arithmetic.multiply(&mut values, &powers);
            arithmetic.forward(&mut values)?;
            arithmetic.batch_inverse(&mut values);
            Ok((powers, values))
        };
        let (on_domain, on_coset) = if parallel {
            rayon::join(on_domain, on_coset)
        } else {
            (on_domain(), on_coset())
        };
        let (coset_powers, vanishing_inverses) = on_coset?;
        let inverse = generator.inverse().expect("seven is not zero; qed");
        Ok(Self {
            vanishing_values: on_domain?,
            vanishing_inverses,
            coset_powers,
            inverse_coset_powers: arithmetic.powers(inverse, size),
            coset_wrap,
        })
    }
}

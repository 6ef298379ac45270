//! Arithmetic on four scalars at a time, for x86-64 processors with AVX2 and FMA.
//!
//! Everything takes an [`Avx2`], which only a processor with the instructions hands out.

mod columns;
mod dft;
mod fr4;
mod layout;
mod product_tree;
mod twiddles;

pub(crate) use columns::QuadColumns;
pub(crate) use product_tree::{MIN_ROOTS, monic_products};

use crate::Scalar;
use crate::msm::Avx2;
use crate::transform::inverse_size;
use dft::Finish;
use fr4::Limbs;
use twiddles::Twiddles;

/// Shortest transform that is worth the exchange of lanes and vectors.
pub(crate) const MIN_TRANSFORM: usize = 16;

/// Most rows of columns: what twiddle factors allow.
pub(crate) const MAX_ROWS: usize = 1 << 14;

/// A number times 2^258, as factor of numbers in any form.
fn factor(scalar: Scalar) -> Limbs {
    fr4::limbs_of((scalar * Scalar::from_u64(4)).0.l)
}

/// Coefficients to values, for [`MIN_TRANSFORM`] values or more that have a domain.
pub(crate) fn forward(proof: Avx2, values: &mut [Scalar]) {
    dft::transform(proof, values, Twiddles::forward(proof), Finish::Nothing);
}

/// Values to coefficients, for [`MIN_TRANSFORM`] values or more that have a domain.
pub(crate) fn inverse(proof: Avx2, values: &mut [Scalar]) {
    let scale = factor(inverse_size(values.len()));
    dft::transform(proof, values, Twiddles::inverse(proof), Finish::Scale(&scale));
}

/// From the values on the domain to those on its odd coset in the domain of twice the size, which must exist.
pub(crate) fn to_odd_coset(proof: Avx2, values: &mut [Scalar]) {
    switch_coset(proof, values, Twiddles::forward(proof));
}

/// The inverse of [`to_odd_coset`].
pub(crate) fn from_odd_coset(proof: Avx2, values: &mut [Scalar]) {
    switch_coset(proof, values, Twiddles::inverse(proof));
}

fn switch_coset(proof: Avx2, values: &mut [Scalar], powers: &Twiddles) {
    let vectors = values.len() / layout::LANES;
    let powers = &powers.vectors[vectors..][..vectors];
    let scale = factor(inverse_size(values.len()));
    dft::transform(
        proof,
        values,
        Twiddles::inverse(proof),
        Finish::Powers(&scale, powers),
    );
    forward(proof, values);
}

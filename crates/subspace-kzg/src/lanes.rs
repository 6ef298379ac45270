//! Arithmetic on eight scalars at a time, for x86-64 processors with AVX-512 IFMA.
//!
//! Everything takes a [`Token`], which only a processor with the instructions hands out.

mod columns;
mod dft;
mod fr8;
mod layout;
mod product_tree;
mod slices;
mod twiddles;

pub(crate) use columns::LaneColumns;
pub(crate) use product_tree::{MIN_ROOTS, monic_products};
pub(crate) use slices::{add_encoded, batch_inverse, multiply, powers, scale};

use crate::Scalar;
use dft::Finish;
use twiddles::Twiddles;

/// Shortest transform that is worth the exchange of lanes and vectors.
pub(crate) const MIN_TRANSFORM: usize = 64;

/// Most rows of columns: what twiddle factors and the room for sums of numbers below `2 r` allow.
pub(crate) const MAX_ROWS: usize = 4096;

/// Proof that the processor has AVX-512 F, BW, IFMA and VBMI2, and that the system saves the registers.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Token(());

impl Token {
    /// `None` when an instruction set is missing.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi2"))
        .then_some(Self(()))
    }
}

/// A number times 2^260, as factor of numbers in any form.
fn factor(scalar: Scalar) -> [u64; 5] {
    fr8::split((scalar * Scalar::from_u64(16)).0.l)
}

/// Coefficients to values, for [`MIN_TRANSFORM`] values or more that have a domain.
pub(crate) fn forward(token: Token, values: &mut [Scalar]) {
    dft::transform(token, values, Twiddles::forward(token), Finish::Nothing);
}

/// Values to coefficients, for [`MIN_TRANSFORM`] values or more that have a domain.
pub(crate) fn inverse(token: Token, values: &mut [Scalar]) {
    let scale = factor(crate::transform::inverse_size(values.len()));
    dft::transform(token, values, Twiddles::inverse(token), Finish::Scale(&scale));
}

/// From the values on the domain to those on its odd coset in the domain of twice the size, which must exist.
pub(crate) fn to_odd_coset(token: Token, values: &mut [Scalar]) {
    let powers = &Twiddles::forward(token).vectors[values.len() / 8..][..values.len() / 8];
    let scale = factor(crate::transform::inverse_size(values.len()));
    dft::transform(
        token,
        values,
        Twiddles::inverse(token),
        Finish::Powers(&scale, powers),
    );
    forward(token, values);
}

/// The inverse of [`to_odd_coset`].
pub(crate) fn from_odd_coset(token: Token, values: &mut [Scalar]) {
    let powers = &Twiddles::inverse(token).vectors[values.len() / 8..][..values.len() / 8];
    let scale = factor(crate::transform::inverse_size(values.len()));
    dft::transform(
        token,
        values,
        Twiddles::inverse(token),
        Finish::Powers(&scale, powers),
    );
    forward(token, values);
}

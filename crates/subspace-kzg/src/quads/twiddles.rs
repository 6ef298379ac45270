//! Twiddle factors as lanes need them.

use super::fr4::{Fr4, Limbs};
use super::layout::{LANES, factors};
use crate::Scalar;
use crate::msm::Avx2;
use crate::transform;
use std::sync::OnceLock;

/// Powers of the roots of one direction, as factors.
pub(super) struct Twiddles {
    /// Limbs of `w_2m^j` at index `m + j`, for transforms of lanes (up to a quarter of the largest domain).
    pub(super) single: Vec<Limbs>,
    /// `w_2m^j .. w_2m^(j + 3)` at index `(m + j) / 4`.
    pub(super) vectors: Vec<Fr4>,
}

impl Twiddles {
    /// Of the transform from coefficients to values.
    pub(super) fn forward(_: Avx2) -> &'static Self {
        static FORWARD: OnceLock<Twiddles> = OnceLock::new();
        FORWARD.get_or_init(|| Self::new(transform::forward_twiddles()))
    }

    /// Of the transform from values to coefficients.
    pub(super) fn inverse(_: Avx2) -> &'static Self {
        static INVERSE: OnceLock<Twiddles> = OnceLock::new();
        INVERSE.get_or_init(|| Self::new(transform::inverse_twiddles()))
    }

    fn new(powers: &[Scalar]) -> Self {
        let single = powers[..powers.len() / LANES]
            .iter()
            .map(|power| super::factor(*power))
            .collect();
        let vectors = powers.as_chunks().0.iter().map(factors).collect();
        Self { single, vectors }
    }
}

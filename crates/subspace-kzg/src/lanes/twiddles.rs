//! Twiddle factors as lanes need them.

use super::Token;
use super::fr8;
use super::fr8::Fr8;
use super::layout::{LANES, load_factor};
use crate::Scalar;
use crate::transform;
use std::sync::OnceLock;

/// Powers of the roots of one direction, as numbers times 2^260 below the modulus.
pub(super) struct Twiddles {
    /// Limbs of `w_2m^j` at index `m + j`, for transforms of lanes (up to an eighth of the largest domain).
    pub(super) single: Vec<[u64; 5]>,
    /// `w_2m^j .. w_2m^(j + 7)` at index `(m + j) / 8`.
    pub(super) vectors: Vec<Fr8>,
}

impl Twiddles {
    /// Of the transform from coefficients to values.
    pub(super) fn forward(token: Token) -> &'static Self {
        static FORWARD: OnceLock<Twiddles> = OnceLock::new();
        FORWARD.get_or_init(|| Self::new(token, transform::forward_twiddles()))
    }

    /// Of the transform from values to coefficients.
    pub(super) fn inverse(token: Token) -> &'static Self {
        static INVERSE: OnceLock<Twiddles> = OnceLock::new();
        INVERSE.get_or_init(|| Self::new(token, transform::inverse_twiddles()))
    }

    fn new(token: Token, powers: &[Scalar]) -> Self {
        let sixteen = Scalar::from_u64(16);
        let single = powers[..powers.len() / LANES]
            .iter()
            .map(|power| fr8::split((*power * sixteen).0.l))
            .collect();
        let vectors = powers
            .as_chunks()
            .0
            .iter()
            // SAFETY: the token proves that the processor has the instructions.
            .map(|powers| unsafe { factor(token, powers) })
            .collect();
        Self { single, vectors }
    }
}

/// Eight scalars as canonical numbers times 2^260.
#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn factor(_: Token, scalars: &[Scalar; LANES]) -> Fr8 {
    fr8::canonical(&fr8::reduce(&load_factor(scalars)))
}

//! Discrete Fourier transforms over the nested domains `w_n`, in place and in natural order.
//!
//! `w_n = 7^((r - 1) / n)` for every power of two `n` up to [`MAX_DOMAIN_SIZE`], so `w_2n^2 = w_n`
//! (docs/protocol/kzg.md, "Evaluation domain"). Twiddle factors are kept per butterfly stage, each stage contiguous: the
//! same 2 MiB as one table of powers, without the strides that make small stages miss the cache.

pub(crate) mod portable;
mod rows;

pub(crate) use rows::{forward_rows, inverse_rows, permute_rows};

use crate::{Arithmetic, Scalar};
use std::sync::OnceLock;

/// Largest domain of the protocol: an extended record.
pub const MAX_DOMAIN_SIZE: usize = 1 << 16;

/// A length that has no domain.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length} values have no evaluation domain: give a power of two up to {MAX_DOMAIN_SIZE}")]
pub struct DomainError {
    /// The length that was given.
    pub length: usize,
}

struct Twiddles {
    /// `w_2m^j` at index `m + j` for every stage `m` (a power of two below half the domain) and `j < m`.
    forward: Vec<Scalar>,
    /// The inverses of `forward`.
    inverse: Vec<Scalar>,
}

fn twiddles() -> &'static Twiddles {
    static TWIDDLES: OnceLock<Twiddles> = OnceLock::new();
    TWIDDLES.get_or_init(|| {
        let mut forward = vec![Scalar::ONE; MAX_DOMAIN_SIZE];
        let mut half = MAX_DOMAIN_SIZE / 2;
        let root = largest_root();
        for j in 1..half {
            forward[half + j] = forward[half + j - 1] * root;
        }
        while half > 1 {
            half /= 2;
            for j in 0..half {
                forward[half + j] = forward[2 * half + 2 * j];
            }
        }
        // w_2m^-j = -w_2m^(m - j)
        let mut inverse = vec![Scalar::ONE; MAX_DOMAIN_SIZE];
        let mut half = 2;
        while half < MAX_DOMAIN_SIZE {
            for j in 1..half {
                inverse[half + j] = -forward[2 * half - j];
            }
            half *= 2;
        }
        Twiddles { forward, inverse }
    })
}

/// `7^((r - 1) / 65536)`.
fn largest_root() -> Scalar {
    // (r - 1) / 2^32, the odd part of the group order, as big-endian limbs; 2^32 / 65536 = 2^16 squarings follow.
    const ODD_PART: [u64; 4] = [
        0x0000_0000_73ed_a753,
        0x299d_7d48_3339_d808,
        0x09a1_d805_53bd_a402,
        0xfffe_5bfe_ffff_ffff,
    ];
    let generator = Scalar::from_u64(7);
    let mut root = Scalar::ONE;
    for limb in ODD_PART {
        for bit in (0..u64::BITS).rev() {
            root = root.square();
            if limb >> bit & 1 == 1 {
                root *= generator;
            }
        }
    }
    for _ in 0..16 {
        root = root.square();
    }
    root
}

/// Checks that `length` has a domain.
///
/// # Errors
/// [`DomainError`] when it is no power of two or above [`MAX_DOMAIN_SIZE`].
pub fn check_domain(length: usize) -> Result<(), DomainError> {
    if length.is_power_of_two() && length <= MAX_DOMAIN_SIZE {
        Ok(())
    } else {
        Err(DomainError { length })
    }
}

/// The point of value `index` on the domain of `num_values`: `w_num_values^index` (the index counts modulo the size).
///
/// # Errors
/// [`DomainError`] when `num_values` has no domain.
pub fn domain_point(num_values: usize, index: usize) -> Result<Scalar, DomainError> {
    check_domain(num_values)?;
    let index = index % num_values;
    let half = num_values / 2;
    let forward = &twiddles().forward;
    Ok(if index == 0 {
        Scalar::ONE
    } else if index < half {
        forward[half + index]
    } else {
        -forward[index]
    })
}

/// The powers `w_2n^j` for `j < n`: what takes coefficients from the domain of `n` to its odd coset in the domain of `2n`.
///
/// # Errors
/// [`DomainError`] when `2n` has no domain.
pub fn coset_powers(n: usize) -> Result<&'static [Scalar], DomainError> {
    check_domain(2 * n)?;
    Ok(&twiddles().forward[n..2 * n])
}

/// The inverses of [`coset_powers`].
///
/// # Errors
/// [`DomainError`] when `2n` has no domain.
pub fn inverse_coset_powers(n: usize) -> Result<&'static [Scalar], DomainError> {
    check_domain(2 * n)?;
    Ok(&twiddles().inverse[n..2 * n])
}

/// `1 / n` for a power of two.
pub fn inverse_size(n: usize) -> Scalar {
    Scalar::from_u64(n as u64)
        .inverse()
        .expect("sizes are not zero; qed")
}

/// Coefficients to values: `v_i = Σ c_j · w_n^(ij)`.
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn forward(values: &mut [Scalar]) -> Result<(), DomainError> {
    Arithmetic::from_environment().forward(values)
}

/// Values to coefficients: `c_j = (1/n) · Σ v_i · w_n^(-ij)`.
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn inverse(values: &mut [Scalar]) -> Result<(), DomainError> {
    Arithmetic::from_environment().inverse(values)
}

/// The twiddle factors of [`forward`]: `w_2m^j` at index `m + j`.
pub(crate) fn forward_twiddles() -> &'static [Scalar] {
    &twiddles().forward
}

/// The inverses of [`forward_twiddles`].
pub(crate) fn inverse_twiddles() -> &'static [Scalar] {
    &twiddles().inverse
}

/// Index of element `index` of `length` elements in bit-reversed order.
#[inline]
pub fn bit_reversed(index: usize, length: usize) -> usize {
    if length <= 1 {
        0
    } else {
        index.reverse_bits() >> (usize::BITS - length.trailing_zeros())
    }
}

/// Moves element `i` to the place of the bit reversal of `i`; its own inverse. The length must be a power of two.
pub(crate) fn bit_reverse_permute<T>(values: &mut [T]) {
    for index in 0..values.len() {
        let other = bit_reversed(index, values.len());
        if index < other {
            values.swap(index, other);
        }
    }
}

#[cfg(test)]
mod tests;

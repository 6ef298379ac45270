//! Discrete Fourier transforms over the nested domains `w_n`, in place and in natural order.
//!
//! `w_n = 7^((r - 1) / n)` for every power of two `n` up to [`MAX_DOMAIN_SIZE`], so `w_2n^2 = w_n`
//! (docs/protocol/kzg.md, "Evaluation domain"). Twiddle factors are kept per butterfly stage, each stage contiguous: the
//! same 2 MiB as one table of powers, without the strides that make small stages miss the cache.

mod rows;

pub use rows::{forward_rows, inverse_rows};

use crate::Scalar;
use blst::{blst_fr_ct_bfly, blst_fr_gs_bfly};
use std::sync::OnceLock;

/// Largest domain of the protocol: an extended record.
pub const MAX_DOMAIN_SIZE: usize = 1 << 16;

/// Sub-transforms of this many elements (32 KiB and as much of twiddle factors) are done stage by stage; larger ones are
/// split recursively so that the parts are finished while they are in the cache.
const ITERATIVE_SIZE: usize = 1 << 10;

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
    check_domain(values.len())?;
    bit_reverse_permute(values);
    decimation_in_time(values, &twiddles().forward);
    Ok(())
}

/// Values to coefficients: `c_j = (1/n) · Σ v_i · w_n^(-ij)`.
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn inverse(values: &mut [Scalar]) -> Result<(), DomainError> {
    check_domain(values.len())?;
    bit_reverse_permute(values);
    decimation_in_time(values, &twiddles().inverse);
    let scale = inverse_size(values.len());
    for value in values {
        *value *= scale;
    }
    Ok(())
}

/// Like [`inverse`], but leaves the coefficients in bit-reversed order and multiplied by the length: half of a
/// "transform, scale, transform back" that needs no permutation (see [`forward_from_bit_reversed`]).
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn inverse_to_bit_reversed_unscaled(values: &mut [Scalar]) -> Result<(), DomainError> {
    check_domain(values.len())?;
    decimation_in_frequency(values, &twiddles().inverse);
    Ok(())
}

/// Like [`forward`], from coefficients in bit-reversed order.
///
/// # Errors
/// [`DomainError`] when the length has no domain.
pub fn forward_from_bit_reversed(values: &mut [Scalar]) -> Result<(), DomainError> {
    check_domain(values.len())?;
    decimation_in_time(values, &twiddles().forward);
    Ok(())
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

#[inline]
fn butterfly_in_time(a: &mut Scalar, b: &mut Scalar, twiddle: &Scalar) {
    // SAFETY: three distinct live field elements; `a` and `b` cannot overlap as both are mutable borrows.
    unsafe { blst_fr_ct_bfly(&mut a.0, &mut b.0, &twiddle.0) }
}

#[inline]
fn butterfly_in_frequency(a: &mut Scalar, b: &mut Scalar, twiddle: &Scalar) {
    // SAFETY: three distinct live field elements; `a` and `b` cannot overlap as both are mutable borrows.
    unsafe { blst_fr_gs_bfly(&mut a.0, &mut b.0, &twiddle.0) }
}

#[inline]
fn butterfly_without_twiddle(a: &mut Scalar, b: &mut Scalar) {
    let difference = *a - *b;
    *a += *b;
    *b = difference;
}

/// Bit-reversed order in, natural order out.
fn decimation_in_time(values: &mut [Scalar], twiddles: &[Scalar]) {
    if values.len() > ITERATIVE_SIZE {
        let (low, high) = values.split_at_mut(values.len() / 2);
        decimation_in_time(low, twiddles);
        decimation_in_time(high, twiddles);
        stage_in_time(values, values.len() / 2, twiddles);
        return;
    }
    let mut half = 1;
    while half < values.len() {
        stage_in_time(values, half, twiddles);
        half *= 2;
    }
}

fn stage_in_time(values: &mut [Scalar], half: usize, twiddles: &[Scalar]) {
    let twiddles = &twiddles[half..2 * half];
    for block in values.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        // The first factor of every stage is one.
        butterfly_without_twiddle(&mut low[0], &mut high[0]);
        for ((a, b), twiddle) in low.iter_mut().zip(high).zip(twiddles).skip(1) {
            butterfly_in_time(a, b, twiddle);
        }
    }
}

/// Natural order in, bit-reversed order out.
fn decimation_in_frequency(values: &mut [Scalar], twiddles: &[Scalar]) {
    if values.len() > ITERATIVE_SIZE {
        stage_in_frequency(values, values.len() / 2, twiddles);
        let (low, high) = values.split_at_mut(values.len() / 2);
        decimation_in_frequency(low, twiddles);
        decimation_in_frequency(high, twiddles);
        return;
    }
    let mut half = values.len() / 2;
    while half > 0 {
        stage_in_frequency(values, half, twiddles);
        half /= 2;
    }
}

fn stage_in_frequency(values: &mut [Scalar], half: usize, twiddles: &[Scalar]) {
    let twiddles = &twiddles[half..2 * half];
    for block in values.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        butterfly_without_twiddle(&mut low[0], &mut high[0]);
        for ((a, b), twiddle) in low.iter_mut().zip(high).zip(twiddles).skip(1) {
            butterfly_in_frequency(a, b, twiddle);
        }
    }
}

#[cfg(test)]
mod tests;

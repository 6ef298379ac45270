//! Transforms one scalar at a time, for any processor. Lengths must have a domain.

use super::{bit_reverse_permute, bit_reversed, forward_twiddles, inverse_size, inverse_twiddles};
use crate::Scalar;
use blst::{blst_fr_ct_bfly, blst_fr_gs_bfly};

/// Sub-transforms of this many elements (32 KiB and as much of twiddle factors) are done stage by stage; larger ones are
/// split recursively so that the parts are finished while they are in the cache.
const ITERATIVE_SIZE: usize = 1 << 10;

/// Coefficients to values.
pub(crate) fn forward(values: &mut [Scalar]) {
    bit_reverse_permute(values);
    decimation_in_time(values, forward_twiddles());
}

/// Values to coefficients.
pub(crate) fn inverse(values: &mut [Scalar]) {
    bit_reverse_permute(values);
    decimation_in_time(values, inverse_twiddles());
    let scale = inverse_size(values.len());
    for value in values {
        *value *= scale;
    }
}

/// From the values on the domain to those on its odd coset in the domain of twice the size. `powers` are
/// [`coset_powers`](super::coset_powers), or their inverses for the way back.
///
/// Coefficients are only scaled between the transforms, so they may stay in the order that the first one leaves.
pub(crate) fn switch_coset(values: &mut [Scalar], powers: &[Scalar]) {
    let length = values.len();
    decimation_in_frequency(values, inverse_twiddles());
    let scale = inverse_size(length);
    for (index, value) in values.iter_mut().enumerate() {
        *value *= powers[bit_reversed(index, length)] * scale;
    }
    decimation_in_time(values, forward_twiddles());
}

#[inline]
pub(super) fn butterfly_in_time(a: &mut Scalar, b: &mut Scalar, twiddle: &Scalar) {
    // SAFETY: three distinct live field elements; `a` and `b` cannot overlap as both are mutable borrows.
    unsafe { blst_fr_ct_bfly(&mut a.0, &mut b.0, &twiddle.0) }
}

#[inline]
pub(super) fn butterfly_in_frequency(a: &mut Scalar, b: &mut Scalar, twiddle: &Scalar) {
    // SAFETY: three distinct live field elements; `a` and `b` cannot overlap as both are mutable borrows.
    unsafe { blst_fr_gs_bfly(&mut a.0, &mut b.0, &twiddle.0) }
}

#[inline]
pub(super) fn butterfly_without_twiddle(a: &mut Scalar, b: &mut Scalar) {
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

//! Many equal transforms at once, one scalar at a time: element `i` of every transform lies in row `i`.
//!
//! The butterflies of all columns of a row share one twiddle factor and walk memory in order, so a tile of records can be
//! transformed across records without transposing it.

use super::portable::{butterfly_in_frequency, butterfly_in_time, butterfly_without_twiddle};
use super::{bit_reversed, forward_twiddles, inverse_twiddles};
use crate::Scalar;

/// Coefficients to values for each of the `width` columns of `length` rows; row `i` holds the coefficients whose index is the
/// bit reversal of `i`.
pub(crate) fn forward_rows(rows: &mut [Scalar], width: usize, length: usize) {
    let mut half = 1;
    while half < length {
        stage(rows, width, half, forward_twiddles(), butterfly_in_time);
        half *= 2;
    }
}

/// Values to coefficients, times the number of rows, in bit-reversed row order.
pub(crate) fn inverse_rows(rows: &mut [Scalar], width: usize, length: usize) {
    let mut half = length / 2;
    while half > 0 {
        stage(rows, width, half, inverse_twiddles(), butterfly_in_frequency);
        half /= 2;
    }
}

#[inline]
fn stage(
    rows: &mut [Scalar],
    width: usize,
    half: usize,
    twiddles: &[Scalar],
    butterfly: impl Fn(&mut Scalar, &mut Scalar, &Scalar),
) {
    if width == 0 {
        return;
    }
    for block in rows.chunks_exact_mut(2 * half * width) {
        let (low, high) = block.split_at_mut(half * width);
        let pairs = low.chunks_exact_mut(width).zip(high.chunks_exact_mut(width));
        for (j, (low, high)) in pairs.enumerate() {
            let twiddle = &twiddles[half + j];
            for (a, b) in low.iter_mut().zip(high) {
                if j == 0 {
                    butterfly_without_twiddle(a, b);
                } else {
                    butterfly(a, b, twiddle);
                }
            }
        }
    }
}

/// Moves row `i` to the place of the bit reversal of `i`.
pub(crate) fn permute_rows(rows: &mut [Scalar], width: usize, length: usize) {
    for index in 0..length {
        let other = bit_reversed(index, length);
        if index < other {
            let (head, tail) = rows.split_at_mut(other * width);
            head[index * width..(index + 1) * width].swap_with_slice(&mut tail[..width]);
        }
    }
}

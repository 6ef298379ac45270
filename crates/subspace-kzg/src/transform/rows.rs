//! Many equal transforms at once: element `i` of every transform lies in row `i`.
//!
//! The butterflies of all columns of a row share one twiddle factor and walk memory in order, so a tile of records can be
//! transformed across records without transposing it.

use super::{
    DomainError, Twiddles, bit_reversed, butterfly_in_frequency, butterfly_in_time,
    butterfly_without_twiddle, check_domain, twiddles,
};
use crate::Scalar;

fn check_rows(rows: &[Scalar], width: usize) -> Result<usize, DomainError> {
    let length = rows.len().checked_div(width).unwrap_or(0);
    if length * width != rows.len() {
        return Err(DomainError { length: rows.len() });
    }
    check_domain(length)?;
    Ok(length)
}

/// Coefficients to values for each of the `width` columns of `rows` (row after row, `width` elements each). With
/// `from_bit_reversed`, row `i` holds the coefficients whose index is the bit reversal of `i`.
///
/// # Errors
/// [`DomainError`] when the number of rows has no domain or `width` does not divide the length.
pub fn forward_rows(rows: &mut [Scalar], width: usize, from_bit_reversed: bool) -> Result<(), DomainError> {
    let length = check_rows(rows, width)?;
    if !from_bit_reversed {
        permute_rows(rows, width, length);
    }
    let Twiddles { forward, .. } = twiddles();
    let mut half = 1;
    while half < length {
        for block in rows.chunks_exact_mut(2 * half * width) {
            let (low, high) = block.split_at_mut(half * width);
            let pairs = low.chunks_exact_mut(width).zip(high.chunks_exact_mut(width));
            for (j, (low, high)) in pairs.enumerate() {
                let twiddle = &forward[half + j];
                for (a, b) in low.iter_mut().zip(high) {
                    if j == 0 {
                        butterfly_without_twiddle(a, b);
                    } else {
                        butterfly_in_time(a, b, twiddle);
                    }
                }
            }
        }
        half *= 2;
    }
    Ok(())
}

/// Values to coefficients, times the number of rows, in bit-reversed row order (see [`forward_rows`]); multiply by
/// [`inverse_size`](super::inverse_size) where the coefficients are scaled anyway.
///
/// # Errors
/// [`DomainError`] when the number of rows has no domain or `width` does not divide the length.
pub fn inverse_rows(rows: &mut [Scalar], width: usize) -> Result<(), DomainError> {
    let length = check_rows(rows, width)?;
    let Twiddles { inverse, .. } = twiddles();
    let mut half = length / 2;
    while half > 0 {
        for block in rows.chunks_exact_mut(2 * half * width) {
            let (low, high) = block.split_at_mut(half * width);
            let pairs = low.chunks_exact_mut(width).zip(high.chunks_exact_mut(width));
            for (j, (low, high)) in pairs.enumerate() {
                let twiddle = &inverse[half + j];
                for (a, b) in low.iter_mut().zip(high) {
                    if j == 0 {
                        butterfly_without_twiddle(a, b);
                    } else {
                        butterfly_in_frequency(a, b, twiddle);
                    }
                }
            }
        }
        half /= 2;
    }
    Ok(())
}

fn permute_rows(rows: &mut [Scalar], width: usize, length: usize) {
    for index in 0..length {
        let other = bit_reversed(index, length);
        if index < other {
            let (head, tail) = rows.split_at_mut(other * width);
            head[index * width..(index + 1) * width].swap_with_slice(&mut tail[..width]);
        }
    }
}

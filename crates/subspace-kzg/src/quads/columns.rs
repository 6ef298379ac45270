//! Many equal transforms of numbers that are read and written in their encoded form: four columns a vector.

use super::dft::transform_lanes;
use super::factor;
use super::fr4::{self, Fr4, Limbs, add, canonical, product, reduce, splat};
use super::layout::{LANES, load_encoded, store_encoded};
use super::twiddles::Twiddles;
use crate::Scalar;
use crate::msm::Avx2;
use crate::transform::bit_reverse_permute;

type Chunks = [[u8; 32]];

/// Rows of numbers, with limbs up to 2^43 and `r` (in absolute value). They are plain numbers, as transforms keep whatever form
/// they get.
#[derive(Clone)]
pub(crate) struct QuadColumns {
    proof: Avx2,
    /// Four columns each, a vector for every row.
    groups: Vec<Vec<Fr4>>,
}

impl QuadColumns {
    /// Columns of zeroes.
    pub(crate) fn new(proof: Avx2, rows: usize, width: usize) -> Self {
        Self {
            proof,
            groups: vec![vec![fr4::ZERO; rows]; width.div_ceil(LANES)],
        }
    }

    /// Sets a row; the error is the index of a number that is not canonical.
    pub(crate) fn read_row(&mut self, row: usize, chunks: &Chunks) -> Result<(), usize> {
        for (index, (group, chunks)) in self.groups.iter_mut().zip(chunks.chunks(LANES)).enumerate() {
            let mut padded = [[0; 32]; LANES];
            let block = match chunks.as_array() {
                Some(block) => block,
                None => {
                    padded[..chunks.len()].copy_from_slice(chunks);
                    &padded
                }
            };
            // SAFETY: the proof is that the processor has the instructions.
            match unsafe { load_encoded(block) } {
                Some(numbers) => group[row] = numbers,
                None => {
                    let is_wrong = |chunk| Scalar::try_from_bytes(chunk).is_err();
                    return Err(index * LANES + chunks.iter().position(is_wrong).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    /// Writes a row.
    pub(crate) fn write_row(&self, row: usize, chunks: &mut Chunks) {
        for (group, chunks) in self.groups.iter().zip(chunks.chunks_mut(LANES)) {
            self.write_numbers(&group[row], chunks);
        }
    }

    fn write_numbers(&self, numbers: &Fr4, chunks: &mut Chunks) {
        let mut padded = [[0; 32]; LANES];
        // SAFETY: the proof is that the processor has the instructions.
        unsafe {
            let numbers = canonical(numbers);
            match chunks.as_mut_array() {
                Some(block) => store_encoded(block, &numbers),
                None => store_encoded(&mut padded, &numbers),
            }
        }
        if chunks.len() < LANES {
            chunks.copy_from_slice(&padded[..chunks.len()]);
        }
    }

    /// Values to coefficients, multiplied by the number of rows.
    pub(crate) fn inverse_unscaled(&mut self) {
        self.transform(Twiddles::inverse(self.proof));
    }

    /// Coefficients to values.
    pub(crate) fn forward(&mut self) {
        self.transform(Twiddles::forward(self.proof));
    }

    fn transform(&mut self, twiddles: &Twiddles) {
        for group in &mut self.groups {
            bit_reverse_permute(group);
            // SAFETY: the proof is that the processor has the instructions.
            unsafe { transform_and_reduce(group, twiddles) }
        }
    }

    /// Multiplies each row by a factor.
    pub(crate) fn multiply_rows(&mut self, factors: impl Iterator<Item = Scalar>) {
        for (row, scalar) in factors.enumerate() {
            let factor = factor(scalar);
            for group in &mut self.groups {
                // SAFETY: the proof is that the processor has the instructions.
                group[row] = unsafe { reduce(&times(&group[row], &factor)) };
            }
        }
    }

    /// Adds the second half of the rows, multiplied by `wrap`, to the first, and removes it.
    pub(crate) fn fold(&mut self, wrap: Scalar) {
        let wrap = factor(wrap);
        for group in &mut self.groups {
            let half = group.len() / 2;
            let (low, high) = group.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                // SAFETY: the proof is that the processor has the instructions.
                *low = unsafe { reduce(&add(low, &times(high, &wrap))) };
            }
            group.truncate(half);
        }
    }

    /// Writes the sum of all rows, each multiplied by its weight.
    pub(crate) fn write_weighted(&self, weights: &[Scalar], chunks: &mut Chunks) {
        let weights: Vec<_> = weights.iter().map(|weight| factor(*weight)).collect();
        for (group, chunks) in self.groups.iter().zip(chunks.chunks_mut(LANES)) {
            // SAFETY: the proof is that the processor has the instructions.
            let sum = unsafe { weighted_sum(group, &weights) };
            self.write_numbers(&sum, chunks);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn transform_and_reduce(group: &mut [Fr4], twiddles: &Twiddles) {
    transform_lanes(group, twiddles);
    for number in group {
        *number = reduce(number);
    }
}

#[target_feature(enable = "avx2,fma")]
fn times(a: &Fr4, factor: &Limbs) -> Fr4 {
    product(a, &splat(factor))
}

#[target_feature(enable = "avx2,fma")]
fn weighted_sum(numbers: &[Fr4], weights: &[Limbs]) -> Fr4 {
    let mut sum = fr4::ZERO;
    for (number, weight) in numbers.iter().zip(weights) {
        sum = reduce(&add(&sum, &times(number, weight)));
    }
    sum
}

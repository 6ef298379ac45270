//! Columns one scalar at a time, for any processor.

use super::Chunk;
use crate::Scalar;
use crate::transform::{forward_rows, inverse_rows, permute_rows};

/// Value of column `c` in row `i` at `i * width + c`.
#[derive(Clone)]
pub(super) struct PortableColumns {
    values: Vec<Scalar>,
    rows: usize,
    width: usize,
}

impl PortableColumns {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self {
            values: vec![Scalar::ZERO; rows * width],
            rows,
            width,
        }
    }

    fn row(&self, row: usize) -> &[Scalar] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub(super) fn read_row(&mut self, row: usize, chunks: &[Chunk]) -> Result<(), usize> {
        let row = &mut self.values[row * self.width..(row + 1) * self.width];
        for (index, (value, chunk)) in row.iter_mut().zip(chunks).enumerate() {
            *value = Scalar::try_from_bytes(chunk).map_err(|_| index)?;
        }
        Ok(())
    }

    pub(super) fn write_row(&self, row: usize, chunks: &mut [Chunk]) {
        for (chunk, value) in chunks.iter_mut().zip(self.row(row)) {
            *chunk = value.to_bytes();
        }
    }

    pub(super) fn write_weighted(&self, weights: &[Scalar], chunks: &mut [Chunk]) {
        let mut sums = vec![Scalar::ZERO; self.width];
        for (row, weight) in weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(self.row(row)) {
                *sum += *value * *weight;
            }
        }
        for (chunk, sum) in chunks.iter_mut().zip(sums) {
            *chunk = sum.to_bytes();
        }
    }

    pub(super) fn inverse_unscaled(&mut self) {
        inverse_rows(&mut self.values, self.width, self.rows);
        permute_rows(&mut self.values, self.width, self.rows);
    }

    pub(super) fn forward(&mut self) {
        permute_rows(&mut self.values, self.width, self.rows);
        forward_rows(&mut self.values, self.width, self.rows);
    }

    pub(super) fn multiply_rows(&mut self, factors: impl Iterator<Item = Scalar>) {
        // Rows of no columns have no chunks, and a size of zero is not allowed.
        for (row, factor) in self.values.chunks_exact_mut(self.width.max(1)).zip(factors) {
            for value in row {
                *value *= factor;
            }
        }
    }

    pub(super) fn fold(&mut self, wrap: Scalar) {
        self.rows /= 2;
        let (low, high) = self.values.split_at_mut(self.rows * self.width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high * wrap;
        }
        self.values.truncate(self.rows * self.width);
    }
}

//! Recovery of many columns that miss the same positions.

use super::{Chunk, TILE_COLUMNS, check_record_lengths, multiply_row, read_row, tiles, write_row};
use crate::recovery::RecoveryPlan;
use crate::{ErasureCoding, ErasureCodingError};
use rayon::prelude::*;
use subspace_kzg::Scalar;
use subspace_kzg::transform::{self, DomainError};

/// Up to this many wanted records are computed as weighted sums of the present ones (`n` multiplications a value); more are
/// cheaper by transforms (about `18 n` multiplications a column, whatever the number wanted).
const MAX_WEIGHTED: usize = 8;

/// How values are found, given which positions are present.
enum Method {
    /// All source values are there.
    FromSource,
    /// All parity values are there.
    FromParity,
    /// Anything else.
    General(RecoveryPlan),
}

/// What is computed once for a set of present positions and serves any number of columns.
///
/// Exactly half of the positions are used, present ones beyond them are ignored: check what comes out against commitments.
pub struct ColumnRecovery {
    /// Positions whose values are used, ascending; half of all.
    used: Vec<usize>,
    total: usize,
    method: Method,
}

impl ColumnRecovery {
    /// Prepares recovery of columns with a value at every position where `present` is true.
    ///
    /// # Errors
    /// [`ErasureCodingError::Length`] or [`ErasureCodingError::TooManyMissing`].
    pub fn new(erasure_coding: &ErasureCoding, present: &[bool]) -> Result<Self, ErasureCodingError> {
        let total = present.len();
        erasure_coding.check_shards(total)?;
        let half = total / 2;
        let positions = (0..total)
            .filter(|position| present[*position])
            .collect::<Vec<_>>();
        if positions.len() < half {
            return Err(ErasureCodingError::TooManyMissing {
                present: positions.len(),
                total,
            });
        }
        let all = |parity: usize| (0..half).all(|index| present[2 * index + parity]);
        let (used, method) = if all(0) {
            ((0..total).step_by(2).collect(), Method::FromSource)
        } else if all(1) {
            ((1..total).step_by(2).collect(), Method::FromParity)
        } else {
            let mut unused = vec![true; total];
            for position in &positions[..half] {
                unused[*position] = false;
            }
            let missing = (0..total)
                .filter(|position| unused[*position])
                .collect::<Vec<_>>();
            let plan =
                RecoveryPlan::new(total, &missing, half).map_err(|error| length_error(error, total))?;
            (positions[..half].to_vec(), Method::General(plan))
        };
        Ok(Self { used, total, method })
    }

    /// Positions whose values are used, ascending; half of all. Others need not be given.
    pub fn used_positions(&self) -> &[usize] {
        &self.used
    }

    /// Computes the records at the `wanted` positions from the records at [`ColumnRecovery::used_positions`].
    ///
    /// `records` has one entry a position. All records and buffers have the same number of chunks.
    ///
    /// # Errors
    /// When a record that is used is not there, lengths differ, a wanted position does not exist, or a chunk is not canonical;
    /// the content of the buffers is unspecified then.
    pub fn recover_records(
        &self,
        records: &[Option<&[Chunk]>],
        wanted: &mut [(usize, &mut [Chunk])],
        pool: &rayon::ThreadPool,
    ) -> Result<(), ErasureCodingError> {
        if records.len() != self.total || wanted.iter().any(|(position, _)| *position >= self.total) {
            return Err(ErasureCodingError::Length {
                given: records.len(),
                max_shards: self.total,
            });
        }
        let used = self
            .used
            .iter()
            .filter_map(|position| records[*position])
            .collect::<Vec<_>>();
        if used.len() < self.used.len() {
            return Err(ErasureCodingError::TooManyMissing {
                present: used.len(),
                total: self.total,
            });
        }
        let chunks = used.first().map_or(0, |record| record.len());
        check_record_lengths(chunks, used.iter().map(|record| record.len()))?;
        check_record_lengths(chunks, wanted.iter().map(|(_, record)| record.len()))?;

        let positions = wanted.iter().map(|(position, _)| *position).collect::<Vec<_>>();
        let weights = if positions.len() <= MAX_WEIGHTED {
            let weights = positions
                .iter()
                .map(|position| self.weights(*position))
                .collect::<Result<Vec<_>, _>>();
            Some(weights.map_err(|error| length_error(error, self.total))?)
        } else {
            None
        };
        let outputs = tiles(wanted.iter_mut().map(|(_, record)| &mut **record), chunks);
        pool.install(|| {
            outputs
                .into_par_iter()
                .enumerate()
                .try_for_each_init(Tile::default, |tile, (index, outputs)| {
                    let first = index * TILE_COLUMNS;
                    let width = TILE_COLUMNS.min(chunks - first);
                    tile.rows.resize(self.used.len() * width, Scalar::ZERO);
                    for (index, row) in tile.rows.chunks_exact_mut(width).enumerate() {
                        read_row(row, used[index], self.used[index], first)?;
                    }
                    match &weights {
                        Some(weights) => tile.write_weighted(weights, outputs, width),
                        None => self
                            .transform_tile(tile, &positions, outputs, width)
                            .map_err(|error| length_error(error, self.total))?,
                    }
                    Ok(())
                })
        })
    }

    /// Weights of the used values in the value at `position` (Lagrange basis polynomials).
    fn weights(&self, position: usize) -> Result<Vec<Scalar>, DomainError> {
        let point = transform::domain_point(self.total, position)?;
        let nodes = self
            .used
            .iter()
            .map(|position| transform::domain_point(self.total, *position))
            .collect::<Result<Vec<_>, _>>()?;
        let mut numerators = Vec::with_capacity(nodes.len());
        let mut denominators = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let mut numerator = Scalar::ONE;
            let mut denominator = Scalar::ONE;
            for (other_index, other) in nodes.iter().enumerate() {
                if other_index != index {
                    numerator *= point - *other;
                    denominator *= *node - *other;
                }
            }
            numerators.push(numerator);
            denominators.push(denominator);
        }
        Scalar::batch_inverse(&mut denominators);
        for (weight, numerator) in denominators.iter_mut().zip(numerators) {
            *weight *= numerator;
        }
        Ok(denominators)
    }

    fn transform_tile(
        &self,
        tile: &mut Tile,
        positions: &[usize],
        mut outputs: Vec<&mut [Chunk]>,
        width: usize,
    ) -> Result<(), DomainError> {
        let half = self.total / 2;
        tile.interpolate(self, width)?;
        // Now `tile.rows` has coefficients, rows in bit-reversed order.
        for parity in [0, 1] {
            if !positions.iter().any(|position| position % 2 == parity) {
                continue;
            }
            tile.values.clear();
            tile.values.extend_from_slice(&tile.rows);
            if parity == 1 {
                let powers = transform::coset_powers(half)?;
                for (index, row) in tile.values.chunks_exact_mut(width).enumerate() {
                    multiply_row(row, powers[transform::bit_reversed(index, half)]);
                }
            }
            transform::forward_rows(&mut tile.values, width, true)?;
            for (position, output) in positions.iter().zip(&mut outputs) {
                if position % 2 == parity {
                    let row = position / 2 * width;
                    write_row(output, &tile.values[row..row + width]);
                }
            }
        }
        Ok(())
    }
}

/// Buffers of one thread.
#[derive(Default)]
struct Tile {
    /// Used values, later coefficients.
    rows: Vec<Scalar>,
    values: Vec<Scalar>,
}

impl Tile {
    fn write_weighted(&mut self, weights: &[Vec<Scalar>], outputs: Vec<&mut [Chunk]>, width: usize) {
        for (weights, output) in weights.iter().zip(outputs) {
            self.values.clear();
            self.values.resize(width, Scalar::ZERO);
            for (row, weight) in self.rows.chunks_exact(width).zip(weights) {
                for (sum, value) in self.values.iter_mut().zip(row) {
                    *sum += *value * *weight;
                }
            }
            write_row(output, &self.values);
        }
    }

    /// Turns the used values in `rows` into coefficients, rows in bit-reversed order.
    fn interpolate(&mut self, recovery: &ColumnRecovery, width: usize) -> Result<(), DomainError> {
        let half = recovery.total / 2;
        let scale = transform::inverse_size(half);
        match &recovery.method {
            Method::FromSource => {
                transform::inverse_rows(&mut self.rows, width)?;
                multiply_row(&mut self.rows, scale);
            }
            Method::FromParity => {
                transform::inverse_rows(&mut self.rows, width)?;
                self.scale_coefficients(transform::inverse_coset_powers(half)?, scale, width);
            }
            Method::General(plan) => {
                self.values.clear();
                self.values.resize(recovery.total * width, Scalar::ZERO);
                for (row, position) in self.rows.chunks_exact(width).zip(&recovery.used) {
                    let values = &mut self.values[position * width..(position + 1) * width];
                    values.copy_from_slice(row);
                    multiply_row(values, plan.vanishing_values[*position]);
                }
                transform::inverse_rows(&mut self.values, width)?;
                // Coefficients j and j + half stand in neighbouring rows, and the pairs in bit-reversed order of j.
                let pairs = self.values.chunks_exact(2 * width);
                for (index, (folded, pair)) in self.rows.chunks_exact_mut(width).zip(pairs).enumerate() {
                    let (low, high) = pair.split_at(width);
                    let power = plan.coset_powers[transform::bit_reversed(index, half)];
                    for ((folded, low), high) in folded.iter_mut().zip(low).zip(high) {
                        *folded = (*low + *high * plan.coset_wrap) * power;
                    }
                }
                transform::forward_rows(&mut self.rows, width, true)?;
                for (row, inverse) in self.rows.chunks_exact_mut(width).zip(&plan.vanishing_inverses) {
                    multiply_row(row, *inverse);
                }
                transform::inverse_rows(&mut self.rows, width)?;
                // Both inverse transforms left their length as a factor.
                let scale = scale * transform::inverse_size(recovery.total);
                self.scale_coefficients(&plan.inverse_coset_powers, scale, width);
            }
        }
        Ok(())
    }

    fn scale_coefficients(&mut self, powers: &[Scalar], scale: Scalar, width: usize) {
        for (index, row) in self.rows.chunks_exact_mut(width).enumerate() {
            multiply_row(row, powers[transform::bit_reversed(index, powers.len())] * scale);
        }
    }
}

fn length_error(error: DomainError, total: usize) -> ErasureCodingError {
    ErasureCodingError::Length {
        given: error.length,
        max_shards: total,
    }
}

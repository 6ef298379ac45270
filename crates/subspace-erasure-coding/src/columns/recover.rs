//! Recovery of many columns that miss the same positions.

use super::{Chunk, TILE_COLUMNS, check_record_lengths, read_row, tiles};
use crate::recovery::RecoveryPlan;
use crate::{ErasureCoding, ErasureCodingError};
use rayon::prelude::*;
use subspace_kzg::transform::{self, DomainError};
use subspace_kzg::{Columns, Scalar};

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
    erasure_coding: ErasureCoding,
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
            let plan = RecoveryPlan::new(total, &missing, half, erasure_coding.arithmetic(), false)
                .map_err(|error| erasure_coding.length_error(error))?;
            (positions[..half].to_vec(), Method::General(plan))
        };
        Ok(Self {
            erasure_coding: *erasure_coding,
            used,
            total,
            method,
        })
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
            Some(weights.map_err(|error| self.erasure_coding.length_error(error))?)
        } else {
            None
        };
        let outputs = tiles(wanted.iter_mut().map(|(_, record)| &mut **record), chunks);
        pool.install(|| {
            outputs
                .into_par_iter()
                .enumerate()
                .try_for_each(|(index, outputs)| {
                    let first = index * TILE_COLUMNS;
                    let width = TILE_COLUMNS.min(chunks - first);
                    let read = |columns: &mut Columns, row, index: usize| {
                        read_row(columns, row, used[index], self.used[index], first)
                    };
                    match &weights {
                        Some(weights) => self.write_weighted(read, weights, outputs, width),
                        None => self.write_transformed(read, &positions, outputs, width),
                    }
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

    /// One weighted sum for each output. `read` puts used value `index` of all columns into a row.
    fn write_weighted(
        &self,
        read: impl Fn(&mut Columns, usize, usize) -> Result<(), ErasureCodingError>,
        weights: &[Vec<Scalar>],
        outputs: Vec<&mut [Chunk]>,
        width: usize,
    ) -> Result<(), ErasureCodingError> {
        let mut columns = self.erasure_coding.new_columns(self.used.len(), width)?;
        for index in 0..self.used.len() {
            read(&mut columns, index, index)?;
        }
        for (weights, output) in weights.iter().zip(outputs) {
            columns.write_weighted(weights, output);
        }
        Ok(())
    }

    /// Outputs at any positions by transforms.
    fn write_transformed(
        &self,
        read: impl Fn(&mut Columns, usize, usize) -> Result<(), ErasureCodingError>,
        positions: &[usize],
        mut outputs: Vec<&mut [Chunk]>,
        width: usize,
    ) -> Result<(), ErasureCodingError> {
        let coefficients = self.interpolate(read, width)?;
        for parity in [0, 1] {
            if !positions.iter().any(|position| position % 2 == parity) {
                continue;
            }
            let mut values = coefficients.clone();
            if parity == 1 {
                let powers = transform::coset_powers(self.total / 2);
                values.multiply_rows(powers.map_err(|error| self.erasure_coding.length_error(error))?);
            }
            values.forward();
            for (position, output) in positions.iter().zip(&mut outputs) {
                if position % 2 == parity {
                    values.write_row(position / 2, output);
                }
            }
        }
        Ok(())
    }

    /// The coefficients of all columns.
    fn interpolate(
        &self,
        read: impl Fn(&mut Columns, usize, usize) -> Result<(), ErasureCodingError>,
        width: usize,
    ) -> Result<Columns, ErasureCodingError> {
        let domain = |error| self.erasure_coding.length_error(error);
        let Method::General(plan) = &self.method else {
            let mut columns = self.erasure_coding.new_columns(self.used.len(), width)?;
            for index in 0..self.used.len() {
                read(&mut columns, index, index)?;
            }
            if matches!(self.method, Method::FromParity) {
                columns.interpolate_odd_coset().map_err(domain)?;
            } else {
                columns.inverse_and_multiply(None);
            }
            return Ok(columns);
        };
        let mut columns = self.erasure_coding.new_columns(self.total, width)?;
        for (index, position) in self.used.iter().enumerate() {
            read(&mut columns, *position, index)?;
        }
        columns.multiply_rows(&plan.vanishing_values);
        // Coefficients of D · Z, then their values on the coset.
        columns.inverse_and_multiply(None);
        columns.fold(plan.coset_wrap);
        columns.multiply_rows(&plan.coset_powers);
        columns.forward();
        columns.multiply_rows(&plan.vanishing_inverses);
        columns.inverse_and_multiply(Some(&plan.inverse_coset_powers));
        Ok(columns)
    }
}

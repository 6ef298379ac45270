//! Many short codewords at once, across records: column `c` is made of chunk `c` of every record.
//!
//! Records stay as they are in memory (32-byte chunks one after the other); tiles of a few columns are worked on at a time,
//! in parallel on the caller's pool, so that a tile fits the second-level cache.

mod recover;

pub use recover::ColumnRecovery;

use crate::{ErasureCoding, ErasureCodingError};
use rayon::prelude::*;
use subspace_kzg::Scalar;
use subspace_kzg::transform::{self, DomainError};

/// Columns of a tile: with the 256 records of a segment a tile has 256 KiB.
pub const TILE_COLUMNS: usize = 32;

/// Encoded scalar, a chunk of a record.
pub type Chunk = [u8; Scalar::BYTES];

impl ErasureCoding {
    /// Parity records of `source` records: chunk `c` of parity record `k` is parity value `k` of the column of all chunks `c`.
    /// `parity` are as many buffers as there are source records, of the same number of chunks.
    ///
    /// # Errors
    /// When the number of records cannot be extended, lengths differ, or a chunk is not canonical; the content of the
    /// buffers is unspecified then.
    pub fn extend_records<S: AsRef<[Chunk]> + Sync>(
        &self,
        source: &[S],
        parity: &mut [&mut [Chunk]],
        pool: &rayon::ThreadPool,
    ) -> Result<(), ErasureCodingError> {
        self.check_source(source.len())?;
        if parity.len() != source.len() {
            return Err(ErasureCodingError::Length {
                given: parity.len(),
                max_shards: source.len(),
            });
        }
        let chunks = source.first().map_or(0, |record| record.as_ref().len());
        check_record_lengths(chunks, source.iter().map(|record| record.as_ref().len()))?;
        check_record_lengths(chunks, parity.iter().map(|record| record.len()))?;

        let source = source.iter().map(AsRef::as_ref).collect::<Vec<_>>();
        pool.install(|| {
            tiles(parity.iter_mut().map(|record| &mut **record), chunks)
                .into_par_iter()
                .enumerate()
                .try_for_each_init(Vec::new, |rows, (tile, mut outputs)| {
                    let first = tile * TILE_COLUMNS;
                    let width = TILE_COLUMNS.min(chunks - first);
                    rows.resize(source.len() * width, Scalar::ZERO);
                    for (record, row) in rows.chunks_exact_mut(width).enumerate() {
                        read_row(row, source[record], record, first)?;
                    }
                    self.extend_columns(rows, width)?;
                    for (output, row) in outputs.iter_mut().zip(rows.chunks_exact(width)) {
                        write_row(output, row);
                    }
                    Ok(())
                })
        })
    }

    /// Replaces the source values of each of the `width` columns by their parity values. Value `i` of column `c` is at
    /// `rows[i * width + c]`.
    ///
    /// # Errors
    /// [`ErasureCodingError::Length`] when the number of rows cannot be extended.
    pub fn extend_columns(&self, rows: &mut [Scalar], width: usize) -> Result<(), ErasureCodingError> {
        let length = rows.len().checked_div(width).unwrap_or(0);
        self.check_source(length)?;
        extend_rows(rows, width, length).map_err(|error| ErasureCodingError::Length {
            given: error.length,
            max_shards: self.max_shards(),
        })
    }
}

fn extend_rows(rows: &mut [Scalar], width: usize, length: usize) -> Result<(), DomainError> {
    transform::inverse_rows(rows, width)?;
    let powers = transform::coset_powers(length)?;
    let scale = transform::inverse_size(length);
    for (index, row) in rows.chunks_exact_mut(width).enumerate() {
        multiply_row(row, powers[transform::bit_reversed(index, length)] * scale);
    }
    transform::forward_rows(rows, width, true)
}

fn multiply_row(row: &mut [Scalar], factor: Scalar) {
    for value in row {
        *value *= factor;
    }
}

fn read_row(
    row: &mut [Scalar],
    chunks: &[Chunk],
    record: usize,
    first: usize,
) -> Result<(), ErasureCodingError> {
    for ((offset, value), chunk) in row.iter_mut().enumerate().zip(&chunks[first..]) {
        *value = Scalar::try_from_bytes(chunk).map_err(|_| ErasureCodingError::NotCanonical {
            record,
            chunk: first + offset,
        })?;
    }
    Ok(())
}

fn write_row(output: &mut [Chunk], row: &[Scalar]) {
    for (chunk, value) in output.iter_mut().zip(row) {
        *chunk = value.to_bytes();
    }
}

fn check_record_lengths(
    expected: usize,
    lengths: impl IntoIterator<Item = usize>,
) -> Result<(), ErasureCodingError> {
    match lengths.into_iter().find(|given| *given != expected) {
        Some(given) => Err(ErasureCodingError::RecordLength { expected, given }),
        None => Ok(()),
    }
}

/// For each tile the parts of all records that belong to it.
fn tiles<'a>(
    records: impl ExactSizeIterator<Item = &'a mut [Chunk]>,
    chunks: usize,
) -> Vec<Vec<&'a mut [Chunk]>> {
    let count = records.len();
    let mut tiles = Vec::new();
    tiles.resize_with(chunks.div_ceil(TILE_COLUMNS), || Vec::with_capacity(count));
    for record in records {
        for (tile, part) in tiles.iter_mut().zip(record.chunks_mut(TILE_COLUMNS)) {
            tile.push(part);
        }
    }
    tiles
}

#[cfg(test)]
mod tests;

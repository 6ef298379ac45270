//! Many short codewords at once, across records: column `c` is made of chunk `c` of every record.
//!
//! Records stay as they are in memory (32-byte chunks one after the other); tiles of a few columns are worked on at a time,
//! in parallel on the caller's pool, so that a tile fits the second-level cache.

mod recover;

pub use recover::ColumnRecovery;

use crate::{ErasureCoding, ErasureCodingError};
use rayon::prelude::*;
use subspace_kzg::{Columns, Scalar};

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
                .try_for_each(|(tile, mut outputs)| {
                    let first = tile * TILE_COLUMNS;
                    let width = TILE_COLUMNS.min(chunks - first);
                    let mut columns = self.new_columns(source.len(), width)?;
                    for (record, chunks) in source.iter().enumerate() {
                        read_row(&mut columns, record, chunks, record, first)?;
                    }
                    columns.to_odd_coset().map_err(|error| self.length_error(error))?;
                    for (row, output) in outputs.iter_mut().enumerate() {
                        columns.write_row(row, output);
                    }
                    Ok(())
                })
        })
    }

    pub(crate) fn new_columns(&self, rows: usize, width: usize) -> Result<Columns, ErasureCodingError> {
        Columns::new(self.arithmetic(), rows, width).map_err(|error| self.length_error(error))
    }
}

/// Sets a row to the chunks of a tile that begins at chunk `first` of a record; `record` is what the error calls it.
fn read_row(
    columns: &mut Columns,
    row: usize,
    chunks: &[Chunk],
    record: usize,
    first: usize,
) -> Result<(), ErasureCodingError> {
    columns
        .read_row(row, &chunks[first..first + columns.width()])
        .map_err(|offset| ErasureCodingError::NotCanonical {
            record,
            chunk: first + offset,
        })
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

//! The raw segment from any half of its pieces.

use crate::segment::{Segment, SegmentDecodeError};
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::{NUM_CHUNKS, Piece, RAW_RECORD_SIZE, ScalarBytes};
use subspace_core_primitives::segments::{
    NUM_PIECES_IN_SEGMENT, NUM_RAW_RECORDS, RECORDED_HISTORY_SEGMENT_SIZE,
};
use subspace_erasure_coding::columns::{Chunk, ColumnRecovery};
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use thiserror::Error;

/// Why a segment cannot be reconstructed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SegmentReconstructionError {
    /// Pieces must be given for every position of the segment.
    #[error("a segment has {NUM_PIECES_IN_SEGMENT} positions, got {given}")]
    WrongNumberOfPositions {
        /// Length of the input.
        given: usize,
    },
    /// Less than half of the pieces.
    #[error("only {present} pieces of the segment are there, {NUM_RAW_RECORDS} are needed; get more of them")]
    NotEnoughPieces {
        /// How many there are.
        present: usize,
    },
    /// The pieces do not belong together.
    #[error(
        "source record {source_position} came out impossible: a piece of the segment is corrupt; validate all of them"
    )]
    CorruptPieces {
        /// The first impossible source record, 0..=127.
        source_position: usize,
    },
    /// The columns could not be recovered.
    #[error("cannot recover the segment: {0}")]
    ErasureCoding(#[from] ErasureCodingError),
    /// The bytes are not a segment.
    #[error("the pieces do not hold a segment: {0}")]
    Decode(#[from] SegmentDecodeError),
}

/// Checks the number of positions and of pieces.
pub(super) fn check_pieces(pieces: &[Option<Piece>]) -> Result<(), SegmentReconstructionError> {
    if pieces.len() != NUM_PIECES_IN_SEGMENT {
        return Err(SegmentReconstructionError::WrongNumberOfPositions { given: pieces.len() });
    }
    let present = pieces.iter().flatten().count();
    if present < NUM_RAW_RECORDS {
        return Err(SegmentReconstructionError::NotEnoughPieces { present });
    }
    Ok(())
}

/// The segment from its pieces by position (256, at least 128 present). The pieces must have been validated: damage is
/// hardly noticed here.
pub fn reconstruct_segment(
    pieces: &[Option<Piece>],
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> Result<Segment, SegmentReconstructionError> {
    let raw_segment = reconstruct_raw_segment(pieces, erasure_coding, pool)?;
    Ok(Segment::decode(&raw_segment.into())?)
}

/// Like [`reconstruct_segment`], but the 130 023 424 encoded bytes. Instant when all source pieces are there; otherwise
/// some core-seconds on `pool`, and one MiB for every missing source record.
pub fn reconstruct_raw_segment(
    pieces: &[Option<Piece>],
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> Result<Vec<u8>, SegmentReconstructionError> {
    check_pieces(pieces)?;
    let mut recovered: Vec<(usize, Vec<Chunk>)> = (0..pieces.len())
        .step_by(2)
        .filter(|position| pieces[*position].is_none())
        .map(|position| (position, vec![Chunk::default(); NUM_CHUNKS]))
        .collect();
    if !recovered.is_empty() {
        let mut wanted: Vec<_> = recovered
            .iter_mut()
            .map(|(position, record)| (*position, &mut record[..]))
            .collect();
        recover_records(pieces, &mut wanted, erasure_coding, pool)?;
    }
    let mut recovered = recovered.iter();
    let source: Vec<_> = pieces
        .iter()
        .step_by(2)
        .filter_map(|piece| match piece {
            Some(piece) => Some(piece.record_chunks()),
            None => recovered.next().map(|(_, record)| &record[..]),
        })
        .collect();
    let mut raw_segment = vec![0; RECORDED_HISTORY_SEGMENT_SIZE];
    write_raw_segment(&source, &mut raw_segment, pool)?;
    Ok(raw_segment)
}

/// Computes the records of the `wanted` positions.
pub(super) fn recover_records(
    pieces: &[Option<Piece>],
    wanted: &mut [(usize, &mut [Chunk])],
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> Result<(), ErasureCodingError> {
    let present: Vec<_> = pieces.iter().map(Option::is_some).collect();
    let records: Vec<_> = pieces
        .iter()
        .map(|piece| piece.as_ref().map(Piece::record_chunks))
        .collect();
    ColumnRecovery::new(erasure_coding, &present)?.recover_records(&records, wanted, pool)
}

/// Drops the first byte of each chunk, which must be zero.
fn write_raw_segment(
    source: &[&[[u8; 32]]],
    raw_segment: &mut [u8],
    pool: &ThreadPool,
) -> Result<(), SegmentReconstructionError> {
    pool.install(|| {
        source
            .par_iter()
            .zip(raw_segment.par_chunks_mut(RAW_RECORD_SIZE))
            .enumerate()
            .try_for_each(|(source_position, (record, raw_record))| {
                let raw_chunks = raw_record.as_chunks_mut::<{ ScalarBytes::SAFE_BYTES }>().0;
                for (chunk, raw_chunk) in record.iter().zip(raw_chunks) {
                    let [0, safe_bytes @ ..] = chunk else {
                        return Err(SegmentReconstructionError::CorruptPieces { source_position });
                    };
                    *raw_chunk = *safe_bytes;
                }
                Ok(())
            })
    })
}

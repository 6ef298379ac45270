//! A raw segment to its header and pieces: a pure function.
//!
//! Rules: `docs/protocol/archiving.md`, section "Pieces of a segment".

use super::ArchiverError;
use crate::segment_polynomial::{
    SegmentPolynomial, finish_piece, new_piece_buffer, record_chunks, record_chunks_mut,
};
use crate::validation::decode_record;
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{Piece, RAW_RECORD_SIZE, ScalarBytes};
use subspace_core_primitives::segments::{
    LastArchivedBlock, NUM_PIECES_IN_SEGMENT, RECORDED_HISTORY_SEGMENT_SIZE, SegmentHeader, SegmentIndex,
};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Commitment, Kzg, KzgError, Polynomial, transform};

/// A segment as the network knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArchivedSegment {
    /// Header, the next link of the header chain.
    pub segment_header: SegmentHeader,
    /// The 256 pieces in position order; clones are cheap.
    pub pieces: Vec<Piece>,
}

/// Computes the pieces and the header of a raw segment (130 023 424 bytes, see [`crate::RawSegment`]).
///
/// Blocking: 128 commitments to records and 32 768 column extensions, spread over `pool`. Memory beyond the raw segment: the
/// pieces (268 MB) and a few MiB for every thread.
pub fn archive_segment(
    raw_segment: &[u8],
    segment_index: SegmentIndex,
    prev_segment_header_hash: Blake3Hash,
    last_archived_block: LastArchivedBlock,
    kzg: &Kzg,
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> Result<NewArchivedSegment, ArchiverError> {
    if raw_segment.len() != RECORDED_HISTORY_SEGMENT_SIZE {
        return Err(ArchiverError::SegmentSize {
            expected: RECORDED_HISTORY_SEGMENT_SIZE,
            given: raw_segment.len(),
        });
    }
    let mut buffers: Vec<_> = (0..NUM_PIECES_IN_SEGMENT).map(|_| new_piece_buffer()).collect();
    pool.install(|| {
        raw_segment
            .par_chunks(RAW_RECORD_SIZE)
            .zip(buffers.par_chunks_mut(2))
            .for_each(|(raw_record, source_and_parity)| {
                write_source_record(raw_record, &mut source_and_parity[0])
            });
    });
    let (source, mut parity): (Vec<_>, Vec<_>) = buffers
        .chunks_exact_mut(2)
        .map(|pair| {
            let (source, parity) = pair.split_at_mut(1);
            (record_chunks(&source[0]), record_chunks_mut(&mut parity[0]))
        })
        .unzip();
    erasure_coding.extend_records(&source, &mut parity, pool)?;
    let source_commitments: Vec<_> = pool.install(|| {
        source
            .par_iter()
            .map(|chunks| commit_to_record(chunks, kzg))
            .collect::<Result<_, KzgError>>()
    })?;
    let commitments = pool.install(|| erasure_coding.extend_commitments(&source_commitments))?;

    let segment_polynomial = SegmentPolynomial::new(&commitments)?;
    let segment_header = SegmentHeader::V0 {
        segment_index,
        segment_commitment: segment_polynomial.commitment(kzg)?,
        prev_segment_header_hash,
        last_archived_block,
    };
    let parts = segment_polynomial.witnesses(kzg, pool)?;
    let pieces = buffers
        .into_iter()
        .zip(&parts)
        .map(|(buffer, parts)| finish_piece(buffer, parts))
        .collect();
    Ok(NewArchivedSegment {
        segment_header,
        pieces,
    })
}

/// Puts a zero byte in front of every 31 bytes.
fn write_source_record(raw_record: &[u8], buffer: &mut [u8]) {
    let raw_chunks = raw_record.as_chunks::<{ ScalarBytes::SAFE_BYTES }>().0;
    for (raw_chunk, chunk) in raw_chunks.iter().zip(record_chunks_mut(buffer)) {
        chunk[1..].copy_from_slice(raw_chunk);
    }
}

fn commit_to_record(chunks: &[[u8; 32]], kzg: &Kzg) -> Result<Commitment, KzgError> {
    let mut values = decode_record(chunks).expect("numbers that start with a zero byte are canonical");
    transform::inverse(&mut values)?;
    // Records of repeated data have few coefficients, and those are cheap to commit to.
    kzg.commit(&Polynomial::from_coefficients(values).trimmed())
}

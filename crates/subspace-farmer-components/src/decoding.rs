//! Stored chunks of one record back to field elements, to its polynomial, and to the source record.

use crate::sector::{CHUNK_SIZE, ChunkKind, NUM_CHUNKS, NUM_S_BUCKETS, RecordBitmap, StoredChunks};
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::SBucket;
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Polynomial, Scalar};
use subspace_proof_of_space::PosTable;

/// Chunks that one task decodes at a time: each needs a proof and its hash, about a microsecond.
const CHUNKS_PER_TASK: usize = 512;

/// Why stored chunks do not decode to a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeRecordError {
    /// The bitmap says that the chunk is encoded, but the seed has no proof of space for this s-bucket.
    #[error(
        "s-bucket {s_bucket} is marked as encoded but there is no proof of space for it; the contents map is damaged or \
         belongs to another sector"
    )]
    MissingProof {
        /// Where the chunk is.
        s_bucket: SBucket,
    },
    /// The decoded chunk is not a field element.
    #[error(
        "the chunk in s-bucket {s_bucket} does not decode to a field element; the stored chunk is damaged"
    )]
    InvalidChunk {
        /// Where the chunk is.
        s_bucket: SBucket,
    },
    /// The erasure code could not recover the record.
    #[error("the record cannot be recovered from its chunks: {0}")]
    Recovery(#[from] ErasureCodingError),
}

/// The decoded chunks of one record at their places in the extended record.
#[derive(Debug, Clone)]
pub struct DecodedChunks {
    /// One place for each s-bucket; exactly 32 768 are known.
    chunks: Vec<Option<Scalar>>,
}

/// Decodes all stored chunks of a record.
///
/// `table` is that of the evaluation seed of the record. With a pool the chunks are spread over its threads.
///
/// # Errors
/// When a proof is missing or a chunk is no field element; names the s-bucket.
pub fn decode_chunks(
    chunks: &StoredChunks,
    bitmap: &RecordBitmap,
    table: &dyn PosTable,
    pool: Option<&ThreadPool>,
) -> Result<DecodedChunks, DecodeRecordError> {
    let places: Vec<_> = bitmap.chunks().collect();
    let decode = |(&(s_bucket, kind), chunk): (&(SBucket, ChunkKind), &[u8; CHUNK_SIZE])| {
        decode_chunk(s_bucket, kind, chunk, table)
    };
    let scalars: Vec<Scalar> = match pool {
        Some(pool) => pool.install(|| {
            places
                .par_iter()
                .zip(chunks.par_iter())
                .with_min_len(CHUNKS_PER_TASK)
                .map(decode)
                .collect::<Result<_, _>>()
        })?,
        None => places
            .iter()
            .zip(chunks.iter())
            .map(decode)
            .collect::<Result<_, _>>()?,
    };
    let mut decoded = vec![None; NUM_S_BUCKETS];
    for ((s_bucket, _), scalar) in places.into_iter().zip(scalars) {
        decoded[usize::from(s_bucket)] = Some(scalar);
    }
    Ok(DecodedChunks { chunks: decoded })
}

fn decode_chunk(
    s_bucket: SBucket,
    kind: ChunkKind,
    chunk: &[u8; CHUNK_SIZE],
    table: &dyn PosTable,
) -> Result<Scalar, DecodeRecordError> {
    let mut chunk = *chunk;
    if kind == ChunkKind::Encoded {
        let proof = table
            .find_proof(u32::from(s_bucket))
            .ok_or(DecodeRecordError::MissingProof { s_bucket })?;
        mask(&mut chunk, &proof.hash());
    }
    Scalar::try_from_bytes(&chunk).map_err(|_| DecodeRecordError::InvalidChunk { s_bucket })
}

/// Encodes a chunk, and decodes it again.
pub(crate) fn mask(chunk: &mut [u8; CHUNK_SIZE], proof_hash: &[u8; 32]) {
    for (byte, mask) in chunk.iter_mut().zip(proof_hash) {
        *byte ^= mask;
    }
}

impl DecodedChunks {
    /// The decoded chunk in this s-bucket, if the record stores one there.
    pub fn chunk(&self, s_bucket: SBucket) -> Option<Scalar> {
        self.chunks[usize::from(s_bucket)]
    }

    /// The polynomial of the record in coefficient form. With a pool all its threads help.
    ///
    /// # Errors
    /// When the erasure code refuses.
    pub fn recover_polynomial(
        &self,
        erasure_coding: &ErasureCoding,
        pool: Option<&ThreadPool>,
    ) -> Result<Polynomial, DecodeRecordError> {
        Ok(match pool {
            Some(pool) => erasure_coding.recover_poly_parallel(&self.chunks, pool)?,
            None => erasure_coding.recover_poly(&self.chunks)?,
        })
    }

    /// The source record, 32 768 chunks. A chunk that was damaged gives a wrong record, not an error: compare the checksum
    /// of the piece.
    ///
    /// # Errors
    /// When the erasure code refuses.
    pub fn recover_source_record(
        &self,
        erasure_coding: &ErasureCoding,
    ) -> Result<Vec<[u8; CHUNK_SIZE]>, DecodeRecordError> {
        let source = erasure_coding.recover_source(&self.chunks)?;
        debug_assert_eq!(source.len(), NUM_CHUNKS);
        Ok(source.iter().map(Scalar::to_bytes).collect())
    }
}

//! Stored chunks of one record back to field elements, to its polynomial, and to the source record.

use crate::sector::{CHUNK_SIZE, ChunkKind, NUM_CHUNKS, NUM_S_BUCKETS, RecordBitmap, StoredChunks};
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::SBucket;
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Polynomial, Scalar};
use subspace_proof_of_space::PosTable;

/// Chunks that are decoded at a time: enough for a task of its own, few enough for their masks to lie on the stack.
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
    let mut scalars = vec![Scalar::ZERO; places.len()];
    match pool {
        Some(pool) => pool.install(|| {
            places
                .par_chunks(CHUNKS_PER_TASK)
                .zip(chunks.par_chunks(CHUNKS_PER_TASK))
                .zip(scalars.par_chunks_mut(CHUNKS_PER_TASK))
                .try_for_each(|((places, chunks), scalars)| decode_some(places, chunks, table, scalars))
        })?,
        None => places
            .chunks(CHUNKS_PER_TASK)
            .zip(chunks.chunks(CHUNKS_PER_TASK))
            .zip(scalars.chunks_mut(CHUNKS_PER_TASK))
            .try_for_each(|((places, chunks), scalars)| decode_some(places, chunks, table, scalars))?,
    }
    let mut decoded = vec![None; NUM_S_BUCKETS];
    for ((s_bucket, _), scalar) in places.into_iter().zip(scalars) {
        decoded[usize::from(s_bucket)] = Some(scalar);
    }
    Ok(DecodedChunks { chunks: decoded })
}

/// Decodes at most [`CHUNKS_PER_TASK`] chunks.
fn decode_some(
    places: &[(SBucket, ChunkKind)],
    chunks: &[[u8; CHUNK_SIZE]],
    table: &dyn PosTable,
    scalars: &mut [Scalar],
) -> Result<(), DecodeRecordError> {
    // Of every encoded chunk its number here and its s-bucket.
    let mut numbers = [0; CHUNKS_PER_TASK];
    let mut s_buckets = [0; CHUNKS_PER_TASK];
    let mut encoded = 0;
    let mut masks = [[0; CHUNK_SIZE]; CHUNKS_PER_TASK];
    let mut is_readable = [true; CHUNKS_PER_TASK];
    for (number, &(s_bucket, kind)) in places.iter().enumerate() {
        if kind == ChunkKind::Encoded {
            numbers[encoded] = number;
            s_buckets[encoded] = u32::from(s_bucket);
            is_readable[number] = false;
            encoded += 1;
        }
    }
    table.for_each_proof_hash(&s_buckets[..encoded], &mut |position, hash| {
        masks[numbers[position]] = *hash;
        is_readable[numbers[position]] = true;
    });
    for (number, (scalar, chunk)) in scalars.iter_mut().zip(chunks).enumerate() {
        let (s_bucket, _) = places[number];
        if !is_readable[number] {
            return Err(DecodeRecordError::MissingProof { s_bucket });
        }
        let mut chunk = *chunk;
        mask(&mut chunk, &masks[number]);
        *scalar = Scalar::try_from_bytes(&chunk).map_err(|_| DecodeRecordError::InvalidChunk { s_bucket })?;
    }
    Ok(())
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

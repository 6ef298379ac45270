//! Encodes one record: erasure coding, proof-of-space table, masking.

use crate::decoding::mask;
use crate::sector::{
    CHUNK_SIZE, ChunkKind, NUM_CHUNKS, NUM_S_BUCKETS, RecordBitmap, StoredChunks, TooManyEncodedChunksError,
    zeroed_chunks,
};
use subspace_core_primitives::pos::PosSeed;
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::Scalar;
use subspace_proof_of_space::ProofOfSpace;

/// S-buckets whose proofs are looked up at a time: a multiple of 64, few enough that little is done after the last chunk.
const S_BUCKETS_AT_ONCE: usize = 512;
const _: () =
    assert!(S_BUCKETS_AT_ONCE.is_multiple_of(64) && NUM_S_BUCKETS.is_multiple_of(S_BUCKETS_AT_ONCE));

/// Why a record cannot be encoded. The piece it came in is invalid in most cases.
#[derive(Debug, thiserror::Error)]
pub enum EncodeRecordError {
    /// Wrong number of chunks.
    #[error("a record has 32768 chunks but {0} were given")]
    ChunkCount(usize),
    /// A chunk that is not a field element.
    #[error(
        "chunk {0} of the record is not a field element; the piece is damaged, get it from another source"
    )]
    InvalidChunk(usize),
    /// The erasure code could not extend the record.
    #[error("the record cannot be erasure coded: {0}")]
    ErasureCoding(#[from] ErasureCodingError),
    /// An encoder marked more chunks than there are.
    #[error(transparent)]
    TooManyEncodedChunks(#[from] TooManyEncodedChunksError),
}

/// A record as a sector stores it, 1 MiB and 8 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The stored chunks by ascending s-bucket, encoded and unencoded ones alike.
    pub chunks: StoredChunks,
    /// Which s-buckets hold an encoded chunk.
    pub bitmap: RecordBitmap,
}

/// Encodes a record under the evaluation seed of its place, on the calling thread.
///
/// Needs the memory of one proof-of-space table and about 6 MiB. Up to 32 768 chunks are encoded, those of the lowest
/// s-buckets that have a proof; where there are fewer proofs, unencoded chunks of the lowest other s-buckets fill up.
///
/// # Errors
/// When the record is invalid.
pub fn encode_record(
    source_chunks: &[[u8; CHUNK_SIZE]],
    seed: &PosSeed,
    proof_of_space: &dyn ProofOfSpace,
    erasure_coding: &ErasureCoding,
) -> Result<EncodedRecord, EncodeRecordError> {
    if source_chunks.len() != NUM_CHUNKS {
        return Err(EncodeRecordError::ChunkCount(source_chunks.len()));
    }
    let source = source_chunks
        .iter()
        .enumerate()
        .map(|(index, chunk)| {
            Scalar::try_from_bytes(chunk).map_err(|_| EncodeRecordError::InvalidChunk(index))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let parity = erasure_coding.extend(&source)?;
    drop(source);

    let (bitmap, proof_hashes) = proof_hashes(seed, proof_of_space)?;
    let mut proof_hashes = proof_hashes.into_iter();
    let mut chunks = zeroed_chunks();
    for (chunk, (s_bucket, kind)) in chunks.iter_mut().zip(bitmap.chunks()) {
        let s_bucket = usize::from(s_bucket);
        // Source and parity chunks alternate.
        *chunk = if s_bucket.is_multiple_of(2) {
            source_chunks[s_bucket / 2]
        } else {
            parity[s_bucket / 2].to_bytes()
        };
        if kind == ChunkKind::Encoded {
            let hash = proof_hashes
                .next()
                .expect("there is a hash for every bit of the bitmap");
            mask(chunk, &hash);
        }
    }
    Ok(EncodedRecord { chunks, bitmap })
}

/// The first proofs of a table: their s-buckets, and their hashes by ascending s-bucket.
fn proof_hashes(
    seed: &PosSeed,
    proof_of_space: &dyn ProofOfSpace,
) -> Result<(RecordBitmap, Vec<[u8; 32]>), TooManyEncodedChunksError> {
    let table = proof_of_space.create_table(seed);
    let mut words = crate::sector::zero_words();
    let mut hashes = Vec::with_capacity(NUM_CHUNKS);
    let mut s_buckets = [0; S_BUCKETS_AT_ONCE];
    for first in (0..NUM_S_BUCKETS).step_by(S_BUCKETS_AT_ONCE) {
        // Proofs beyond these are not used: setting their bits would move all chunks that follow.
        if hashes.len() == NUM_CHUNKS {
            break;
        }
        for (s_bucket, number) in s_buckets.iter_mut().zip(first as u32..) {
            *s_bucket = number;
        }
        table.for_each_proof_hash(&s_buckets, &mut |position, hash| {
            if hashes.len() < NUM_CHUNKS {
                words[(first + position) / 64] |= 1 << (position % 64);
                hashes.push(*hash);
            }
        });
    }
    Ok((RecordBitmap::from_words(words)?, hashes))
}

//! What a prover is asked: the wire form and its checks.

use crate::sector::{
    CHUNK_SIZE, NUM_CHUNKS, RECORD_BITMAP_SIZE, RECORD_SIZE, RecordBitmap, StoredChunks,
    TooManyEncodedChunksError, zeroed_chunks,
};
use parity_scale_codec::{Decode, Encode, Error, Input, Output};
use subspace_core_primitives::pieces::{RecordCommitment, SBucket};
use subspace_core_primitives::pos::PosSeed;
use subspace_proof_of_space::ProofOfSpaceKind;

/// A request for the proof of one winning chunk, 1 056 852 bytes in SCALE.
///
/// SCALE: version (one byte), then the fields of the version without any length, so a decoder never allocates more than a
/// request takes. An unknown version, more encoded chunks than a record has, or an s-bucket without an encoded chunk are
/// refused by the decoder, so a request that exists is well-formed (its chunks may still be damaged).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofRequest {
    /// The only version.
    V0(ProofRequestV0),
}

/// Version 0 of [`ProofRequest`]. On the wire: proof of space (0 for chia, 1 for fast-test), seed (32 bytes), s-bucket (2),
/// record commitment (48), bitmap (8192), chunks (1 048 576).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofRequestV0 {
    /// Which proof of space masks the chunks.
    pub proof_of_space: ProofOfSpaceKind,
    /// Evaluation seed of the record.
    pub seed: PosSeed,
    /// S-bucket of the winning chunk.
    pub s_bucket: SBucket,
    /// Commitment of the record; the proof is checked against it before it is returned.
    pub record_commitment: RecordCommitment,
    /// Which chunks are encoded, and in which s-buckets all of them are.
    pub bitmap: RecordBitmap,
    /// All stored chunks of the record by ascending s-bucket.
    pub chunks: StoredChunks,
}

/// Why bytes are not a proof request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofRequestError {
    /// Wrong number of bytes.
    #[error("a proof request has {expected} bytes, got {actual}")]
    Length {
        /// Bytes that a request has.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// Made by a newer version of this software.
    #[error("proof request has version {0}, only version 0 is known; update the prover")]
    Version(u8),
    /// A proof of space that is not known.
    #[error(
        "proof request names proof of space {0}, only 0 (chia) and 1 (fast-test) are known; update the prover"
    )]
    ProofOfSpace(u8),
    /// The bitmap cannot be that of a record.
    #[error("proof request: {0}")]
    TooManyEncodedChunks(#[from] TooManyEncodedChunksError),
    /// The chunk to be proved does not exist or is not encoded.
    #[error(
        "proof request is for s-bucket {0}, where the record has no encoded chunk, so there is nothing to prove"
    )]
    NotEncoded(SBucket),
}

impl ProofRequest {
    /// Bytes in SCALE.
    pub const ENCODED_SIZE: usize =
        1 + 1 + PosSeed::SIZE + SBucket::SIZE + RecordCommitment::SIZE + RECORD_BITMAP_SIZE + RECORD_SIZE;

    /// Decodes a request that came over the network.
    ///
    /// # Errors
    /// When the bytes are anything but a well-formed request; names what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofRequestError> {
        let wrong_length = ProofRequestError::Length {
            expected: Self::ENCODED_SIZE,
            actual: bytes.len(),
        };
        // The version comes first because other versions may have other lengths.
        match bytes.first() {
            Some(0) if bytes.len() == Self::ENCODED_SIZE => {}
            Some(0) | None => return Err(wrong_length),
            Some(&version) => return Err(ProofRequestError::Version(version)),
        }
        let mut rest = bytes;
        Self::read(&mut rest).map_err(|error| match error {
            ReadRequestError::Invalid(error) => error,
            ReadRequestError::Input(_) => wrong_length,
        })
    }

    fn read<I: Input>(input: &mut I) -> Result<Self, ReadRequestError> {
        let version = input.read_byte()?;
        if version != 0 {
            return Err(ProofRequestError::Version(version).into());
        }
        let proof_of_space = match input.read_byte()? {
            0 => ProofOfSpaceKind::Chia,
            1 => ProofOfSpaceKind::FastTest,
            other => return Err(ProofRequestError::ProofOfSpace(other).into()),
        };
        let seed = PosSeed::decode(input)?;
        let s_bucket = SBucket::decode(input)?;
        let record_commitment = RecordCommitment::decode(input)?;
        let mut bitmap = [0; RECORD_BITMAP_SIZE];
        input.read(&mut bitmap)?;
        let bitmap = RecordBitmap::from_bytes(&bitmap).map_err(ProofRequestError::from)?;
        if !bitmap.is_encoded(s_bucket) {
            return Err(ProofRequestError::NotEncoded(s_bucket).into());
        }
        let mut chunks = zeroed_chunks();
        input.read(chunks.as_flattened_mut())?;
        let request = ProofRequestV0 {
            proof_of_space,
            seed,
            s_bucket,
            record_commitment,
            bitmap,
            chunks,
        };
        Ok(Self::V0(request))
    }
}

enum ReadRequestError {
    Invalid(ProofRequestError),
    Input(Error),
}

impl From<ProofRequestError> for ReadRequestError {
    fn from(error: ProofRequestError) -> Self {
        Self::Invalid(error)
    }
}

impl From<Error> for ReadRequestError {
    fn from(error: Error) -> Self {
        Self::Input(error)
    }
}

impl Encode for ProofRequest {
    fn size_hint(&self) -> usize {
        Self::ENCODED_SIZE
    }

    fn encode_to<T: Output + ?Sized>(&self, output: &mut T) {
        let Self::V0(request) = self;
        output.push_byte(0);
        output.push_byte(match request.proof_of_space {
            ProofOfSpaceKind::Chia => 0,
            ProofOfSpaceKind::FastTest => 1,
        });
        request.seed.encode_to(output);
        request.s_bucket.encode_to(output);
        request.record_commitment.encode_to(output);
        output.write(request.bitmap.to_bytes().as_slice());
        output.write(request.chunks.as_flattened());
    }
}

impl Decode for ProofRequest {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Self::read(input).map_err(|error| match error {
            ReadRequestError::Input(error) => error,
            ReadRequestError::Invalid(error) => {
                Error::from("not a well-formed proof request").chain(error.to_string())
            }
        })
    }
}

const _: () = assert!(RECORD_SIZE == NUM_CHUNKS * CHUNK_SIZE);
const _: () = assert!(ProofRequest::ENCODED_SIZE == 1_056_852);

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

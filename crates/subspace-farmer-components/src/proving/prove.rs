//! The prover's side: makes the proof of a request.

use super::{ProofPart, ProofRequest, ProofRequestV0};
use crate::decoding::{DecodeRecordError, decode_chunks};
use crate::sector::NUM_S_BUCKETS;
use rayon::ThreadPool;
use subspace_core_primitives::pieces::{ChunkWitness, SBucket};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Commitment, Kzg, KzgError};
use subspace_proof_of_space::{PosTable, ProofOfSpace, ProofOfSpaceKind};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProvingError {
    /// The prover runs another proof of space.
    #[error("the chunks are masked with proof of space {requested} but this prover runs {available}")]
    ProofOfSpace {
        /// What the request names.
        requested: ProofOfSpaceKind,
        /// What the prover has.
        available: ProofOfSpaceKind,
    },
    /// The record has no encoded chunk there.
    #[error("the record has no encoded chunk in s-bucket {0}, so there is nothing to prove")]
    NotEncoded(SBucket),
    /// The record does not decode: the sector is damaged and should be plotted again.
    #[error(transparent)]
    Decode(#[from] DecodeRecordError),
    /// The witness could not be made.
    #[error("the witness of the chunk cannot be made: {0}")]
    Witness(#[from] KzgError),
    /// The proof does not fit the commitment: a chunk or the commitment is damaged, so plot the sector again.
    #[error(
        "the proof does not match the record commitment; a stored chunk is damaged, plot the sector again"
    )]
    CommitmentMismatch,
}

impl ProvingError {
    /// Whether the sector that the request came from is damaged.
    pub fn is_sector_damaged(&self) -> bool {
        matches!(self, Self::Decode(_) | Self::CommitmentMismatch)
    }
}

/// Makes the proof that a request asks for, using all threads of `pool`, and checks it against the record commitment: a farm
/// must not send a solution from a damaged sector.
///
/// Memory: one proof-of-space table and about 12 MiB.
///
/// # Errors
/// When the request is for another proof of space or its chunks are damaged.
pub fn prove(
    request: &ProofRequest,
    kzg: &Kzg,
    erasure_coding: &ErasureCoding,
    proof_of_space: &dyn ProofOfSpace,
    pool: &ThreadPool,
) -> Result<ProofPart, ProvingError> {
    check_request(request, proof_of_space.kind())?;
    let ProofRequest::V0(ProofRequestV0 { seed, .. }) = request;
    let table = proof_of_space.create_table_parallel(seed, pool);
    prove_with_table(request, table, kzg, erasure_coding, pool)
}

/// What can be wrong with a request without computing anything: all that a prover has to look at before it begins.
///
/// # Errors
/// When the request is for another proof of space, for a chunk that is not there, or its commitment is none.
pub fn check_request(request: &ProofRequest, proof_of_space: ProofOfSpaceKind) -> Result<(), ProvingError> {
    let ProofRequest::V0(request) = request;
    if proof_of_space != request.proof_of_space {
        return Err(ProvingError::ProofOfSpace {
            requested: request.proof_of_space,
            available: proof_of_space,
        });
    }
    if !request.bitmap.is_encoded(request.s_bucket) {
        return Err(ProvingError::NotEncoded(request.s_bucket));
    }
    Commitment::try_from(&request.record_commitment)
        .map(drop)
        .map_err(|_| ProvingError::CommitmentMismatch)
}

/// As [`prove`], with the proof-of-space table of the request's seed, which needs no chunk and so can be made while they are read.
///
/// # Errors
/// As [`prove`].
pub fn prove_with_table(
    request: &ProofRequest,
    table: Box<dyn PosTable>,
    kzg: &Kzg,
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
) -> Result<ProofPart, ProvingError> {
    let ProofRequest::V0(request) = request;
    let s_bucket = request.s_bucket;
    let decoded = decode_chunks(&request.chunks, &request.bitmap, &*table, Some(pool))?;
    let missing_proof = DecodeRecordError::MissingProof { s_bucket };
    let proof_of_space = table
        .find_proof(u32::from(s_bucket))
        .ok_or(missing_proof.clone())?;
    drop(table);
    let chunk = decoded.chunk(s_bucket).ok_or(missing_proof)?;

    let polynomial = decoded.recover_polynomial(erasure_coding, Some(pool))?.trimmed();
    let index = u32::from(s_bucket);
    let witness = kzg.create_witness_parallel(&polynomial, NUM_S_BUCKETS, index, pool)?;
    let matches = Commitment::try_from(&request.record_commitment)
        .is_ok_and(|commitment| kzg.verify(&commitment, NUM_S_BUCKETS, index, &chunk, &witness));
    if !matches {
        return Err(ProvingError::CommitmentMismatch);
    }
    Ok(ProofPart {
        chunk: (&chunk).into(),
        chunk_witness: ChunkWitness::from(witness.to_bytes()),
        proof_of_space,
    })
}

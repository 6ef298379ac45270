//! The farm's side of proving: which candidates can win, and what a prover needs to know.

use super::{ProofPart, ProofRequest, ProofRequestV0};
use crate::auditing::AuditResult;
use crate::read_at::ReadAt;
use crate::reading::{ReadingError, ReadingErrorReason, SectorReader};
use crate::sector::{ChunkKind, SectorContentsMap};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pieces::{PieceOffset, RecordCommitment, RecordWitness, SBucket};
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::HistorySize;
use subspace_core_primitives::solutions::{Solution, SolutionRange};
use subspace_proof_of_space::ProofOfSpaceKind;

/// A winning chunk that can be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvableCandidate {
    /// Record that the chunk belongs to.
    pub piece_offset: PieceOffset,
    /// S-bucket that the chunk is in.
    pub s_bucket: SBucket,
    /// Number of the chunk in its s-bucket.
    pub chunk_offset: u16,
    /// Distance from the challenge.
    pub solution_distance: SolutionRange,
}

/// Finds out whose the winning chunks are and drops unencoded ones, which never win; the order is kept, nearest first. Several
/// candidates of one audit are of different records, each needs its own proof.
///
/// To farm several sectors in the best order, sort them by the distance of the first candidate that is left.
pub fn provable_candidates(audit: &AuditResult, contents_map: &SectorContentsMap) -> Vec<ProvableCandidate> {
    let records: Vec<_> = contents_map.s_bucket_records(audit.s_bucket).collect();
    audit
        .candidates
        .iter()
        .filter_map(
            |candidate| match records.get(usize::from(candidate.chunk_offset)) {
                Some(&(piece_offset, ChunkKind::Encoded)) => Some(ProvableCandidate {
                    piece_offset,
                    s_bucket: audit.s_bucket,
                    chunk_offset: candidate.chunk_offset,
                    solution_distance: candidate.solution_distance,
                }),
                Some((_, ChunkKind::Unencoded)) | None => None,
            },
        )
        .collect()
}

/// What the farm contributes to a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolutionPart {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Size of the history when the sector was plotted.
    pub history_size: HistorySize,
    /// Record that the chunk belongs to.
    pub piece_offset: PieceOffset,
    /// Commitment of the record.
    pub record_commitment: RecordCommitment,
    /// Witness of the record.
    pub record_witness: RecordWitness,
}

impl SolutionPart {
    /// The solution, once the proof is made.
    pub fn into_solution(
        self,
        public_key: PublicKey,
        reward_address: PublicKey,
        proof: &ProofPart,
    ) -> Solution {
        Solution {
            public_key,
            reward_address,
            sector_index: self.sector_index,
            history_size: self.history_size,
            piece_offset: self.piece_offset,
            record_commitment: self.record_commitment,
            record_witness: self.record_witness,
            chunk: proof.chunk,
            chunk_witness: proof.chunk_witness,
            proof_of_space: proof.proof_of_space,
        }
    }
}

/// Everything that proving one candidate needs of the sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofInput {
    /// What the prover gets.
    pub request: ProofRequest,
    /// What the farm adds to the proof.
    pub solution_part: SolutionPart,
}

/// Reads what proving the candidate needs: the stored chunks of its record and the record metadata.
///
/// # Errors
/// When the sector cannot be read, or the candidate is not of this sector.
pub fn read_proof_input<S: ReadAt + ?Sized>(
    reader: &SectorReader<'_, S>,
    contents_map: &SectorContentsMap,
    candidate: &ProvableCandidate,
    proof_of_space: ProofOfSpaceKind,
) -> Result<ProofInput, ReadingError> {
    let piece_offset = candidate.piece_offset;
    let sector = reader.sector();
    let metadata = reader.read_record_metadata(piece_offset)?;
    let chunks = reader.read_record_chunks(piece_offset, contents_map)?;
    let mismatch = || reader.error(Some(piece_offset), ReadingErrorReason::MetadataMismatch);
    let bitmap = contents_map.bitmap(piece_offset).ok_or_else(mismatch)?.clone();
    let request = ProofRequestV0 {
        proof_of_space,
        seed: sector.sector_id.derive_evaluation_seed(piece_offset),
        s_bucket: candidate.s_bucket,
        record_commitment: metadata.commitment,
        bitmap,
        chunks,
    };
    if !request.bitmap.is_encoded(candidate.s_bucket) {
        return Err(mismatch());
    }
    Ok(ProofInput {
        request: ProofRequest::V0(request),
        solution_part: SolutionPart {
            sector_index: sector.sector_index,
            history_size: sector.history_size,
            piece_offset,
            record_commitment: metadata.commitment,
            record_witness: metadata.witness,
        },
    })
}

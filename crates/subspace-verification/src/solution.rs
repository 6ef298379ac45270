//! Verification of a solution: proof of space, distance, chunk, and where the history is known, piece and expiration.

use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::pieces::NUM_S_BUCKETS;
use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::segments::{HistorySize, NUM_PIECES_IN_SEGMENT};
use subspace_core_primitives::solutions::{
    PieceCheckParams, Solution, SolutionRange, VerifySolutionParams, is_within_solution_range,
    solution_distance,
};
use subspace_kzg::{Commitment, Kzg, Opening, Scalar, Witness};
use subspace_proof_of_space::ProofOfSpace;

/// Why a solution is refused.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolutionError {
    /// The proof is not one for the audited s-bucket of this sector, offset and slot.
    #[error(
        "the proof of space is not valid for this sector, piece offset and slot: check that key, sector index, history size \
        and challenge belong together, otherwise the plot is damaged"
    )]
    InvalidProofOfSpace,
    /// Too far from the challenge.
    #[error(
        "the distance {solution_distance} is above {half_solution_range}, half of the solution range: submit only solutions \
        inside of the range of the slot"
    )]
    OutsideSolutionRange {
        /// Largest distance that would be accepted.
        half_solution_range: SolutionRange,
        /// Distance of the solution.
        solution_distance: SolutionRange,
    },
    /// The chunk is no field element.
    #[error(
        "the chunk is no canonical field element: the stored chunk is damaged or was decoded with another proof"
    )]
    InvalidChunk,
    /// The chunk does not belong to the record.
    #[error(
        "the chunk witness does not open the record commitment at the audited s-bucket: the record is damaged"
    )]
    InvalidChunkWitness,
    /// The sector was made in the future.
    #[error(
        "the sector has history size {solution}, but the chain is at {current}: wait until the node has caught up"
    )]
    FutureHistorySize {
        /// History size of the chain.
        current: HistorySize,
        /// History size of the sector.
        solution: HistorySize,
    },
    /// No sector has that many pieces.
    #[error(
        "piece offset {piece_offset} is not below {max_pieces_in_sector}, the limit for pieces in a sector: the sector was \
        made for another chain"
    )]
    InvalidPieceOffset {
        /// Offset of the solution.
        piece_offset: u16,
        /// Limit of the protocol.
        max_pieces_in_sector: u16,
    },
    /// The expiration is beyond 64 bits.
    #[error(
        "the expiration of a sector of this history size does not fit 64 bits: the history size is made up"
    )]
    InvalidHistorySize,
    /// The sector is too old.
    #[error(
        "the sector expired at history size {expiration_history_size}, the chain is at {current_history_size}: replot it"
    )]
    SectorExpired {
        /// History size at which it expired.
        expiration_history_size: HistorySize,
        /// History size of the chain.
        current_history_size: HistorySize,
    },
    /// The record does not belong to the history at the index that the sector prescribes.
    #[error(
        "the record witness does not open the segment commitment at the position of the piece: the piece is damaged"
    )]
    InvalidPiece,
}

/// Verifies `solution` for `slot`, and returns its distance.
///
/// The reward address is not covered, nor whether the solution is the best one of its sector. Points outside the
/// prime-order subgroup and the point at infinity are accepted, as on the network.
///
/// # Errors
/// The first check that fails, in the order of the network (`docs/protocol/solution-verification.md`).
pub fn verify_solution(
    solution: &Solution,
    slot: SlotNumber,
    params: &VerifySolutionParams,
    kzg: &Kzg,
    proof_of_space: &dyn ProofOfSpace,
) -> Result<SolutionRange, SolutionError> {
    let VerifySolutionParams {
        proof_of_time,
        solution_range,
        piece_check_params,
    } = params;

    let sector_id = solution.sector_id();
    let global_challenge = proof_of_time.derive_global_challenge(slot);
    let sector_slot_challenge = sector_id.derive_sector_slot_challenge(&global_challenge);
    let s_bucket = u32::from(sector_slot_challenge.s_bucket_audit_index());

    let seed = sector_id.derive_evaluation_seed(solution.piece_offset);
    if !proof_of_space.is_proof_valid(&seed, s_bucket, &solution.proof_of_space) {
        return Err(SolutionError::InvalidProofOfSpace);
    }

    let solution_distance = solution_distance(
        &global_challenge,
        &solution.masked_chunk(),
        &sector_slot_challenge,
    );
    if !is_within_solution_range(solution_distance, *solution_range) {
        let half_solution_range = solution_range / 2;
        return Err(SolutionError::OutsideSolutionRange {
            half_solution_range,
            solution_distance,
        });
    }

    let commitment =
        Commitment::try_from(&solution.record_commitment).map_err(|_| SolutionError::InvalidChunkWitness)?;
    let chunk = Scalar::try_from(&solution.chunk).map_err(|_| SolutionError::InvalidChunk)?;
    let witness =
        Witness::try_from(&solution.chunk_witness).map_err(|_| SolutionError::InvalidChunkWitness)?;
    let chunk_opening = Opening {
        commitment,
        num_values: NUM_S_BUCKETS,
        index: s_bucket,
        value: chunk,
        witness,
    };

    let piece = piece_check_params
        .as_ref()
        .map(|params| piece_opening(solution, &sector_id, params));
    // One pair of pairings for both openings; one by one only to find out which error comes first.
    if let Some(Ok(piece_opening)) = piece
        && kzg.verify_all(&[chunk_opening, piece_opening])
    {
        return Ok(solution_distance);
    }
    if !kzg.verify_all(&[chunk_opening]) {
        return Err(SolutionError::InvalidChunkWitness);
    }
    if let Some(piece_opening) = piece
        && !kzg.verify_all(&[piece_opening?])
    {
        return Err(SolutionError::InvalidPiece);
    }
    Ok(solution_distance)
}

/// The claim that the record of `solution` is in the history where the sector prescribes, if the sector is alive.
fn piece_opening(
    solution: &Solution,
    sector_id: &SectorId,
    params: &PieceCheckParams,
) -> Result<Opening, SolutionError> {
    // A segment may be known locally and be included in the very block that is checked, hence the one in advance.
    if solution.history_size.get() > params.current_history_size.get().saturating_add(1) {
        return Err(SolutionError::FutureHistorySize {
            current: params.current_history_size,
            solution: solution.history_size,
        });
    }

    let piece_offset = solution.piece_offset.get();
    let max_pieces_in_sector = params.max_pieces_in_sector;
    if piece_offset >= max_pieces_in_sector {
        return Err(SolutionError::InvalidPieceOffset {
            piece_offset,
            max_pieces_in_sector,
        });
    }

    if let Some(segment_commitment) = &params.sector_expiration_check_segment_commitment {
        let expiration_history_size = sector_id
            .derive_expiration_history_size(
                solution.history_size,
                segment_commitment,
                params.min_sector_lifetime,
            )
            .ok_or(SolutionError::InvalidHistorySize)?;
        let current_history_size = params.current_history_size;
        if expiration_history_size <= current_history_size {
            return Err(SolutionError::SectorExpired {
                expiration_history_size,
                current_history_size,
            });
        }
    }

    let position = sector_id
        .derive_piece_index(
            solution.piece_offset,
            solution.history_size,
            params.max_pieces_in_sector,
            params.recent_segments,
            params.recent_history_fraction,
        )
        .position();
    let invalid = |_| SolutionError::InvalidPiece;
    let commitment = Commitment::try_from(&params.segment_commitment).map_err(invalid)?;
    let witness = Witness::try_from(&solution.record_witness).map_err(invalid)?;
    // 254 bits always are a canonical field element.
    let value = Scalar::try_from(&solution.record_commitment.hash_to_scalar())
        .map_err(|_| SolutionError::InvalidPiece)?;
    Ok(Opening {
        commitment,
        num_values: NUM_PIECES_IN_SEGMENT,
        index: position,
        value,
        witness,
    })
}

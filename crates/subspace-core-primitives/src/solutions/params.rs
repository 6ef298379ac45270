//! What a solution is verified against.

use super::SolutionRange;
use crate::pot::PotOutput;
use crate::segments::{HistorySize, SegmentCommitment};
use parity_scale_codec::{Decode, Encode};

/// Parameters of the check that the piece of a solution belongs to the history and the sector is not expired.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PieceCheckParams {
    /// Limit of the protocol for pieces in a sector.
    pub max_pieces_in_sector: u16,
    /// Commitment of the segment that contains the piece.
    pub segment_commitment: SegmentCommitment,
    /// Number of latest segments that count as recent.
    pub recent_segments: HistorySize,
    /// Fraction of a sector that is taken from recent segments: numerator and denominator.
    pub recent_history_fraction: (HistorySize, HistorySize),
    /// Segments for which a sector lives at least.
    pub min_sector_lifetime: HistorySize,
    /// Size of the history at the parent block.
    pub current_history_size: HistorySize,
    /// Commitment that decides when the sector expires; `None` while that segment does not exist.
    pub sector_expiration_check_segment_commitment: Option<SegmentCommitment>,
}

/// Parameters of the verification of a solution.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode)]
pub struct VerifySolutionParams {
    /// Proof of time of the slot.
    pub proof_of_time: PotOutput,
    /// Range in which the solution must be.
    pub solution_range: SolutionRange,
    /// Checks of the piece, left out where the history is not known.
    pub piece_check_params: Option<PieceCheckParams>,
}

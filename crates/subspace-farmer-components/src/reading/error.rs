//! Errors of reading.

use crate::decoding::DecodeRecordError;
use crate::sector::ContentsMapError;
use std::io;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::sectors::SectorIndex;

/// Reading from a sector failed; says which sector and, unless the whole sector is meant, which piece.
#[derive(Debug, thiserror::Error)]
#[error("sector {sector_index}{}: {reason}", piece(piece_offset))]
pub struct ReadingError {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Offset of the piece, `None` when nothing of the sector can be read.
    pub piece_offset: Option<PieceOffset>,
    /// What is wrong.
    #[source]
    pub reason: ReadingErrorReason,
}

fn piece(piece_offset: &Option<PieceOffset>) -> String {
    piece_offset.map_or_else(String::new, |offset| format!(", piece offset {offset}"))
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadingErrorReason {
    /// The disk (or what the sector is on).
    #[error("cannot be read ({0}); check the disk")]
    Io(#[from] io::Error),
    /// The contents map is damaged.
    #[error(transparent)]
    ContentsMap(#[from] ContentsMapError),
    /// The contents map is intact but does not go with the metadata.
    #[error("contents map and sector metadata do not belong together; plot the sector again")]
    MetadataMismatch,
    /// The sector has fewer pieces.
    #[error("the sector has only {pieces_in_sector} pieces")]
    NoSuchPiece {
        /// Pieces that the sector has.
        pieces_in_sector: u16,
    },
    /// The record does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeRecordError),
    /// The piece was put together but is not the one that was plotted.
    #[error(
        "the checksum of the piece does not match; chunks or record metadata are damaged, plot the sector again"
    )]
    PieceChecksum,
}

impl ReadingErrorReason {
    /// Whether the sector is damaged, so that only plotting it again helps (the disk may still be good).
    pub fn is_sector_damaged(&self) -> bool {
        match self {
            Self::Io(_) | Self::NoSuchPiece { .. } => false,
            Self::ContentsMap(_) | Self::MetadataMismatch | Self::Decode(_) | Self::PieceChecksum => true,
        }
    }
}

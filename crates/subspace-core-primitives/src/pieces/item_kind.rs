//! Forms in which pieces are kept by caches.

use std::fmt;

/// What part of a piece caches hold as one item. Its number stands in files and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ItemKind {
    /// A whole piece; its shard number is 0.
    Piece = 1,
    /// One of k data shards of a piece.
    SplitPiece = 2,
    /// One of k+m Reed-Solomon shards of a piece.
    SplitParityPiece = 3,
}

impl ItemKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Piece),
            2 => Some(Self::SplitPiece),
            3 => Some(Self::SplitParityPiece),
            _ => None,
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Piece => "piece",
            Self::SplitPiece => "split-piece",
            Self::SplitParityPiece => "split-parity-piece",
        })
    }
}

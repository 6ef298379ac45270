//! Keys and contents of stored items.

use bytes::Bytes;
use std::fmt;
pub use subspace_core_primitives::pieces::ItemKind;
use subspace_core_primitives::pieces::PieceIndex;

/// Key of a stored item. The cache epoch is no part of it: a new epoch replaces the item under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    /// The piece. It stands first, so that keys sort by it.
    pub piece_index: PieceIndex,
    /// What part of the piece it is.
    pub kind: ItemKind,
    /// Number of the shard, 0 for whole pieces.
    pub shard: u16,
}

impl CacheKey {
    /// Key of a whole piece.
    pub fn piece(piece_index: PieceIndex) -> Self {
        Self {
            kind: ItemKind::Piece,
            piece_index,
            shard: 0,
        }
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ItemKind::Piece => write!(formatter, "piece {}", self.piece_index),
            ItemKind::SplitPiece => write!(formatter, "split-piece {}.{}", self.piece_index, self.shard),
            ItemKind::SplitParityPiece => write!(
                formatter,
                "split-parity-piece {}.{}",
                self.piece_index, self.shard
            ),
        }
    }
}

/// Bytes that passed their hash check.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// The bytes.
    pub bytes: Bytes,
    /// Their BLAKE3 hash as it was stored with them.
    pub hash: [u8; 32],
    /// Cache epoch they were stored in; 0 in the archive, which has none.
    pub epoch: u64,
}

impl fmt::Debug for StoredItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "StoredItem({} bytes, epoch {})",
            self.bytes.len(),
            self.epoch
        )
    }
}

/// What a store found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The item, checked.
    Hit(StoredItem),
    /// Nothing is stored under the key.
    Missing,
    /// Something was stored but it is damaged. A slab has dropped it, an archive keeps it until the segment is stored again;
    /// either way it has to be fetched from elsewhere.
    Corrupt,
}

impl Lookup {
    /// The item if there is a good one.
    pub fn hit(self) -> Option<StoredItem> {
        match self {
            Self::Hit(item) => Some(item),
            Self::Missing | Self::Corrupt => None,
        }
    }
}

//! Names of what travels on the data plane: items of the caches and finished sectors.

use crate::error::FrameError;
use std::fmt;
pub use subspace_core_primitives::pieces::ItemKind;

/// Key of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey {
    /// What part of the piece it is.
    pub kind: ItemKind,
    /// Cache epoch that the item belongs to.
    pub epoch: u64,
    /// Index of the piece in the history.
    pub piece_index: u64,
    /// Number of the shard, 0 for whole pieces.
    pub shard: u16,
}

impl ItemKey {
    /// Bytes of a key on the wire: kind u8, epoch u64, piece index u64, shard u16, little endian.
    pub const SIZE: usize = 1 + 8 + 8 + 2;

    /// Key of a whole piece.
    pub fn piece(epoch: u64, piece_index: u64) -> Self {
        Self {
            kind: ItemKind::Piece,
            epoch,
            piece_index,
            shard: 0,
        }
    }

    /// The key as it stands in a frame.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = self.kind as u8;
        bytes[1..9].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.piece_index.to_le_bytes());
        bytes[17..].copy_from_slice(&self.shard.to_le_bytes());
        bytes
    }

    /// Reads a key from a frame; refuses unknown kinds.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Result<Self, FrameError> {
        let (&[kind], rest) = bytes
            .split_first_chunk::<1>()
            .expect("a key is longer than its kind");
        let (epoch, rest) = rest
            .split_first_chunk::<8>()
            .expect("sizes add up to ItemKey::SIZE");
        let (index, rest) = rest
            .split_first_chunk::<8>()
            .expect("sizes add up to ItemKey::SIZE");
        let (shard, _) = rest
            .split_first_chunk::<2>()
            .expect("sizes add up to ItemKey::SIZE");
        Ok(Self {
            kind: ItemKind::from_number(kind).ok_or(FrameError::UnknownItemKind { found: kind })?,
            epoch: u64::from_le_bytes(*epoch),
            piece_index: u64::from_le_bytes(*index),
            shard: u16::from_le_bytes(*shard),
        })
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.piece_index)?;
        if self.kind != ItemKind::Piece {
            write!(formatter, ".{}", self.shard)?;
        }
        write!(formatter, " (epoch {})", self.epoch)
    }
}

/// Key of one finished sector, the same triple that names its plot job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectorKey {
    /// Public key of the farm.
    pub public_key: [u8; 32],
    /// Index of the sector in the farm.
    pub sector_index: u16,
    /// History size the sector was made with, in segments.
    pub history_size: u64,
}

impl SectorKey {
    /// Bytes of a key on the wire: public key 32, sector index u16, history size u64, little endian.
    pub const SIZE: usize = 32 + 2 + 8;

    /// The key as it stands in a frame.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..32].copy_from_slice(&self.public_key);
        bytes[32..34].copy_from_slice(&self.sector_index.to_le_bytes());
        bytes[34..].copy_from_slice(&self.history_size.to_le_bytes());
        bytes
    }

    /// Reads a key from a frame; every combination of bytes is a key.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let (public_key, rest) = bytes
            .split_first_chunk::<32>()
            .expect("sizes add up to SectorKey::SIZE");
        let (sector_index, rest) = rest
            .split_first_chunk::<2>()
            .expect("sizes add up to SectorKey::SIZE");
        let (history_size, _) = rest
            .split_first_chunk::<8>()
            .expect("sizes add up to SectorKey::SIZE");
        Self {
            public_key: *public_key,
            sector_index: u16::from_le_bytes(*sector_index),
            history_size: u64::from_le_bytes(*history_size),
        }
    }
}

impl fmt::Display for SectorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.public_key[..4] {
            write!(formatter, "{byte:02x}")?;
        }
        write!(
            formatter,
            "… sector {} at history size {}",
            self.sector_index, self.history_size
        )
    }
}

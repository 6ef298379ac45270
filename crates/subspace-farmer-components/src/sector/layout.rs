//! Sizes and offsets of the regions of a sector.

use super::{RECORD_BITMAP_SIZE, RECORD_METADATA_SIZE, RECORD_SIZE};
use subspace_core_primitives::pieces::{PieceOffset, ScalarBytes};

/// Bytes of one chunk.
pub const CHUNK_SIZE: usize = ScalarBytes::FULL_BYTES;
/// Bytes of a BLAKE3 checksum.
pub const CHECKSUM_SIZE: usize = 32;

/// Offsets, in bytes from the first byte of the sector, of the four regions of a sector:
/// contents map, chunks, record metadata, checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorLayout {
    pieces_in_sector: u16,
}

impl SectorLayout {
    /// Layout of a sector with this many pieces.
    pub const fn new(pieces_in_sector: u16) -> Self {
        Self { pieces_in_sector }
    }

    /// Pieces of the sector.
    pub const fn pieces_in_sector(self) -> u16 {
        self.pieces_in_sector
    }

    /// Bytes of the contents map (bitmaps and their checksum), which starts the sector.
    pub const fn contents_map_size(self) -> u64 {
        self.pieces_in_sector as u64 * RECORD_BITMAP_SIZE as u64 + CHECKSUM_SIZE as u64
    }

    /// Offset of the chunks.
    pub const fn chunks_offset(self) -> u64 {
        self.contents_map_size()
    }

    /// Bytes of the chunks of all s-buckets.
    pub const fn chunks_size(self) -> u64 {
        self.pieces_in_sector as u64 * RECORD_SIZE as u64
    }

    /// Offset of the chunk with this number, counted over all s-buckets.
    pub const fn chunk_offset(self, chunk_number: u32) -> u64 {
        self.chunks_offset() + chunk_number as u64 * CHUNK_SIZE as u64
    }

    /// Offset of the record metadata of all records.
    pub const fn all_record_metadata_offset(self) -> u64 {
        self.chunks_offset() + self.chunks_size()
    }

    /// Bytes of the record metadata of all records.
    pub const fn all_record_metadata_size(self) -> u64 {
        self.pieces_in_sector as u64 * RECORD_METADATA_SIZE as u64
    }

    /// Offset of the metadata of the record at `piece_offset`.
    pub fn record_metadata_offset(self, piece_offset: PieceOffset) -> u64 {
        self.all_record_metadata_offset() + u64::from(piece_offset.get()) * RECORD_METADATA_SIZE as u64
    }

    /// Offset of the checksum of everything before it.
    pub const fn checksum_offset(self) -> u64 {
        self.all_record_metadata_offset() + self.all_record_metadata_size()
    }

    /// Bytes of the whole sector.
    pub const fn sector_size(self) -> u64 {
        self.checksum_offset() + CHECKSUM_SIZE as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sector::sector_size;

    #[test]
    fn regions_of_a_full_sector() {
        let layout = SectorLayout::new(1000);
        assert_eq!(layout.contents_map_size(), 8_192_032);
        assert_eq!(layout.chunks_offset(), 8_192_032);
        assert_eq!(layout.chunks_size(), 1_048_576_000);
        assert_eq!(layout.all_record_metadata_offset(), 1_056_768_032);
        assert_eq!(
            layout.record_metadata_offset(PieceOffset::from(2)),
            1_056_768_032 + 256
        );
        assert_eq!(layout.checksum_offset(), 1_056_896_032);
        assert_eq!(layout.sector_size(), 1_056_896_064);
        assert_eq!(SectorLayout::new(u16::MAX).sector_size(), 1_056_896 * 65_535 + 64);
        assert_eq!(layout.chunk_offset(3), 8_192_032 + 96);
        for pieces_in_sector in [0, 1, 50, 1000] {
            let layout = SectorLayout::new(pieces_in_sector);
            assert_eq!(layout.sector_size(), sector_size(pieces_in_sector) as u64);
        }
    }
}

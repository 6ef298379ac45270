//! A sector as audits and reads need it: its identity and its s-bucket sizes with running sums.

use super::layout::SectorLayout;
use super::s_bucket_sizes::SBucketSizes;
use super::{NUM_S_BUCKETS, SectorMetadata};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::SBucket;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_core_primitives::segments::HistorySize;

/// What a farm keeps in memory for each sector (132 KB): everything about a plotted sector but its contents.
///
/// Made from [`SectorMetadata`], the form on disk, which lacks the identity and the running sums. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedSector {
    /// Identity of the sector.
    pub sector_id: SectorId,
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Records of the sector.
    pub pieces_in_sector: u16,
    /// Size of the history when the sector was plotted.
    pub history_size: HistorySize,
    /// Chunks in each s-bucket.
    pub s_bucket_sizes: SBucketSizes,
}

impl LoadedSector {
    /// Takes over metadata of a sector of the farmer whose public key has this BLAKE3 hash.
    pub fn new(public_key_hash: &Blake3Hash, metadata: SectorMetadata) -> Self {
        let SectorMetadata {
            sector_index,
            pieces_in_sector,
            s_bucket_sizes,
            history_size,
        } = metadata;
        Self {
            sector_id: SectorId::new(public_key_hash, sector_index, history_size),
            sector_index,
            pieces_in_sector,
            history_size,
            s_bucket_sizes: SBucketSizes::new(s_bucket_sizes),
        }
    }

    /// The metadata that this was made from.
    pub fn to_metadata(&self) -> SectorMetadata {
        SectorMetadata {
            sector_index: self.sector_index,
            pieces_in_sector: self.pieces_in_sector,
            s_bucket_sizes: self.s_bucket_sizes.to_array(),
            history_size: self.history_size,
        }
    }

    /// Offsets of the regions of the sector.
    pub fn layout(&self) -> SectorLayout {
        SectorLayout::new(self.pieces_in_sector)
    }

    /// Offset in the sector of the first byte of an s-bucket.
    pub fn s_bucket_byte_offset(&self, s_bucket: SBucket) -> u64 {
        self.layout().chunk_offset(self.s_bucket_sizes.offset(s_bucket))
    }
}

/// Metadata that stands for "nothing is known about this sector": empty s-buckets are never audited, and a history size of
/// one makes it the first to expire, so that it is plotted again soon.
pub fn placeholder_metadata(sector_index: SectorIndex, pieces_in_sector: u16) -> SectorMetadata {
    SectorMetadata {
        sector_index,
        pieces_in_sector,
        s_bucket_sizes: vec![0; NUM_S_BUCKETS]
            .into_boxed_slice()
            .try_into()
            .expect("allocated with exactly this many sizes"),
        history_size: HistorySize::ONE,
    }
}

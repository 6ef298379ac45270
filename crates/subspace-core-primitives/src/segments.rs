//! Segments of the archived history and their headers.

use crate::chain::BlockNumber;
use crate::hashes::{Blake3Hash, blake3_hash};
use crate::pieces::{PIECE_SIZE, PieceIndex, RAW_RECORD_SIZE};
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// Raw records in a segment.
pub const NUM_RAW_RECORDS: usize = 128;
/// Pieces in a segment: as many parity as source pieces.
pub const NUM_PIECES_IN_SEGMENT: usize = 2 * NUM_RAW_RECORDS;
/// Size of the history in one segment in bytes.
pub const RECORDED_HISTORY_SEGMENT_SIZE: usize = NUM_RAW_RECORDS * RAW_RECORD_SIZE;
/// Size of all pieces of a segment in bytes.
pub const ARCHIVED_HISTORY_SEGMENT_SIZE: usize = NUM_PIECES_IN_SEGMENT * PIECE_SIZE;

integer_type!(
    /// Index of a segment.
    SegmentIndex,
    u64
);

impl SegmentIndex {
    /// First piece of the segment. Saturates at the end of 64 bits.
    pub const fn first_piece_index(self) -> PieceIndex {
        PieceIndex::new(self.0.saturating_mul(NUM_PIECES_IN_SEGMENT as u64))
    }

    /// Last piece of the segment. Saturates at the end of 64 bits.
    pub const fn last_piece_index(self) -> PieceIndex {
        PieceIndex::new(
            self.first_piece_index()
                .get()
                .saturating_add(NUM_PIECES_IN_SEGMENT as u64 - 1),
        )
    }

    /// All pieces of the segment in ascending order.
    pub fn segment_piece_indexes(self) -> impl ExactSizeIterator<Item = PieceIndex> + Clone {
        let first = self.first_piece_index().get();
        (0..NUM_PIECES_IN_SEGMENT).map(move |position| PieceIndex::new(first.saturating_add(position as u64)))
    }

    /// All pieces of the segment: source pieces ascending, then parity pieces ascending.
    pub fn segment_piece_indexes_source_first(self) -> impl ExactSizeIterator<Item = PieceIndex> + Clone {
        let first = self.first_piece_index().get();
        (0..NUM_PIECES_IN_SEGMENT).map(move |place| {
            let position = place % NUM_RAW_RECORDS * 2 + place / NUM_RAW_RECORDS;
            PieceIndex::new(first.saturating_add(position as u64))
        })
    }
}

/// Number of segments in the history: the index of the last one plus one. Never zero, decoders reject it.
#[derive(
    Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HistorySize(NonZeroU64);

impl HistorySize {
    /// Size in bytes, in memory and in SCALE.
    pub const SIZE: usize = 8;
    /// The smallest history: the genesis segment only.
    pub const ONE: Self = Self(NonZeroU64::MIN);

    /// Wraps a number of segments.
    pub const fn new(segments: NonZeroU64) -> Self {
        Self(segments)
    }

    /// Wraps a number of segments, `None` for zero.
    pub const fn from_segments(segments: u64) -> Option<Self> {
        match NonZeroU64::new(segments) {
            Some(segments) => Some(Self(segments)),
            None => None,
        }
    }

    /// The number of segments.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The number of segments.
    pub const fn as_non_zero_u64(self) -> NonZeroU64 {
        self.0
    }

    /// Index of the last segment.
    pub const fn segment_index(self) -> SegmentIndex {
        SegmentIndex::new(self.0.get() - 1)
    }

    /// Number of pieces of the history, at most `u64::MAX`.
    pub const fn in_pieces(self) -> NonZeroU64 {
        self.0.saturating_mul(
            NonZeroU64::new(NUM_PIECES_IN_SEGMENT as u64).expect("there are pieces in a segment"),
        )
    }

    /// History size at which the expiration of a sector of this history size becomes known; `None` on overflow.
    pub const fn sector_expiration_check(self, min_sector_lifetime: Self) -> Option<Self> {
        match self.0.checked_add(min_sector_lifetime.0.get()) {
            Some(segments) => Some(Self(segments)),
            None => None,
        }
    }
}

impl From<NonZeroU64> for HistorySize {
    fn from(segments: NonZeroU64) -> Self {
        Self(segments)
    }
}

impl From<HistorySize> for NonZeroU64 {
    fn from(history_size: HistorySize) -> Self {
        history_size.0
    }
}

impl From<SegmentIndex> for HistorySize {
    /// The history that ends with this segment (saturates at the end of 64 bits).
    fn from(segment_index: SegmentIndex) -> Self {
        Self(NonZeroU64::MIN.saturating_add(segment_index.get()))
    }
}

impl fmt::Display for HistorySize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

byte_array!(
    /// KZG commitment to the record commitments of a segment (compressed G1 point).
    SegmentCommitment,
    48
);
byte_array_hex_serde!(SegmentCommitment);
byte_array_default!(SegmentCommitment);

/// How much of a block is archived.
#[derive(
    Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum ArchivedBlockProgress {
    /// All of it.
    #[codec(index = 0)]
    Complete,
    /// This many bytes of its encoding.
    #[codec(index = 1)]
    Partial(u32),
}

impl ArchivedBlockProgress {
    /// Archived bytes of a block that is not complete.
    pub const fn partial(&self) -> Option<u32> {
        match self {
            Self::Complete => None,
            Self::Partial(bytes) => Some(*bytes),
        }
    }
}

/// Last block with data in a segment.
#[derive(
    Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct LastArchivedBlock {
    /// Number of the block.
    pub number: BlockNumber,
    /// How much of it is archived.
    pub archived_progress: ArchivedBlockProgress,
}

impl LastArchivedBlock {
    /// Archived bytes of a block that is not complete.
    pub const fn partial_archived(&self) -> Option<u32> {
        self.archived_progress.partial()
    }
}

/// Header of a segment. Headers form a chain through their hashes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SegmentHeader {
    /// The only version.
    #[codec(index = 0)]
    V0 {
        /// Index of the segment.
        segment_index: SegmentIndex,
        /// Commitment to the pieces of the segment.
        segment_commitment: SegmentCommitment,
        /// Hash of the header of the previous segment, zeroes for segment 0.
        prev_segment_header_hash: Blake3Hash,
        /// Last block with data in the segment.
        last_archived_block: LastArchivedBlock,
    },
}

impl SegmentHeader {
    /// BLAKE3 of the SCALE encoding.
    pub fn hash(&self) -> Blake3Hash {
        self.using_encoded(blake3_hash)
    }

    /// Index of the segment.
    pub const fn segment_index(&self) -> SegmentIndex {
        let Self::V0 { segment_index, .. } = self;
        *segment_index
    }

    /// Commitment to the pieces of the segment.
    pub const fn segment_commitment(&self) -> SegmentCommitment {
        let Self::V0 {
            segment_commitment, ..
        } = self;
        *segment_commitment
    }

    /// Hash of the header of the previous segment.
    pub const fn prev_segment_header_hash(&self) -> Blake3Hash {
        let Self::V0 {
            prev_segment_header_hash,
            ..
        } = self;
        *prev_segment_header_hash
    }

    /// Last block with data in the segment.
    pub const fn last_archived_block(&self) -> LastArchivedBlock {
        let Self::V0 {
            last_archived_block, ..
        } = self;
        *last_archived_block
    }
}

//! Pieces, their indexes and parts.

mod item_kind;
mod piece;

pub use item_kind::ItemKind;
pub use piece::{Piece, PieceSizeError};

use crate::hashes::blake3_254_hash_to_scalar;
use crate::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Chunks in a record (raw, source or encoded).
pub const NUM_CHUNKS: usize = 32_768;
/// S-buckets of a record: chunks of the record after erasure coding with rate 1/2.
pub const NUM_S_BUCKETS: usize = 65_536;
/// Size of a raw record in bytes: 31 bytes a chunk.
pub const RAW_RECORD_SIZE: usize = ScalarBytes::SAFE_BYTES * NUM_CHUNKS;
/// Size of a record in bytes: 32 bytes a chunk.
pub const RECORD_SIZE: usize = ScalarBytes::FULL_BYTES * NUM_CHUNKS;
/// Size of a piece in bytes: record, record commitment, record witness.
pub const PIECE_SIZE: usize = RECORD_SIZE + RecordCommitment::SIZE + RecordWitness::SIZE;

integer_type!(
    /// Index of a piece in the archived history. Even indexes are source pieces, odd ones parity pieces.
    PieceIndex,
    u64
);
integer_type!(
    /// Offset of a piece in a sector.
    PieceOffset,
    u16
);
integer_type!(
    /// Index of an s-bucket, 0..=65535.
    SBucket,
    u16
);

impl PieceIndex {
    /// Segment that contains the piece.
    pub const fn segment_index(self) -> SegmentIndex {
        SegmentIndex::new(self.0 / NUM_PIECES_IN_SEGMENT as u64)
    }

    /// Position in the segment, 0..=255.
    pub const fn position(self) -> u32 {
        (self.0 % NUM_PIECES_IN_SEGMENT as u64) as u32
    }

    /// Whether this is a source piece.
    pub const fn is_source(self) -> bool {
        self.0.is_multiple_of(2)
    }

    /// Position among the source pieces of the segment, 0..=127; `None` for a parity piece.
    pub const fn source_position(self) -> Option<u32> {
        if self.is_source() {
            Some(self.position() / 2)
        } else {
            None
        }
    }

    /// Source piece at a source position, counted from the start of `segment_index`; positions from 128 on lie in the segments
    /// that follow. `None` when the index does not fit 64 bits.
    pub fn from_source_position(source_position: u32, segment_index: SegmentIndex) -> Option<Self> {
        segment_index
            .get()
            .checked_mul(NUM_PIECES_IN_SEGMENT as u64)?
            .checked_add(u64::from(source_position) * 2)
            .map(Self)
    }

    /// Source piece after this source piece; `None` for a parity piece and at the end of 64 bits.
    pub const fn next_source_index(self) -> Option<Self> {
        if !self.is_source() {
            return None;
        }
        match self.0.checked_add(2) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// Source piece before this source piece; `None` for a parity piece and for piece 0.
    pub const fn prev_source_index(self) -> Option<Self> {
        if !self.is_source() {
            return None;
        }
        match self.0.checked_sub(2) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }
}

impl From<SBucket> for u32 {
    fn from(s_bucket: SBucket) -> Self {
        Self::from(s_bucket.0)
    }
}

byte_array!(
    /// KZG commitment to the chunks of a record (compressed G1 point).
    RecordCommitment,
    48
);
byte_array!(
    /// KZG witness that a record belongs to its segment (compressed G1 point).
    RecordWitness,
    48
);
byte_array!(
    /// KZG witness that a chunk belongs to its record (compressed G1 point).
    ChunkWitness,
    48
);
byte_array_hex_serde!(RecordCommitment, RecordWitness, ChunkWitness);
byte_array_default!(RecordCommitment, RecordWitness, ChunkWitness);

impl RecordCommitment {
    /// The value that the segment commits to for this record: 254 bits of BLAKE3 of the commitment.
    pub fn hash_to_scalar(&self) -> ScalarBytes {
        blake3_254_hash_to_scalar(&self.0)
    }
}

/// A field element as 32 big-endian bytes; not necessarily canonical (below the group order). JSON: array of 32 numbers.
#[derive(
    Default, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ScalarBytes(pub [u8; Self::FULL_BYTES]);

impl ScalarBytes {
    /// Bytes of arbitrary data that fit any field element.
    pub const SAFE_BYTES: usize = 31;
    /// Bytes of a field element.
    pub const FULL_BYTES: usize = 32;
    /// Size in bytes, in memory and in SCALE.
    pub const SIZE: usize = Self::FULL_BYTES;

    /// The bytes as an array.
    pub const fn as_bytes(&self) -> &[u8; Self::FULL_BYTES] {
        &self.0
    }

    /// Field element that holds 31 bytes of data: a zero byte, then the data.
    pub fn from_safe_bytes(bytes: &[u8; Self::SAFE_BYTES]) -> Self {
        let mut scalar = [0; Self::FULL_BYTES];
        scalar[1..].copy_from_slice(bytes);
        Self(scalar)
    }

    /// The 31 bytes of data, `None` when the first byte is not zero.
    pub fn try_to_safe_bytes(&self) -> Option<[u8; Self::SAFE_BYTES]> {
        let (first, rest) = self.0.split_first_chunk::<1>()?;
        if first[0] == 0 { rest.try_into().ok() } else { None }
    }
}

impl std::ops::Deref for ScalarBytes {
    type Target = [u8; Self::FULL_BYTES];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl AsRef<[u8]> for ScalarBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; Self::FULL_BYTES]> for ScalarBytes {
    fn from(bytes: [u8; Self::FULL_BYTES]) -> Self {
        Self(bytes)
    }
}

impl From<ScalarBytes> for [u8; ScalarBytes::FULL_BYTES] {
    fn from(scalar: ScalarBytes) -> Self {
        scalar.0
    }
}

impl fmt::Display for ScalarBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ScalarBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ScalarBytes({})", hex::encode(self.0))
    }
}

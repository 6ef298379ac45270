//! Codec of a recorded history segment: a version byte, then items without a count up to the end of the buffer.
//!
//! Rules: `docs/protocol/archiving.md`, section "Segment".

#[cfg(test)]
mod tests;

use bytes::Bytes;
use parity_scale_codec::{Compact, CompactLen, Decode, Encode};
use subspace_core_primitives::segments::{RECORDED_HISTORY_SEGMENT_SIZE, SegmentHeader};
use thiserror::Error;

/// First byte of every segment.
pub(crate) const SEGMENT_VERSION: u8 = 0;
/// Bytes of the version in front of the items.
pub(crate) const SEGMENT_VERSION_SIZE: usize = 1;

/// Most items a decoded segment may have. The smallest block a chain can produce encodes to 100 bytes (header without
/// digest, no extrinsics, no justifications), so honest segments stay below this, and a hostile one cannot make the
/// decoder allocate a hundred bytes for every two of its input.
pub const MAX_SEGMENT_ITEMS: usize = RECORDED_HISTORY_SEGMENT_SIZE / 100;

mod kind {
    pub(super) const PADDING: u8 = 0;
    pub(super) const BLOCK: u8 = 1;
    pub(super) const BLOCK_START: u8 = 2;
    pub(super) const BLOCK_CONTINUATION: u8 = 3;
    pub(super) const PARENT_SEGMENT_HEADER: u8 = 4;
}

/// Why some bytes are not a segment.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SegmentDecodeError {
    /// No bytes at all.
    #[error("the segment is empty; it must at least have a version byte")]
    Empty,
    /// The first byte is not a known version.
    #[error("segment version {version} is unknown; only {SEGMENT_VERSION} exists")]
    UnknownVersion {
        /// First byte.
        version: u8,
    },
    /// An item begins with an unknown byte.
    #[error("segment item at byte {offset} has the unknown kind {kind}; the segment is corrupt")]
    UnknownItem {
        /// Offset of the item in the segment.
        offset: usize,
        /// Its first byte.
        kind: u8,
    },
    /// The contents of an item do not fit the rest of the segment.
    #[error("segment item at byte {offset} is cut off or malformed; the segment is corrupt")]
    MalformedItem {
        /// Offset of the item in the segment.
        offset: usize,
    },
    /// More items than a real segment can have.
    #[error("the segment has more than {MAX_SEGMENT_ITEMS} items; no chain produces blocks that small")]
    TooManyItems,
}

/// One item of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentItem {
    /// A run of zero bytes, each of which stands for one empty item on the wire.
    Padding(usize),
    /// A whole block.
    Block(Bytes),
    /// The beginning of a block that continues in the next segment; it may be empty.
    BlockStart(Bytes),
    /// A further part of a block, the last one or one of several.
    BlockContinuation(Bytes),
    /// Header of the segment before this one.
    ParentSegmentHeader(SegmentHeader),
}

/// A decoded segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Items in order.
    pub items: Vec<SegmentItem>,
}

/// Size on the wire of an item that carries `length` bytes of a block.
pub(crate) fn bytes_item_size(length: usize) -> usize {
    1 + compact_length_size(length) + length
}

/// Size of the compact integer in front of `length` bytes.
pub(crate) fn compact_length_size(length: usize) -> usize {
    Compact::<u64>::compact_len(&(length as u64))
}

/// Size on the wire of a parent segment header item.
pub(crate) fn header_item_size(header: &SegmentHeader) -> usize {
    1 + header.encoded_size()
}

fn encode_bytes_item(kind: u8, bytes: &[u8], output: &mut Vec<u8>) {
    output.push(kind);
    Compact(bytes.len() as u64).encode_to(output);
    output.extend_from_slice(bytes);
}

impl SegmentItem {
    /// Size on the wire in bytes.
    pub fn encoded_size(&self) -> usize {
        match self {
            Self::Padding(count) => *count,
            Self::Block(bytes) | Self::BlockStart(bytes) | Self::BlockContinuation(bytes) => {
                bytes_item_size(bytes.len())
            }
            Self::ParentSegmentHeader(header) => header_item_size(header),
        }
    }

    pub(crate) fn encode_to(&self, output: &mut Vec<u8>) {
        match self {
            Self::Padding(count) => output.resize(output.len() + count, kind::PADDING),
            Self::Block(bytes) => encode_bytes_item(kind::BLOCK, bytes, output),
            Self::BlockStart(bytes) => encode_bytes_item(kind::BLOCK_START, bytes, output),
            Self::BlockContinuation(bytes) => encode_bytes_item(kind::BLOCK_CONTINUATION, bytes, output),
            Self::ParentSegmentHeader(header) => {
                output.push(kind::PARENT_SEGMENT_HEADER);
                header.encode_to(output);
            }
        }
    }
}

impl Segment {
    /// Size on the wire in bytes.
    pub fn encoded_size(&self) -> usize {
        SEGMENT_VERSION_SIZE + self.items.iter().map(SegmentItem::encoded_size).sum::<usize>()
    }

    /// Bytes on the wire; a segment that is archived must fill [`RECORDED_HISTORY_SEGMENT_SIZE`] bytes exactly.
    pub fn encode(&self) -> Vec<u8> {
        let mut output = Vec::with_capacity(self.encoded_size());
        output.push(SEGMENT_VERSION);
        for item in &self.items {
            item.encode_to(&mut output);
        }
        output
    }

    /// Reads items until the input ends. Items share the memory of `bytes`; consecutive zero bytes become one
    /// [`SegmentItem::Padding`].
    pub fn decode(bytes: &Bytes) -> Result<Self, SegmentDecodeError> {
        match bytes.first() {
            None => return Err(SegmentDecodeError::Empty),
            Some(&SEGMENT_VERSION) => {}
            Some(&version) => return Err(SegmentDecodeError::UnknownVersion { version }),
        }
        let mut items = Vec::new();
        let mut offset = SEGMENT_VERSION_SIZE;
        while offset < bytes.len() {
            if items.len() == MAX_SEGMENT_ITEMS {
                return Err(SegmentDecodeError::TooManyItems);
            }
            let (item, end) = decode_item(bytes, offset)?;
            items.push(item);
            offset = end;
        }
        Ok(Self { items })
    }
}

/// The item at `offset` (which is inside `bytes`) and the offset behind it.
fn decode_item(bytes: &Bytes, offset: usize) -> Result<(SegmentItem, usize), SegmentDecodeError> {
    let malformed = SegmentDecodeError::MalformedItem { offset };
    let wrap: fn(Bytes) -> SegmentItem = match bytes[offset] {
        kind::PADDING => {
            let count = bytes[offset..]
                .iter()
                .take_while(|byte| **byte == kind::PADDING)
                .count();
            return Ok((SegmentItem::Padding(count), offset + count));
        }
        kind::PARENT_SEGMENT_HEADER => {
            let mut rest = &bytes[offset + 1..];
            let header = SegmentHeader::decode(&mut rest).map_err(|_| malformed)?;
            return Ok((SegmentItem::ParentSegmentHeader(header), bytes.len() - rest.len()));
        }
        kind::BLOCK => SegmentItem::Block,
        kind::BLOCK_START => SegmentItem::BlockStart,
        kind::BLOCK_CONTINUATION => SegmentItem::BlockContinuation,
        kind => return Err(SegmentDecodeError::UnknownItem { offset, kind }),
    };
    let mut rest = &bytes[offset + 1..];
    let Ok(Compact(length)) = Compact::<u32>::decode(&mut rest) else {
        return Err(malformed);
    };
    if length as usize > rest.len() {
        return Err(malformed);
    }
    let start = bytes.len() - rest.len();
    let end = start + length as usize;
    Ok((wrap(bytes.slice(start..end)), end))
}

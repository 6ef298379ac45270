//! The archiver's state machine without any cryptography: blocks in, raw segments out.
//!
//! Rules: `docs/protocol/archiving.md`, section "Filling segments".

#[cfg(test)]
mod tests;

use crate::objects::global_object;
use crate::segment::{
    SEGMENT_VERSION, SEGMENT_VERSION_SIZE, SegmentItem, bytes_item_size, compact_length_size,
    header_item_size,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::mem;
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::objects::{BlockObject, BlockObjectMapping, GlobalObject};
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE, SegmentHeader, SegmentIndex,
};
use thiserror::Error;

/// A segment is closed once no more than this many bytes are free: the smallest item takes as much.
const CLOSING_GAP: usize = 2;

/// Why a block cannot be added or an archiver cannot be resumed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AssemblerError {
    /// The encoded block is too long for the protocol's 32-bit progress counter.
    #[error("block {number} encodes to {size} bytes; the archive counts block bytes with 32 bits")]
    BlockTooLarge {
        /// Number of the block.
        number: BlockNumber,
        /// Length of its encoding.
        size: usize,
    },
    /// Block numbers are used up.
    #[error(
        "block number {} was reached; the archive cannot count further",
        BlockNumber::MAX
    )]
    BlockNumbersExhausted,
    /// The header of the segment that was taken out last is missing.
    #[error(
        "segment {segment_index} was taken out but its header was never given back; resume from the last known header"
    )]
    HeaderMissing {
        /// Which segment.
        segment_index: SegmentIndex,
    },
    /// A header was given back that does not belong to the segment that was taken out.
    #[error("the header of segment {given} does not continue this archive, which waits for {expected:?}")]
    UnexpectedHeader {
        /// Index in the header given.
        given: SegmentIndex,
        /// Index of the segment that waits for its header, if one does.
        expected: Option<SegmentIndex>,
    },
    /// Resuming needs the rest of a block that is not longer than what is archived already.
    #[error(
        "block {number} has {size} bytes but its segment header says that {archived} are archived and more follow; \
         give the encoding of exactly that block"
    )]
    NothingLeftOfBlock {
        /// Number of the block.
        number: BlockNumber,
        /// Bytes of the encoded block that was given.
        size: usize,
        /// Bytes archived according to the header.
        archived: u32,
    },
}

/// A full segment before it is cut into records: a pure function of the header before it and the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSegment {
    /// Index of this segment.
    pub segment_index: SegmentIndex,
    /// Hash of the header of the segment before, zero for segment 0.
    pub prev_segment_header_hash: Blake3Hash,
    /// Last block of the segment and how much of it is archived.
    pub last_archived_block: LastArchivedBlock,
    /// Encoded segment, always [`RECORDED_HISTORY_SEGMENT_SIZE`] bytes.
    pub bytes: Vec<u8>,
    /// Objects in this segment that were not reported before it was closed.
    pub objects: Vec<GlobalObject>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Block,
    Continuation,
}

/// A block, or what is left of one, that waits for its segment.
#[derive(Debug, Clone)]
struct BufferedBlock {
    kind: PartKind,
    bytes: Bytes,
    /// Objects nobody was told about yet; offsets count from the start of `bytes`.
    objects: Vec<BlockObject>,
}

impl BufferedBlock {
    fn encoded_size(&self) -> usize {
        bytes_item_size(self.bytes.len())
    }

    fn take_objects(&mut self, segment_index: SegmentIndex, base: usize, output: &mut Vec<GlobalObject>) {
        let start = base + 1 + compact_length_size(self.bytes.len());
        output.extend(
            mem::take(&mut self.objects)
                .into_iter()
                .map(|object| global_object(segment_index, start, &object)),
        );
    }

    /// Cuts off everything from `split` on.
    fn split_off(&mut self, split: usize) -> Self {
        let (kept, mut moved): (Vec<_>, Vec<_>) = mem::take(&mut self.objects)
            .into_iter()
            .partition(|object| (object.offset as usize) < split);
        for object in &mut moved {
            object.offset -= split as u32;
        }
        self.objects = kept;
        Self {
            kind: PartKind::Continuation,
            bytes: self.bytes.split_off(split),
            objects: moved,
        }
    }
}

/// Fills segments with blocks.
///
/// ```text
/// push_block -> while let Some(raw) = next_segment() { archive it; accept_header(header) } -> take_object_mappings
/// ```
///
/// Holds at most one segment of blocks plus what is left of the last one.
#[derive(Debug, Clone)]
pub struct SegmentAssembler {
    segment_size: usize,
    segment_index: SegmentIndex,
    prev_segment_header_hash: Blake3Hash,
    last_archived_block: LastArchivedBlock,
    /// Header of the segment before; first item of the one in work.
    parent_segment_header: Option<SegmentHeader>,
    blocks: VecDeque<BufferedBlock>,
    /// Encoded size of the version, the parent header and all of `blocks`.
    buffered_size: usize,
    /// How many of `blocks` had their objects reported, and the offset in the segment behind them.
    reported: (usize, usize),
    /// A segment was taken out and its header is not known yet.
    awaiting_header: bool,
    next_block_number: Option<BlockNumber>,
}

/// Stands for "nothing archived yet"; no real segment can end like this.
const NOTHING_ARCHIVED: LastArchivedBlock = LastArchivedBlock {
    number: 0,
    archived_progress: ArchivedBlockProgress::Partial(0),
};

impl Default for SegmentAssembler {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentAssembler {
    /// Starts a new history; the first block is genesis.
    pub fn new() -> Self {
        Self::with_segment_size(RECORDED_HISTORY_SEGMENT_SIZE)
    }

    fn with_segment_size(segment_size: usize) -> Self {
        Self {
            segment_size,
            segment_index: SegmentIndex::ZERO,
            prev_segment_header_hash: Blake3Hash::default(),
            last_archived_block: NOTHING_ARCHIVED,
            parent_segment_header: None,
            blocks: VecDeque::new(),
            buffered_size: SEGMENT_VERSION_SIZE,
            reported: (0, SEGMENT_VERSION_SIZE),
            awaiting_header: false,
            next_block_number: Some(0),
        }
    }

    /// Continues behind the segment of `header`. When that segment ends within a block, `encoded_block` is the whole
    /// encoding of this block and `objects` are its objects; otherwise both are ignored.
    pub fn resume(
        header: SegmentHeader,
        encoded_block: &[u8],
        objects: BlockObjectMapping,
    ) -> Result<Self, AssemblerError> {
        Self::resume_with_segment_size(RECORDED_HISTORY_SEGMENT_SIZE, header, encoded_block, objects)
    }

    fn resume_with_segment_size(
        segment_size: usize,
        header: SegmentHeader,
        encoded_block: &[u8],
        objects: BlockObjectMapping,
    ) -> Result<Self, AssemblerError> {
        let LastArchivedBlock {
            number,
            archived_progress,
        } = header.last_archived_block();
        let mut assembler = Self::with_segment_size(segment_size);
        if let ArchivedBlockProgress::Partial(archived) = archived_progress {
            check_block_size(number, encoded_block.len())?;
            let Some(rest @ [_, ..]) = encoded_block.get(archived as usize..) else {
                return Err(AssemblerError::NothingLeftOfBlock {
                    number,
                    size: encoded_block.len(),
                    archived,
                });
            };
            let objects = mapped_objects(objects)
                .into_iter()
                .filter_map(|object| {
                    let offset = object.offset.checked_sub(archived)?;
                    Some(BlockObject { offset, ..object })
                })
                .collect();
            let bytes = Bytes::copy_from_slice(rest);
            assembler.blocks.push_back(BufferedBlock {
                kind: PartKind::Continuation,
                bytes,
                objects,
            });
        }
        assembler.next_block_number = number.checked_add(1);
        assembler.start_after(header);
        Ok(assembler)
    }

    /// Index of the segment that is being filled.
    pub fn segment_index(&self) -> SegmentIndex {
        self.segment_index
    }

    /// Number of the block that must be added next; `None` when numbers are used up.
    pub fn next_block_number(&self) -> Option<BlockNumber> {
        self.next_block_number
    }

    /// Appends the next block of the chain in its archived encoding. Objects outside the block are dropped: there is no
    /// place in the archive they could point to.
    pub fn push_block(
        &mut self,
        bytes: impl Into<Bytes>,
        objects: BlockObjectMapping,
    ) -> Result<(), AssemblerError> {
        if self.awaiting_header {
            return Err(AssemblerError::HeaderMissing {
                segment_index: self.segment_index,
            });
        }
        let number = self
            .next_block_number
            .ok_or(AssemblerError::BlockNumbersExhausted)?;
        let bytes = bytes.into();
        check_block_size(number, bytes.len())?;
        let mut objects = mapped_objects(objects);
        objects.retain(|object| (object.offset as usize) < bytes.len());
        let block = BufferedBlock {
            kind: PartKind::Block,
            bytes,
            objects,
        };
        self.buffered_size += block.encoded_size();
        self.blocks.push_back(block);
        self.next_block_number = number.checked_add(1);
        Ok(())
    }

    /// Takes a segment out when there is enough for one. Its header must then come back through
    /// [`Self::accept_header`] before anything else happens.
    pub fn next_segment(&mut self) -> Option<RawSegment> {
        let closing_size = self.segment_size - CLOSING_GAP;
        if self.awaiting_header || self.buffered_size < closing_size {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.segment_size);
        bytes.push(SEGMENT_VERSION);
        if let Some(header) = self.parent_segment_header.take() {
            SegmentItem::ParentSegmentHeader(header).encode_to(&mut bytes);
        }
        let mut last = self.last_archived_block;
        let mut objects = Vec::new();
        while bytes.len() < closing_size
            && let Some(mut block) = self.blocks.pop_front()
        {
            let base = bytes.len();
            let spilled = (base + block.encoded_size()).saturating_sub(self.segment_size);
            if spilled > block.bytes.len() {
                // Not even an empty part fits in front of the length prefix.
                self.blocks.push_front(block);
                break;
            }
            // Reckoned with the length prefix of the whole block: a shorter one leaves padding behind it.
            let split = block.bytes.len() - spilled;
            let archived_before = match block.kind {
                PartKind::Block => {
                    if last != NOTHING_ARCHIVED {
                        // Cannot overflow: a block is only accepted while its number fits.
                        last.number = last.number.saturating_add(1);
                    }
                    0
                }
                PartKind::Continuation => last.archived_progress.partial().unwrap_or(0),
            };
            last.archived_progress = ArchivedBlockProgress::Complete;
            if spilled > 0 {
                last.archived_progress = ArchivedBlockProgress::Partial(archived_before + split as u32);
                let rest = block.split_off(split);
                self.blocks.push_front(rest);
            }
            block.take_objects(self.segment_index, base, &mut objects);
            let item = match (block.kind, spilled) {
                (PartKind::Continuation, _) => SegmentItem::BlockContinuation(block.bytes),
                (PartKind::Block, 0) => SegmentItem::Block(block.bytes),
                (PartKind::Block, _) => SegmentItem::BlockStart(block.bytes),
            };
            item.encode_to(&mut bytes);
            if spilled > 0 {
                break;
            }
        }
        bytes.resize(self.segment_size, 0);
        self.last_archived_block = last;
        self.awaiting_header = true;
        Some(RawSegment {
            segment_index: self.segment_index,
            prev_segment_header_hash: self.prev_segment_header_hash,
            last_archived_block: last,
            bytes,
            objects,
        })
    }

    /// Gives back the header of the segment that [`Self::next_segment`] returned.
    pub fn accept_header(&mut self, header: SegmentHeader) -> Result<(), AssemblerError> {
        let matches = self.awaiting_header
            && header.segment_index() == self.segment_index
            && header.prev_segment_header_hash() == self.prev_segment_header_hash
            && header.last_archived_block() == self.last_archived_block;
        if !matches {
            return Err(AssemblerError::UnexpectedHeader {
                given: header.segment_index(),
                expected: self.awaiting_header.then_some(self.segment_index),
            });
        }
        self.start_after(header);
        Ok(())
    }

    /// Where the objects of all blocks added so far will lie, as far as nobody was told yet.
    pub fn take_object_mappings(&mut self) -> Vec<GlobalObject> {
        let mut objects = Vec::new();
        if self.awaiting_header {
            // The place of everything that is left depends on the size of the missing header.
            return objects;
        }
        let (first, mut base) = self.reported;
        for block in self.blocks.range_mut(first..) {
            block.take_objects(self.segment_index, base, &mut objects);
            base += block.encoded_size();
        }
        self.reported = (self.blocks.len(), base);
        objects
    }

    fn start_after(&mut self, header: SegmentHeader) {
        let base = SEGMENT_VERSION_SIZE + header_item_size(&header);
        self.segment_index = header.segment_index().saturating_add(SegmentIndex::ONE);
        self.prev_segment_header_hash = header.hash();
        self.last_archived_block = header.last_archived_block();
        self.parent_segment_header = Some(header);
        self.buffered_size = base + self.blocks.iter().map(BufferedBlock::encoded_size).sum::<usize>();
        self.reported = (0, base);
        self.awaiting_header = false;
    }
}

fn mapped_objects(mapping: BlockObjectMapping) -> Vec<BlockObject> {
    match mapping {
        BlockObjectMapping::V0 { objects } => objects,
    }
}

fn check_block_size(number: BlockNumber, size: usize) -> Result<(), AssemblerError> {
    if u32::try_from(size).is_err() {
        return Err(AssemblerError::BlockTooLarge { number, size });
    }
    Ok(())
}

//! Blocks from consecutive segments.

#[cfg(test)]
mod tests;

use crate::segment::{Segment, SegmentItem};
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::segments::{ArchivedBlockProgress, SegmentHeader, SegmentIndex};
use thiserror::Error;

/// Why a segment does not fit the ones before it or contradicts itself.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BlockReconstructionError {
    /// Segments must come in ascending order without gaps.
    #[error(
        "segment {found} cannot follow segment {previous}; feed consecutive segments or start a new reconstructor"
    )]
    NotConsecutive {
        /// Segment fed before.
        previous: SegmentIndex,
        /// Segment fed now.
        found: SegmentIndex,
    },
    /// The parent header inside the segment is not the header of the segment fed before.
    #[error(
        "segment {segment_index} continues another history: its parent header is not the one of the segment before"
    )]
    WrongParent {
        /// Index of the segment.
        segment_index: SegmentIndex,
    },
    /// The header given for the segment does not belong to it.
    #[error("the header given for segment {segment_index} does not describe it")]
    WrongHeader {
        /// Index of the segment.
        segment_index: SegmentIndex,
    },
    /// Items stand in an order no archiver writes.
    #[error("segment {segment_index}: item {item} cannot stand there; the segment is corrupt")]
    UnexpectedItem {
        /// Index of the segment.
        segment_index: SegmentIndex,
        /// Number of the item in the segment, from 0.
        item: usize,
    },
    /// A block that is spread over segments does not have the length the headers promise.
    #[error("block {number} has {found} bytes so far where the segment header says {expected:?}")]
    WrongProgress {
        /// Number of the block.
        number: BlockNumber,
        /// Bytes collected.
        found: usize,
        /// What the header says about it.
        expected: ArchivedBlockProgress,
    },
}

/// What one more segment gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReconstructedBlocks {
    /// Header of the segment before, as written inside this one; `None` in segment 0.
    pub parent_segment_header: Option<SegmentHeader>,
    /// Blocks completed by this segment, in order, in their archived encoding. The genesis block carries its random
    /// tail and must be compared with the locally derived one.
    pub blocks: Vec<(BlockNumber, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct PartialBlock {
    number: BlockNumber,
    bytes: Vec<u8>,
}

/// The segment fed before.
#[derive(Debug, Clone)]
struct Previous {
    segment_index: SegmentIndex,
    header: Option<SegmentHeader>,
    /// Present even when none of its bytes fitted: an empty block start is legal.
    partial: Option<PartialBlock>,
}

/// Turns segments, fed in ascending order from anywhere in the history, into blocks.
///
/// A block whose beginning lies before the first segment is left out. Give the header of each segment whenever it is
/// known: it tells whether a block that ends with the segment is complete. Without it such a block comes with the next
/// segment. After an error the reconstructor is as good as new, and the next segment may again be any.
#[derive(Debug, Clone, Default)]
pub struct BlockReconstructor {
    previous: Option<Previous>,
}

impl BlockReconstructor {
    /// A reconstructor that has seen no segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the next segment; `segment_header` is the header of this very segment.
    pub fn add_segment(
        &mut self,
        segment: &Segment,
        segment_header: Option<&SegmentHeader>,
    ) -> Result<ReconstructedBlocks, BlockReconstructionError> {
        let previous = self.previous.take();
        let (parent_header, items) = match segment.items.split_first() {
            Some((SegmentItem::ParentSegmentHeader(header), items)) => (Some(header), items),
            _ => (None, &segment.items[..]),
        };
        let segment_index = match parent_header {
            Some(header) => header.segment_index().saturating_add(SegmentIndex::ONE),
            None => SegmentIndex::ZERO,
        };
        let partial = check_parent(previous, parent_header, segment_index)?;
        if let Some(header) = segment_header {
            let parent_hash = parent_header.map(SegmentHeader::hash).unwrap_or_default();
            if header.segment_index() != segment_index || header.prev_segment_header_hash() != parent_hash {
                return Err(BlockReconstructionError::WrongHeader { segment_index });
            }
        }

        let mut run = Run::start(segment_index, parent_header, partial)?;
        // What was a parent header is item 0 of the segment.
        let first_item = usize::from(parent_header.is_some());
        for (item, contents) in (first_item..).zip(items) {
            run.add(item, contents)?;
        }
        if let Some(header) = segment_header {
            run.close(header)?;
        }
        self.previous = Some(Previous {
            segment_index,
            header: segment_header.cloned(),
            partial: run.partial,
        });
        Ok(ReconstructedBlocks {
            parent_segment_header: parent_header.cloned(),
            blocks: run.blocks,
        })
    }
}

/// Checks that the segment follows the one fed before and returns the block it may continue.
fn check_parent(
    previous: Option<Previous>,
    parent_header: Option<&SegmentHeader>,
    segment_index: SegmentIndex,
) -> Result<Option<PartialBlock>, BlockReconstructionError> {
    let Some(previous) = previous else {
        return Ok(None);
    };
    // Segment 0 is the only one without a parent and never follows another.
    if parent_header.map(SegmentHeader::segment_index) != Some(previous.segment_index) {
        return Err(BlockReconstructionError::NotConsecutive {
            previous: previous.segment_index,
            found: segment_index,
        });
    }
    if previous.header.is_some() && previous.header.as_ref() != parent_header {
        return Err(BlockReconstructionError::WrongParent { segment_index });
    }
    Ok(previous.partial)
}

/// One pass over the items of a segment.
struct Run {
    segment_index: SegmentIndex,
    /// Number of the next block that begins in this segment.
    next: BlockNumber,
    /// The block that the items so far end with, when it may go on.
    partial: Option<PartialBlock>,
    /// Whether the next item must continue the block that the segment before ended with.
    continuation_due: bool,
    /// Whether nothing but padding may follow: behind padding, and behind a block that did not fit.
    ended: bool,
    /// Whether any block begins in this segment.
    block_began: bool,
    blocks: Vec<(BlockNumber, Vec<u8>)>,
}

impl Run {
    fn start(
        segment_index: SegmentIndex,
        parent_header: Option<&SegmentHeader>,
        partial: Option<PartialBlock>,
    ) -> Result<Self, BlockReconstructionError> {
        let mut run = Self {
            segment_index,
            next: 0,
            partial: None,
            continuation_due: false,
            ended: false,
            block_began: false,
            blocks: Vec::new(),
        };
        let Some(last) = parent_header.map(SegmentHeader::last_archived_block) else {
            return Ok(run);
        };
        run.next = last.number.wrapping_add(1);
        run.continuation_due = last.archived_progress != ArchivedBlockProgress::Complete;
        if let Some(partial) = partial {
            check_progress(&partial, last.number, last.archived_progress)?;
            if run.continuation_due {
                run.partial = Some(partial);
            } else {
                // It ended exactly with the segment before, which nobody could tell then.
                run.blocks.push((partial.number, partial.bytes));
            }
        }
        Ok(run)
    }

    fn add(&mut self, item: usize, contents: &SegmentItem) -> Result<(), BlockReconstructionError> {
        let continues = matches!(contents, SegmentItem::BlockContinuation(_));
        let padding = matches!(contents, SegmentItem::Padding(_));
        let misplaced_header = matches!(contents, SegmentItem::ParentSegmentHeader(_));
        if continues != self.continuation_due || self.ended && !padding || misplaced_header {
            return Err(BlockReconstructionError::UnexpectedItem {
                segment_index: self.segment_index,
                item,
            });
        }
        self.continuation_due = false;
        match contents {
            SegmentItem::BlockContinuation(bytes) => {
                if let Some(partial) = &mut self.partial {
                    partial.bytes.extend_from_slice(bytes);
                }
            }
            SegmentItem::Block(bytes) => {
                self.flush();
                let number = self.begin_block();
                self.blocks.push((number, bytes.to_vec()));
            }
            SegmentItem::BlockStart(bytes) => {
                self.flush();
                let number = self.begin_block();
                self.partial = Some(PartialBlock {
                    number,
                    bytes: bytes.to_vec(),
                });
                self.ended = true;
            }
            SegmentItem::Padding(_) | SegmentItem::ParentSegmentHeader(_) => self.ended = true,
        }
        Ok(())
    }

    /// The block that was open is complete, for another one begins.
    fn flush(&mut self) {
        if let Some(partial) = self.partial.take() {
            self.blocks.push((partial.number, partial.bytes));
        }
    }

    fn begin_block(&mut self) -> BlockNumber {
        self.block_began = true;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Compares with the header of this segment, which also tells whether the open block is complete.
    fn close(&mut self, header: &SegmentHeader) -> Result<(), BlockReconstructionError> {
        let last = header.last_archived_block();
        let ends_within_block = last.archived_progress != ArchivedBlockProgress::Complete;
        // A partial block may only be missing here when its beginning lies before the first segment.
        let unexplained_partial = ends_within_block && self.partial.is_none() && self.block_began;
        if last.number != self.next.wrapping_sub(1) || unexplained_partial {
            return Err(BlockReconstructionError::WrongHeader {
                segment_index: self.segment_index,
            });
        }
        if let Some(partial) = &self.partial {
            check_progress(partial, last.number, last.archived_progress)?;
            if !ends_within_block {
                self.flush();
            }
        }
        Ok(())
    }
}

fn check_progress(
    partial: &PartialBlock,
    number: BlockNumber,
    progress: ArchivedBlockProgress,
) -> Result<(), BlockReconstructionError> {
    let length_matches = match progress {
        ArchivedBlockProgress::Complete => true,
        ArchivedBlockProgress::Partial(archived) => partial.bytes.len() == archived as usize,
    };
    if partial.number == number && length_matches {
        Ok(())
    } else {
        Err(BlockReconstructionError::WrongProgress {
            number: partial.number,
            found: partial.bytes.len(),
            expected: progress,
        })
    }
}

//! What a segment is made of, as its header and the one before it say.

use crate::headers::HeaderChain;
use std::ops::RangeInclusive;
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

/// One segment to make: independent of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPlan {
    /// Its header.
    pub header: SegmentHeader,
    /// Header of the segment before it, `None` for segment 0.
    pub before: Option<SegmentHeader>,
}

impl SegmentPlan {
    /// Plan of a segment; `None` when there is no header of it.
    pub fn of(headers: &HeaderChain, segment_index: SegmentIndex) -> Option<Self> {
        let index = usize::try_from(segment_index.get()).ok()?;
        let before = match index.checked_sub(1) {
            Some(before) => Some(*headers.as_slice().get(before)?),
            None => None,
        };
        Some(Self {
            header: *headers.as_slice().get(index)?,
            before,
        })
    }

    /// Which segment.
    pub fn segment_index(&self) -> SegmentIndex {
        self.header.segment_index()
    }

    /// Whether the segment begins inside of the first of its blocks.
    pub fn begins_inside(&self) -> bool {
        self.before
            .is_some_and(|before| before.last_archived_block().partial_archived().is_some())
    }

    /// Blocks with bytes in the segment. Never empty for headers of a [`HeaderChain`].
    pub fn blocks(&self) -> RangeInclusive<BlockNumber> {
        let first = match self.before {
            None => 0,
            Some(before) => {
                let number = before.last_archived_block().number;
                if self.begins_inside() {
                    number
                } else {
                    // A chain of headers advances, so there is a later block.
                    number.saturating_add(1)
                }
            }
        };
        first..=self.header.last_archived_block().number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::hashes::Blake3Hash;
    use subspace_core_primitives::segments::{ArchivedBlockProgress, LastArchivedBlock, SegmentCommitment};

    fn header(segment_index: u64, number: u32, archived_progress: ArchivedBlockProgress) -> SegmentHeader {
        SegmentHeader::V0 {
            segment_index: SegmentIndex::new(segment_index),
            segment_commitment: SegmentCommitment::default(),
            prev_segment_header_hash: Blake3Hash::default(),
            last_archived_block: LastArchivedBlock {
                number,
                archived_progress,
            },
        }
    }

    #[test]
    fn blocks_follow_from_two_headers() {
        let first = header(0, 0, ArchivedBlockProgress::Partial(130_023_418));
        let second = header(1, 7, ArchivedBlockProgress::Complete);
        let third = header(2, 9, ArchivedBlockProgress::Partial(3));
        let plan = |header, before| SegmentPlan { header, before };
        assert_eq!(plan(first, None).blocks(), 0..=0);
        assert_eq!(plan(second, Some(first)).blocks(), 0..=7);
        assert_eq!(plan(third, Some(second)).blocks(), 8..=9);
        assert!(plan(second, Some(first)).begins_inside() && !plan(third, Some(second)).begins_inside());
    }
}

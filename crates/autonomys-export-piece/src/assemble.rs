//! A segment out of its blocks.

use crate::error::SegmentError;
use crate::plan::SegmentPlan;
use bytes::Bytes;
use subspace_archiving::{RawSegment, SegmentAssembler};
use subspace_core_primitives::objects::BlockObjectMapping;

/// A segment that is being filled, block by block in the order of [`SegmentPlan::blocks`]. Holds up to a segment of blocks (124 MiB), while
/// it is finished the same again.
pub struct Assembly {
    plan: SegmentPlan,
    /// `None` until the block is there in which the segment begins.
    assembler: Option<SegmentAssembler>,
}

impl Assembly {
    /// An empty one.
    ///
    /// # Errors
    /// When the header before it leaves no room for another segment.
    pub fn new(plan: SegmentPlan) -> Result<Self, SegmentError> {
        let assembler = match plan.before {
            None => Some(SegmentAssembler::new()),
            Some(_) if plan.begins_inside() => None,
            Some(before) => Some(SegmentAssembler::resume(
                before,
                &[],
                BlockObjectMapping::default(),
            )?),
        };
        Ok(Self { plan, assembler })
    }

    /// Adds the archived bytes of the next block.
    ///
    /// # Errors
    /// When they do not continue what the header before says.
    pub fn push(&mut self, block: Bytes) -> Result<(), SegmentError> {
        match (&mut self.assembler, self.plan.before) {
            (Some(assembler), _) => assembler.push_block(block, BlockObjectMapping::default())?,
            (None, Some(before)) => {
                let assembler = SegmentAssembler::resume(before, &block, BlockObjectMapping::default())?;
                self.assembler = Some(assembler);
            }
            (None, None) => return Err(SegmentError::NotFull),
        }
        Ok(())
    }

    /// The segment, once all its blocks are there. `None` when the block behind the last one is needed too: it has no bytes in the
    /// segment, but without it the last few free bytes could still take something.
    ///
    /// # Errors
    /// When it ends elsewhere than its header says.
    pub fn finish(&mut self) -> Result<Option<RawSegment>, SegmentError> {
        let Some(raw) = self.assembler.as_mut().and_then(SegmentAssembler::next_segment) else {
            return Ok(None);
        };
        let expected = self.plan.header.last_archived_block();
        if raw.last_archived_block != expected {
            return Err(SegmentError::WrongEnd {
                expected,
                found: raw.last_archived_block,
            });
        }
        Ok(Some(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_archiving::Segment;
    use subspace_archiving::SegmentItem;
    use subspace_archiving::encoding::{BlockHeader, SignedBlock, encode_genesis_block};
    use subspace_core_primitives::segments::{
        ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE, SegmentCommitment,
        SegmentHeader,
    };

    const SIZE: usize = RECORDED_HISTORY_SEGMENT_SIZE;

    /// Archives blocks one after the other as a node does, without commitments; gives plans and raw segments.
    fn archive(blocks: &[Bytes]) -> Vec<(SegmentPlan, RawSegment)> {
        let mut assembler = SegmentAssembler::new();
        let mut before = None;
        let mut segments = Vec::new();
        for block in blocks {
            assembler
                .push_block(block.clone(), BlockObjectMapping::default())
                .unwrap();
            while let Some(raw) = assembler.next_segment() {
                let header = SegmentHeader::V0 {
                    segment_index: raw.segment_index,
                    segment_commitment: SegmentCommitment::default(),
                    prev_segment_header_hash: raw.prev_segment_header_hash,
                    last_archived_block: raw.last_archived_block,
                };
                assembler.accept_header(header).unwrap();
                segments.push((SegmentPlan { header, before }, raw));
                before = Some(header);
            }
        }
        segments
    }

    fn genesis() -> Bytes {
        let header = BlockHeader {
            parent_hash: [0; 32],
            number: 0,
            state_root: [7; 32],
            extrinsics_root: [0; 32],
            digest_items: Vec::new(),
        };
        encode_genesis_block(&SignedBlock {
            header,
            extrinsics: Vec::new(),
            justifications: Vec::new(),
        })
        .into()
    }

    /// Every segment, made by itself, is the one of the archiver that saw all blocks.
    fn assert_parallel_equals_sequential(
        blocks: &[Bytes],
        extra_blocks: usize,
    ) -> Vec<(SegmentPlan, RawSegment)> {
        let segments = archive(blocks);
        let mut extra = 0;
        for (plan, raw) in &segments {
            let mut assembly = Assembly::new(*plan).unwrap();
            let range = plan.blocks();
            for block in &blocks[*range.start() as usize..=*range.end() as usize] {
                assembly.push(block.clone()).unwrap();
            }
            let found = assembly.finish().unwrap().unwrap_or_else(|| {
                extra += 1;
                assembly.push(blocks[*range.end() as usize + 1].clone()).unwrap();
                assembly.finish().unwrap().unwrap()
            });
            assert_eq!(found.segment_index, raw.segment_index);
            assert!(found.bytes == raw.bytes, "segment {}", raw.segment_index);
        }
        assert_eq!(extra, extra_blocks);
        segments
    }

    fn block(length: usize) -> Bytes {
        vec![0xab; length].into()
    }

    /// Length of block 1 with which segment 1 has `left` bytes left: it begins with version, header and the last bytes of genesis.
    fn length_that_leaves(left: usize) -> usize {
        const BEFORE: usize = 1 + (1 + 98) + (1 + 1 + 6);
        SIZE - left - BEFORE - 5
    }

    #[test]
    fn genesis_ends_in_segment_one() {
        let blocks = [genesis(), block(SIZE), block(70)];
        let segments = assert_parallel_equals_sequential(&blocks, 0);
        let last = segments[0].0.header.last_archived_block();
        assert_eq!(
            last,
            LastArchivedBlock {
                number: 0,
                archived_progress: ArchivedBlockProgress::Partial(130_023_418),
            }
        );
        let items = Segment::decode(&segments[1].1.bytes.clone().into())
            .unwrap()
            .items;
        assert_eq!(
            items[1],
            SegmentItem::BlockContinuation(blocks[0].slice(SIZE - 6..))
        );
    }

    #[test]
    fn ends_of_segments() {
        // Nothing left; a part of the next block; a part of it whose length prefix shrinks; too little for any part of it.
        for (left, next, extra_blocks) in [
            (0, 500, 0),
            (2, 500, 0),
            (200, 500, 0),
            (40, 100, 0),
            (4, 70_000_000, 1),
            (3, 70_000, 1),
        ] {
            let blocks = [
                genesis(),
                block(length_that_leaves(left)),
                block(next),
                block(SIZE),
            ];
            let segments = assert_parallel_equals_sequential(&blocks, extra_blocks);
            assert!(segments.len() >= 2, "{left} {next}");
        }
    }

    #[test]
    fn other_blocks_are_noticed() {
        let blocks = [genesis(), block(length_that_leaves(200)), block(500), block(SIZE)];
        let (plan, _) = archive(&blocks)[1];
        let finish = |blocks: &[Bytes]| {
            let mut assembly = Assembly::new(plan).unwrap();
            blocks
                .iter()
                .for_each(|block| assembly.push(block.clone()).unwrap());
            assembly.finish()
        };
        assert!(finish(&blocks[..2]).unwrap().is_none());
        let shorter = [genesis(), block(length_that_leaves(201)), block(500)];
        let error = finish(&shorter).unwrap_err().to_string();
        assert!(error.contains("ends at"), "{error}");
        let mut assembly = Assembly::new(plan).unwrap();
        assert!(assembly.push(block(10)).is_err());
    }
}

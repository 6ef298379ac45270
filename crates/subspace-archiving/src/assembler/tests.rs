use super::*;
use crate::reconstruction::BlockReconstructor;
use crate::segment::Segment;
use proptest::collection::vec;
use proptest::prelude::*;
use subspace_core_primitives::segments::SegmentCommitment;

/// Small enough for many segments in a test, large enough for a header, a continuation and blocks.
const SMALL_SEGMENT: usize = 700;

/// A header as the archiver would make it, with a made-up commitment.
fn header_of(raw: &RawSegment) -> SegmentHeader {
    SegmentHeader::V0 {
        segment_index: raw.segment_index,
        segment_commitment: SegmentCommitment([raw.segment_index.get() as u8; 48]),
        prev_segment_header_hash: raw.prev_segment_header_hash,
        last_archived_block: raw.last_archived_block,
    }
}

fn drain(assembler: &mut SegmentAssembler) -> (Vec<(RawSegment, SegmentHeader)>, Vec<GlobalObject>) {
    let mut segments = Vec::new();
    let mut objects = Vec::new();
    while let Some(raw) = assembler.next_segment() {
        let header = header_of(&raw);
        assembler.accept_header(header).unwrap();
        objects.extend(raw.objects.iter().copied());
        segments.push((raw, header));
    }
    objects.extend(assembler.take_object_mappings());
    (segments, objects)
}

fn block(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|index| (number * 31 + index) as u8).collect()
}

fn assemble(blocks: &[Vec<u8>]) -> Vec<(RawSegment, SegmentHeader)> {
    let mut assembler = SegmentAssembler::with_segment_size(SMALL_SEGMENT);
    let mut segments = Vec::new();
    for block in blocks {
        assembler
            .push_block(block.clone(), BlockObjectMapping::default())
            .unwrap();
        segments.extend(drain(&mut assembler).0);
    }
    segments
}

/// Literal transcription of the rules with items kept in a list, to compare the assembler with.
fn expected_ends(sizes: &[usize]) -> Vec<LastArchivedBlock> {
    let mut ends = Vec::new();
    let mut header_size = 0;
    let mut rest = 0;
    let mut last = NOTHING_ARCHIVED;
    let mut queue: VecDeque<usize> = sizes.iter().copied().collect();
    loop {
        let mut size = 1 + header_size;
        let mut next = last;
        let mut continuing = rest > 0;
        while size < SMALL_SEGMENT - 2 {
            let length = if continuing {
                rest
            } else {
                queue.front().copied().unwrap_or(usize::MAX)
            };
            if length == usize::MAX {
                return ends;
            }
            let full = size + bytes_item_size(length);
            if full >= SMALL_SEGMENT && full - SMALL_SEGMENT > length {
                break;
            }
            let spilled = full.saturating_sub(SMALL_SEGMENT);
            let before = if continuing {
                last.partial_archived().unwrap()
            } else {
                0
            };
            if !continuing {
                queue.pop_front();
                if next != NOTHING_ARCHIVED {
                    next.number += 1;
                }
            }
            next.archived_progress = if spilled > 0 {
                ArchivedBlockProgress::Partial(before + (length - spilled) as u32)
            } else {
                ArchivedBlockProgress::Complete
            };
            continuing = false;
            rest = spilled;
            size = full;
        }
        header_size = if next.partial_archived().is_some() { 99 } else { 95 };
        ends.push(next);
        last = next;
    }
}

proptest! {
    #[test]
    fn segments_give_back_the_blocks(sizes in vec(prop_oneof![0_usize..40, 60..70_usize, 500..720_usize, 0..3000_usize], 1..25)) {
        let blocks: Vec<_> = sizes.iter().enumerate().map(|(number, size)| block(number, *size)).collect();
        let segments = assemble(&blocks);
        let ends: Vec<_> = segments.iter().map(|(raw, _)| raw.last_archived_block).collect();
        prop_assert_eq!(&ends, &expected_ends(&sizes));

        let mut with_headers = BlockReconstructor::new();
        let mut without_headers = BlockReconstructor::new();
        let mut first = Vec::new();
        let mut second = Vec::new();
        for (raw, header) in &segments {
            prop_assert_eq!(raw.bytes.len(), SMALL_SEGMENT);
            let segment = Segment::decode(&raw.bytes.clone().into()).unwrap();
            first.extend(with_headers.add_segment(&segment, Some(header)).unwrap().blocks);
            second.extend(without_headers.add_segment(&segment, None).unwrap().blocks);
        }
        // With headers every block comes as soon as it is archived completely.
        let complete = match ends.last() {
            None => 0,
            Some(last) => last.number as usize + usize::from(last.partial_archived().is_none()),
        };
        let expected: Vec<_> = (0..).zip(blocks.iter().take(complete).cloned()).collect();
        prop_assert_eq!(&first, &expected);
        // Without, a block that ends exactly with the last segment may still be open.
        prop_assert!(first.starts_with(&second) && first.len() - second.len() <= 1);
    }

    #[test]
    fn resuming_behind_any_header_gives_the_same_segments(sizes in vec(0_usize..1500, 2..15)) {
        let blocks: Vec<_> = sizes.iter().enumerate().map(|(number, size)| block(number, *size)).collect();
        let segments = assemble(&blocks);
        for (index, (_, header)) in segments.iter().enumerate() {
            let last = header.last_archived_block().number as usize;
            let mut assembler = SegmentAssembler::resume_with_segment_size(
                SMALL_SEGMENT, *header, &blocks[last], BlockObjectMapping::default(),
            ).unwrap();
            prop_assert_eq!(assembler.next_block_number(), Some(last as u32 + 1));
            let mut resumed = drain(&mut assembler).0;
            for block in &blocks[last + 1..] {
                assembler.push_block(block.clone(), BlockObjectMapping::default()).unwrap();
                resumed.extend(drain(&mut assembler).0);
            }
            prop_assert_eq!(&resumed[..], &segments[index + 1..]);

            // A reconstructor that starts here leaves out the block that began earlier.
            let mut reconstructor = BlockReconstructor::new();
            let partial = header.last_archived_block().partial_archived().is_some();
            let mut numbers = Vec::new();
            for (raw, header) in &segments[index + 1..] {
                let segment = Segment::decode(&raw.bytes.clone().into()).unwrap();
                let found = reconstructor.add_segment(&segment, Some(header)).unwrap();
                prop_assert!(found.blocks.iter().all(|(number, bytes)| &blocks[*number as usize] == bytes));
                numbers.extend(found.blocks.into_iter().map(|(number, _)| number));
            }
            prop_assert!(numbers.first().is_none_or(|first| *first == last as u32 + 1), "{partial} {numbers:?}");
        }
    }

    #[test]
    fn every_object_is_reported_once_at_its_place(sizes in vec(1_usize..1500, 1..12)) {
        let mut assembler = SegmentAssembler::with_segment_size(SMALL_SEGMENT);
        let mut raw_segments = Vec::new();
        let mut objects = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let mapping = [0, *size / 2, *size - 1].map(|offset| BlockObject {
                hash: Blake3Hash([block(number, *size)[offset]; 32]),
                offset: offset as u32,
            });
            assembler.push_block(block(number, *size), BlockObjectMapping::V0 { objects: mapping.to_vec() }).unwrap();
            let (segments, reported) = drain(&mut assembler);
            prop_assert_eq!(reported.len(), 3);
            raw_segments.extend(segments);
            objects.extend(reported);
        }
        for object in objects {
            // A small segment lies in its first raw record.
            prop_assert_eq!(object.piece_index.position(), 0);
            let segment = object.piece_index.segment_index().get() as usize;
            if let Some((raw, _)) = raw_segments.get(segment) {
                prop_assert_eq!(raw.bytes[object.offset as usize], object.hash[0]);
            }
        }
    }
}

#[test]
fn header_must_come_back_before_anything_else() {
    let mut assembler = SegmentAssembler::with_segment_size(SMALL_SEGMENT);
    let mapping = BlockObjectMapping::default;
    let stray = header_of(&RawSegment {
        segment_index: SegmentIndex::ZERO,
        prev_segment_header_hash: Blake3Hash::default(),
        last_archived_block: NOTHING_ARCHIVED,
        bytes: Vec::new(),
        objects: Vec::new(),
    });
    assert!(matches!(
        assembler.accept_header(stray),
        Err(AssemblerError::UnexpectedHeader { expected: None, .. })
    ));
    assembler
        .push_block(vec![1; 2 * SMALL_SEGMENT], mapping())
        .unwrap();
    let raw = assembler.next_segment().unwrap();
    assert_eq!(assembler.next_segment(), None);
    assert!(matches!(
        assembler.push_block(vec![], mapping()),
        Err(AssemblerError::HeaderMissing { .. })
    ));
    assert!(matches!(
        assembler.accept_header(stray),
        Err(AssemblerError::UnexpectedHeader {
            expected: Some(_),
            ..
        })
    ));
    assembler.accept_header(header_of(&raw)).unwrap();
    assert!(assembler.next_segment().is_some());
}

#[test]
fn resuming_needs_more_of_the_block_than_is_archived() {
    let mut assembler = SegmentAssembler::with_segment_size(SMALL_SEGMENT);
    assembler
        .push_block(vec![1; 1000], BlockObjectMapping::default())
        .unwrap();
    let header = header_of(&assembler.next_segment().unwrap());
    let archived = header.last_archived_block().partial_archived().unwrap() as usize;
    let resume = |block: &[u8]| SegmentAssembler::resume(header, block, BlockObjectMapping::default());
    assert!(matches!(
        resume(&[]),
        Err(AssemblerError::NothingLeftOfBlock {
            number: 0,
            size: 0,
            ..
        })
    ));
    assert!(resume(&vec![1; archived]).is_err());
    assert!(resume(&vec![1; archived + 1]).is_ok());
}

#[test]
fn block_numbers_end() {
    let header = SegmentHeader::V0 {
        segment_index: SegmentIndex::new(u64::MAX),
        segment_commitment: SegmentCommitment::default(),
        prev_segment_header_hash: Blake3Hash::default(),
        last_archived_block: LastArchivedBlock {
            number: BlockNumber::MAX,
            archived_progress: ArchivedBlockProgress::Complete,
        },
    };
    let mut assembler = SegmentAssembler::resume(header, &[], BlockObjectMapping::default()).unwrap();
    assert_eq!(
        assembler.push_block(vec![1], BlockObjectMapping::default()),
        Err(AssemblerError::BlockNumbersExhausted)
    );
}

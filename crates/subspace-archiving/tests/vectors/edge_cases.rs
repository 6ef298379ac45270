//! `archiving_edge_cases.json`: segments whose end falls on every awkward place.

use crate::archiving::check_header;
use crate::environment::{all_pieces_hash, described_items, tools};
use autonomys_test_support::section;
use std::mem;
use subspace_archiving::reconstruction::reconstruct_raw_segment;
use subspace_archiving::{Archiver, BlockReconstructor, Segment, SegmentItem};
use subspace_core_primitives::objects::BlockObjectMapping;
use subspace_core_primitives::segments::{ArchivedBlockProgress, SegmentHeader};

/// What the reconstructor behind the vectors reports, from what is true. It drops a block whose start in a segment is
/// empty, notices the end of a block that ends exactly with a segment one segment late and under number 0, and reports an
/// empty block 0 behind any other segment that ends with a complete block.
#[derive(Default)]
struct Defects {
    dropped: Vec<u32>,
    late: usize,
}

impl Defects {
    fn reported(
        &mut self,
        parent: Option<&SegmentHeader>,
        header: &SegmentHeader,
        segment: &Segment,
        truth: &[(u32, usize)],
    ) -> Vec<(u32, usize)> {
        let last = header.last_archived_block();
        let mut reported = Vec::new();
        if parent.is_some_and(|parent| parent.last_archived_block().partial_archived().is_none()) {
            reported.push((0, mem::take(&mut self.late)));
        }
        reported.extend(truth.iter().filter(|(number, _)| !self.dropped.contains(number)));
        let ends_with_continuation = matches!(segment.items.last(), Some(SegmentItem::BlockContinuation(_)));
        if last.partial_archived().is_none()
            && ends_with_continuation
            && let Some((_, size)) = reported.pop_if(|(number, _)| *number == last.number)
        {
            self.late = size;
        }
        if last.partial_archived() == Some(0) {
            self.dropped.push(last.number);
        }
        reported
    }
}

/// The blocks whose last byte lies in the segment.
fn completed_blocks(
    parent: Option<&SegmentHeader>,
    header: &SegmentHeader,
    sizes: &[usize],
) -> Vec<(u32, usize)> {
    let first_open = |header: &SegmentHeader| {
        let last = header.last_archived_block();
        last.number + u32::from(last.archived_progress == ArchivedBlockProgress::Complete)
    };
    (parent.map_or(0, first_open)..first_open(header))
        .map(|number| (number, sizes[number as usize]))
        .collect()
}

#[test]
fn awkward_segment_ends() {
    let Some(tools) = tools("awkward_segment_ends") else {
        return;
    };
    let section = section("archiving_edge_cases.json", "cases");
    for case in section.root().items() {
        println!("case {}", case.get("name").str());
        let sizes: Vec<_> = case
            .get("block_sizes")
            .items()
            .iter()
            .map(|size| size.usize())
            .collect();
        let mut archiver = Archiver::new(tools.kzg.clone(), tools.erasure_coding);
        let mut reconstructor = BlockReconstructor::new();
        let mut defects = Defects::default();
        let mut expected_segments = case.get("segments").items().into_iter();
        let mut last_block = None;
        for (index, size) in sizes.iter().enumerate() {
            let block = vec![index as u8 + 1; *size];
            let outcome = archiver
                .add_block(block, BlockObjectMapping::default(), &tools.pool)
                .unwrap();
            assert!(outcome.global_objects.is_empty());
            for segment in outcome.archived_segments {
                let expected = expected_segments.next().expect("no more segments than expected");
                let header = segment.segment_header;
                check_header(&header, &expected.get("header"));
                last_block = Some(header.last_archived_block().number);
                assert_eq!(
                    all_pieces_hash(&segment.pieces),
                    expected.get("all_pieces_blake3").array()
                );

                let pieces: Vec<_> = segment.pieces.into_iter().map(Some).collect();
                let raw = reconstruct_raw_segment(&pieces, &tools.erasure_coding, &tools.pool).unwrap();
                assert_eq!(
                    *blake3::hash(&raw).as_bytes(),
                    expected.get("raw_segment_blake3").array()
                );
                let decoded = Segment::decode(&raw.into()).unwrap();
                let items = expected.get("items").items();
                assert_eq!(items.len(), decoded.items.len());
                for (expected, (kind, length, _)) in items.iter().zip(described_items(&decoded)) {
                    let [expected_kind, expected_length] = &expected.items()[..] else {
                        panic!("a pair")
                    };
                    assert_eq!((kind, length), (expected_kind.str(), expected_length.usize()));
                }

                let found = reconstructor.add_segment(&decoded, Some(&header)).unwrap();
                let reported: Vec<_> = expected
                    .get("reconstructor_blocks")
                    .items()
                    .iter()
                    .map(|block| {
                        let [number, size] = &block.items()[..] else {
                            panic!("a pair")
                        };
                        (number.u32(), size.usize())
                    })
                    .collect();
                let parent = found.parent_segment_header.as_ref();
                let lengths: Vec<_> = found
                    .blocks
                    .iter()
                    .map(|(number, bytes)| (*number, bytes.len()))
                    .collect();
                let truth = completed_blocks(parent, &header, &sizes);
                assert_eq!(lengths, truth);
                assert_eq!(reported, defects.reported(parent, &header, &decoded, &truth));
                for (number, bytes) in &found.blocks {
                    assert!(
                        bytes.iter().all(|byte| *byte == *number as u8 + 1),
                        "contents of block {number}"
                    );
                }
            }
        }
        assert!(expected_segments.next().is_none(), "fewer segments than expected");
        assert_eq!(last_block, Some(case.get("last_archived_block_number").u32()));
    }
    section.finish();
}

//! `archiving_edge_cases.json`: segments whose end falls on every awkward place.

use crate::archiving::check_header;
use crate::environment::{all_pieces_hash, described_items, tools};
use autonomys_test_support::section;
use subspace_archiving::reconstruction::reconstruct_raw_segment;
use subspace_archiving::{Archiver, BlockReconstructor, Segment};
use subspace_core_primitives::objects::BlockObjectMapping;
use subspace_core_primitives::segments::{ArchivedBlockProgress, SegmentHeader};

/// What the vector's reconstructor should have returned: it drops the block that follows an empty block start, and
/// reports an empty block 0 behind a segment that ended with a complete block.
fn without_known_defects(
    parent: Option<&SegmentHeader>,
    reported: &[(u32, usize)],
    sizes: &[usize],
) -> Vec<(u32, usize)> {
    let mut blocks = reported.to_vec();
    let last = parent.map(SegmentHeader::last_archived_block);
    match last.map(|last| (last.number, last.archived_progress)) {
        Some((_, ArchivedBlockProgress::Complete)) => assert_eq!(blocks.remove(0), (0, 0)),
        Some((number, ArchivedBlockProgress::Partial(0))) => {
            blocks.insert(0, (number, sizes[number as usize]));
        }
        _ => {}
    }
    blocks
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
                assert_eq!(lengths, without_known_defects(parent, &reported, &sizes));
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

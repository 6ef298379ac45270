//! `archiving_checks.json`: blocks from segments, resuming, segment encodings.

use crate::environment::{History, Tools, block_bytes, block_sizes, history, tools};
use autonomys_test_support::{Node, section, xof};
use bytes::Bytes;
use subspace_archiving::{Archiver, BlockReconstructor, Segment, SegmentItem, reconstruct_segment};
use subspace_core_primitives::objects::BlockObjectMapping;

fn segment_of(tools: &Tools, history: &History, index: usize) -> Segment {
    let pieces: Vec<_> = history.segments[index]
        .1
        .pieces
        .iter()
        .cloned()
        .map(Some)
        .collect();
    reconstruct_segment(&pieces, &tools.erasure_coding, &tools.pool).unwrap()
}

fn check_blocks(found: &[(u32, Vec<u8>)], expected: &Node<'_>) {
    let expected = expected.items();
    assert_eq!(found.len(), expected.len());
    for (expected, (number, bytes)) in expected.iter().zip(found) {
        let [expected_number, length, hash] = &expected.items()[..] else {
            panic!("three values a block")
        };
        assert_eq!((*number, bytes.len()), (expected_number.u32(), length.usize()));
        assert_eq!(*blake3::hash(bytes).as_bytes(), hash.array());
    }
}

#[test]
fn blocks_come_back_from_all_segments() {
    let Some(tools) = tools("blocks_come_back_from_all_segments") else {
        return;
    };
    let section = section("archiving_checks.json", "reconstructor_all_segments");
    let history = history(tools);
    let mut reconstructor = BlockReconstructor::new();
    for (index, expected) in section.root().items().iter().enumerate() {
        let segment = segment_of(tools, history, index);
        let found = reconstructor.add_segment(&segment, None).unwrap();
        let parent = expected.get("parent_segment_header_hash");
        let expected_parent = (!parent.is_null()).then(|| parent.array());
        assert_eq!(
            found.parent_segment_header.map(|header| header.hash().0),
            expected_parent
        );
        check_blocks(&found.blocks, &expected.get("blocks"));
    }
    section.finish();
}

#[test]
fn a_block_that_began_earlier_is_left_out() {
    let Some(tools) = tools("a_block_that_began_earlier_is_left_out") else {
        return;
    };
    let section = section("archiving_checks.json", "reconstructor_starting_at_segment_1");
    let history = history(tools);
    let mut reconstructor = BlockReconstructor::new();
    for (index, expected) in section.root().items().iter().enumerate() {
        let header = history.segments[index + 1].1.segment_header;
        let found = reconstructor
            .add_segment(&segment_of(tools, history, index + 1), Some(&header))
            .unwrap();
        check_blocks(&found.blocks, &expected.get("blocks"));
    }
    section.finish();
}

#[test]
fn resuming_gives_the_next_segment_again() {
    let Some(tools) = tools("resuming_gives_the_next_segment_again") else {
        return;
    };
    let section = section("archiving_checks.json", "resume");
    let expected = section.root();
    let history = history(tools);
    let sizes = block_sizes();
    let from = expected.get("initial_segment_header").usize();
    let given = expected.get("last_block_given").u32();
    let header = history.segments[from].1.segment_header;
    assert_eq!(header.last_archived_block().number, given);
    // Whether the reference committed records early has no influence on the result.
    expected.get("incremental").bool();

    let bytes = |number: u32| block_bytes(number.into(), sizes[number as usize]);
    let (kzg, erasure_coding) = (tools.kzg.clone(), tools.erasure_coding);
    let mut archiver = Archiver::with_initial_state(
        kzg,
        erasure_coding,
        header,
        &bytes(given),
        BlockObjectMapping::default(),
    )
    .unwrap();
    let mut number = given;
    let segment = loop {
        number += 1;
        let outcome = archiver
            .add_block(bytes(number), BlockObjectMapping::default(), &tools.pool)
            .unwrap();
        if let Some(segment) = outcome.archived_segments.into_iter().next() {
            break segment;
        }
    };
    assert_eq!(
        segment.segment_header.hash().0,
        expected.get("next_segment_header_hash").array()
    );
    let mut comparisons = 0;
    for (name, equal) in expected.fields() {
        if let Some(index) = name.strip_prefix("equals_segment_") {
            let original = &history.segments[index.parse::<usize>().unwrap()].1;
            let same = segment.segment_header == original.segment_header && segment.pieces == original.pieces;
            assert_eq!(same, equal.bool());
            comparisons += 1;
        }
    }
    assert_eq!(comparisons, 1);
    section.finish();
}

/// Items of a description such as `Block(63), Block(64)` or `3 Padding`.
fn described_segment(description: &str, source: &dyn Fn(usize) -> Bytes, tools: &Tools) -> Segment {
    let mut items = Vec::new();
    if description == "no items" {
        return Segment { items };
    }
    for part in description.split(", ") {
        let (name, argument) = part.split_once('(').unwrap_or((part, ")"));
        let argument = argument.strip_suffix(')').unwrap();
        let length = || argument.parse::<usize>().unwrap();
        items.push(match name {
            "Block" => SegmentItem::Block(source(length())),
            "BlockStart" => SegmentItem::BlockStart(source(length())),
            "BlockContinuation" => SegmentItem::BlockContinuation(source(length())),
            "ParentSegmentHeader" => {
                let index = argument
                    .strip_prefix("header of segment ")
                    .unwrap()
                    .parse::<usize>()
                    .unwrap();
                SegmentItem::ParentSegmentHeader(history(tools).segments[index].1.segment_header)
            }
            "Padding" => SegmentItem::Padding(1),
            _ => SegmentItem::Padding(name.strip_suffix(" Padding").unwrap().parse().unwrap()),
        });
    }
    Segment { items }
}

#[test]
fn segments_encode_as_described() {
    let Some(tools) = tools("segments_encode_as_described") else {
        return;
    };
    let section = section("archiving_checks.json", "segment_codec");
    let label = section.root().get("byte_source_label").str().to_string();
    let source = |length| Bytes::from(xof(&label, length));
    for case in section.root().get("cases").items() {
        let segment = described_segment(case.get("items").str(), &source, tools);
        let encoded = segment.encode();
        assert_eq!(encoded.len(), case.get("len").usize());
        let scale = case.get("scale");
        if !scale.is_null() {
            assert_eq!(encoded, scale.bytes());
        }
        assert_eq!(encoded[..encoded.len().min(16)], case.get("first_16").bytes());
        assert_eq!(*blake3::hash(&encoded).as_bytes(), case.get("blake3").array());
        let round_trips = Segment::decode(&encoded.into()).as_ref() == Ok(&segment);
        assert_eq!(round_trips, case.get("round_trips").bool());
    }
    section.finish();
}

//! Boundary cases over keystream blocks, checked by the hash of the raw segment alone: no commitments are computed, the
//! expected ones complete the headers.

use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use parity_scale_codec::{Decode, Encode};
use subspace_archiving::{RawSegment, Segment, SegmentAssembler, SegmentItem};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::objects::{BlockObject, BlockObjectMapping, GlobalObject};
use subspace_core_primitives::segments::{RECORDED_HISTORY_SEGMENT_SIZE, SegmentHeader};

const FIRST_HEADER: &str = "000000000000000000abcdb2b02b04fb496520607d5fafed7c0ae23cdea2eb22f99761795d810b13de88ca0ce01c\
187e604fe6a65916f0d2af00000000000000000000000000000000000000000000000000000000000000000000000001faffbf07";
const FIRST_HEADER_HASH: &str = "8ff4254b1de050fadf162ef558c587eeb34b338234c106bf2b8c659ddc84f2d3";

fn keystream(key: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8::new(&[key; 32].into(), &[0; 12].into()).apply_keystream(&mut bytes);
    bytes
}

fn header(text: &str) -> SegmentHeader {
    SegmentHeader::decode(&mut &hex::decode(text).unwrap()[..]).unwrap()
}

/// Compares the raw segment and everything of the header but its commitment.
fn check(raw: &RawSegment, hash: &str, expected: &SegmentHeader) {
    assert_eq!(blake3::hash(&raw.bytes).to_hex().as_str(), hash);
    assert_eq!(raw.segment_index, expected.segment_index());
    assert_eq!(raw.prev_segment_header_hash, expected.prev_segment_header_hash());
    assert_eq!(raw.last_archived_block, expected.last_archived_block());
}

fn add(assembler: &mut SegmentAssembler, block: Vec<u8>) -> Vec<GlobalObject> {
    add_with_objects(assembler, block, &[])
}

fn add_with_objects(
    assembler: &mut SegmentAssembler,
    block: Vec<u8>,
    offsets: &[usize],
) -> Vec<GlobalObject> {
    let objects = offsets
        .iter()
        .map(|offset| BlockObject {
            hash: Blake3Hash::default(),
            offset: *offset as u32,
        })
        .collect();
    assembler
        .push_block(block, BlockObjectMapping::V0 { objects })
        .unwrap();
    assembler.take_object_mappings()
}

fn places(objects: &[GlobalObject]) -> Vec<(u64, u32)> {
    objects
        .iter()
        .map(|object| (object.piece_index.get(), object.offset))
        .collect()
}

#[test]
fn two_segments_from_genesis_with_objects() {
    let first_header = header(FIRST_HEADER);
    assert_eq!(hex::encode(first_header.encode()), FIRST_HEADER);
    assert_eq!(first_header.hash().to_string(), FIRST_HEADER_HASH);
    let mut assembler = SegmentAssembler::new();
    assembler
        .push_block(
            keystream(0, RECORDED_HISTORY_SEGMENT_SIZE),
            BlockObjectMapping::default(),
        )
        .unwrap();
    let raw = assembler.next_segment().unwrap();
    check(
        &raw,
        "a9991e2970e359a7a0d26674b43d56568881ff7b3f1af013ed1f4ff67c57fe0e",
        &first_header,
    );
    assembler.accept_header(first_header).unwrap();
    assert!(assembler.next_segment().is_none());

    let objects = add_with_objects(&mut assembler, keystream(1, 1000), &[0, 10, 990]);
    assert_eq!(places(&objects), [(256, 111), (256, 121), (256, 1101)]);
    let offsets = [0, 2_000_000, RECORDED_HISTORY_SEGMENT_SIZE - 10];
    let mapping = offsets.map(|offset| BlockObject {
        hash: Blake3Hash::default(),
        offset: offset as u32,
    });
    assembler
        .push_block(
            keystream(2, RECORDED_HISTORY_SEGMENT_SIZE),
            BlockObjectMapping::V0 {
                objects: mapping.to_vec(),
            },
        )
        .unwrap();
    let raw = assembler.next_segment().unwrap();
    let second_header = header(&format!(
        "000100000000000000a50f12d9d9199edc1e2d78905f067b830a9c4975623c8dd29acc5e697aa3d5d37ee6c1147c1de0c820d2c2d8f023da3c\
         {FIRST_HEADER_HASH}0200000001a4fbbf07"
    ));
    assert_eq!(
        second_header.hash().to_string(),
        "9889a10ff1e6ae609e8c1481f9826083ae61fc8715f2ed8496a72eb03af82169"
    );
    check(
        &raw,
        "5cc4643b398be037fa8210a09c41e1c470b3bdb0a3b3fc459881e523c8bfe98b",
        &second_header,
    );
    assembler.accept_header(second_header).unwrap();
    let mut objects = raw.objects;
    objects.extend(assembler.take_object_mappings());
    assert_eq!(places(&objects), [(256, 1116), (258, 985_308), (512, 1209)]);
}

#[test]
fn block_starts_that_leave_padding_behind() {
    let resume = |first_block: Vec<u8>| {
        let block = keystream(0, RECORDED_HISTORY_SEGMENT_SIZE);
        let objects = BlockObjectMapping::default();
        let mut assembler = SegmentAssembler::resume(header(FIRST_HEADER), &block, objects).unwrap();
        assert!(add(&mut assembler, first_block).is_empty());
        assert!(assembler.next_segment().is_none());
        add(&mut assembler, keystream(4, 30_000));
        assembler.next_segment().unwrap()
    };
    let last_items = |raw: RawSegment| {
        let mut items = Segment::decode(&raw.bytes.into()).unwrap().items;
        (items.pop().unwrap(), items.pop().unwrap())
    };
    let expected = |commitment: &str, end: &str| {
        header(&format!("000100000000000000{commitment}{FIRST_HEADER_HASH}{end}"))
    };

    let raw = resume(keystream(3, 130_006_924));
    let commitment =
        "8000ca273b50722ec2582c85c80ed3111ceb3fd6b379c9959a974e2fe9494fb222f0acc3d266a1f06cfdf01beaf9e50c";
    check(
        &raw,
        "3cb08e7c981dfc0a27dc7f8ed164e762d6b0d40a4265b7c6634ccff17dd0e4fa",
        &expected(commitment, "0200000001fe3f0000"),
    );
    let (padding, start) = last_items(raw);
    assert_eq!(padding, SegmentItem::Padding(2));
    assert_eq!(start.encoded_size(), 1 + 2 + 16_382);

    let raw = resume(vec![0; RECORDED_HISTORY_SEGMENT_SIZE - 118]);
    let commitment =
        "9677abe8af0388e52aeadd13d3106bd1b268f7e8e335aff9c3289a960842fb15d84d4a085a48fbbab484d09331d5f9f4";
    check(
        &raw,
        "ef0bc17b794dab3eff5a5caec84106341d78f701ab028e4236ea8100be060f90",
        &expected(commitment, "020000000100000000"),
    );
    let (padding, start) = last_items(raw);
    assert_eq!(padding, SegmentItem::Padding(3));
    assert_eq!(start, SegmentItem::BlockStart(Default::default()));

    let raw = resume(vec![0; RECORDED_HISTORY_SEGMENT_SIZE - 117]);
    let commitment =
        "b3c4bce276ef9446d2896d7c547a3500d67264663a421acc0a8b02730eaba10c623edef2a3e99065d0bdc2f623f0f7d8";
    check(
        &raw,
        "2ca3551e0cd78d710a0799433bf04277b1b9160aa4cc1f8c630617431a3bb387",
        &expected(commitment, "0100000000"),
    );
    let (padding, block) = last_items(raw);
    assert_eq!(padding, SegmentItem::Padding(4));
    assert!(matches!(block, SegmentItem::Block(_)));
}

//! `archiving.json`: blocks in, objects, headers, raw segments and pieces out.

use crate::environment::{all_pieces_hash, block_bytes, described_items, history, object_mapping, tools};
use autonomys_test_support::{Node, label, section, xof};
use parity_scale_codec::{Decode, Encode};
use subspace_archiving::Segment;
use subspace_archiving::reconstruction::reconstruct_raw_segment;
use subspace_core_primitives::pieces::Piece;
use subspace_core_primitives::segments::{ArchivedBlockProgress, SegmentHeader};

/// Compares a header with the fields of a vector.
pub(crate) fn check_header(header: &SegmentHeader, expected: &Node<'_>) {
    assert_eq!(header.segment_index().get(), expected.get("segment_index").u64());
    assert_eq!(header.encode(), expected.get("scale").bytes());
    assert_eq!(
        SegmentHeader::decode(&mut &expected.get("scale").bytes()[..]).as_ref(),
        Ok(header)
    );
    assert_eq!(header.hash().0, expected.get("hash").array());
    assert_eq!(
        header.segment_commitment().0,
        expected.get("segment_commitment").array()
    );
    assert_eq!(
        header.prev_segment_header_hash().0,
        expected.get("prev_segment_header_hash").array()
    );
    let last = header.last_archived_block();
    assert_eq!(last.number, expected.get("last_archived_block_number").u32());
    let partial = expected.get("last_archived_block_partial_bytes");
    let progress = if partial.is_null() {
        ArchivedBlockProgress::Complete
    } else {
        ArchivedBlockProgress::Partial(partial.u32())
    };
    assert_eq!(last.archived_progress, progress);
}

#[test]
fn blocks_yield_objects_and_segments() {
    let Some(tools) = tools("blocks_yield_objects_and_segments") else {
        return;
    };
    let section = section("archiving.json", "blocks");
    let history = history(tools);
    let blocks = section.root().items();
    assert_eq!(blocks.len(), history.blocks.len());
    for (block, added) in blocks.iter().zip(&history.blocks) {
        let number = block.get("number").u64();
        assert_eq!(added.number, number);
        let bytes = block_bytes(number, block.get("size").usize());
        assert_eq!(*blake3::hash(&bytes).as_bytes(), block.get("blake3").array());
        for (index, object) in object_mapping(&block.get("objects")).objects().iter().enumerate() {
            let name = label(&format!("archiving/object/{number}/{index}"));
            assert_eq!(object.hash.as_ref(), xof(&name, 32));
        }
        let expected = block.get("global_objects_returned").items();
        assert_eq!(expected.len(), added.global_objects.len(), "block {number}");
        for (expected, object) in expected.iter().zip(&added.global_objects) {
            let [hash, piece_index, offset] = &expected.items()[..] else {
                panic!("an object is a triple")
            };
            assert_eq!(object.hash.0, hash.array());
            assert_eq!(object.piece_index.get(), piece_index.u64());
            assert_eq!(object.offset, offset.u32());
        }
        assert_eq!(added.segments, block.get("segments_returned").usize());
    }
    section.finish();
}

fn check_samples(pieces: &[Piece], samples: &Node<'_>) {
    for sample in samples.items() {
        let piece = &pieces[sample.get("position").usize()];
        for (name, chunk) in sample.fields() {
            if let Some(index) = name.strip_prefix("record_chunk_") {
                assert_eq!(
                    piece.record_chunks()[index.parse::<usize>().unwrap()],
                    chunk.array()
                );
            } else {
                assert_eq!(name, "position");
            }
        }
    }
}

#[test]
fn segments_have_the_headers_items_and_pieces() {
    let Some(tools) = tools("segments_have_the_headers_items_and_pieces") else {
        return;
    };
    let section = section("archiving.json", "segments");
    let history = history(tools);
    let segments = section.root().items();
    assert_eq!(segments.len(), history.segments.len());
    for (expected, (created_by, segment)) in segments.iter().zip(&history.segments) {
        assert_eq!(*created_by, expected.get("created_when_adding_block").u64());
        check_header(&segment.segment_header, &expected.get("header"));
        assert_eq!(
            serde_json::to_value(segment.segment_header).unwrap(),
            *expected.get("header_json").value()
        );

        let all: Vec<_> = segment.pieces.iter().cloned().map(Some).collect();
        let raw = reconstruct_raw_segment(&all, &tools.erasure_coding, &tools.pool).unwrap();
        assert_eq!(raw.len(), expected.get("raw_segment_len").usize());
        assert_eq!(
            *blake3::hash(&raw).as_bytes(),
            expected.get("raw_segment_blake3").array()
        );
        assert_eq!(raw[..16], expected.get("raw_segment_first_16").bytes());
        assert_eq!(raw[raw.len() - 16..], expected.get("raw_segment_last_16").bytes());

        let decoded = Segment::decode(&raw.into()).unwrap();
        let items = expected.get("items").items();
        assert_eq!(items.len(), decoded.items.len());
        for (expected, (kind, length, hash)) in items.iter().zip(described_items(&decoded)) {
            let fields = expected.items();
            assert_eq!((kind, length), (fields[0].str(), fields[1].usize()));
            if let Some(expected_hash) = fields.get(2).filter(|field| !field.is_null()) {
                assert_eq!(hash, expected_hash.array());
            }
        }

        assert_eq!(
            all_pieces_hash(&segment.pieces),
            expected.get("all_pieces_blake3").array()
        );
        check_samples(&segment.pieces, &expected.get("piece_samples"));
        let pieces = expected.get("pieces_blake3_commitment_witness").items();
        assert_eq!(pieces.len(), segment.pieces.len());
        for (expected, piece) in pieces.iter().zip(&segment.pieces) {
            let [hash, commitment, witness] = &expected.items()[..] else {
                panic!("three values a piece")
            };
            assert_eq!(piece.hash().0, hash.array());
            assert_eq!(piece.commitment().0, commitment.array());
            assert_eq!(piece.witness().0, witness.array());
        }
    }
    section.finish();
}

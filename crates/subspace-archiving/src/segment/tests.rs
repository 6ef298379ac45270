use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, SegmentCommitment, SegmentIndex,
};

fn header(segment_index: u64, number: u32, partial: Option<u32>) -> SegmentHeader {
    SegmentHeader::V0 {
        segment_index: SegmentIndex::new(segment_index),
        segment_commitment: SegmentCommitment([3; 48]),
        prev_segment_header_hash: Blake3Hash([4; 32]),
        last_archived_block: LastArchivedBlock {
            number,
            archived_progress: partial
                .map_or(ArchivedBlockProgress::Complete, ArchivedBlockProgress::Partial),
        },
    }
}

fn item() -> impl Strategy<Value = SegmentItem> {
    // Lengths around the steps of the compact integer.
    let length = prop_oneof![0_usize..200, 60_usize..70, 16_380_usize..16_390];
    let contents = (length, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length]));
    (
        contents,
        0_u8..4,
        any::<u64>(),
        any::<u32>(),
        any::<Option<u32>>(),
    )
        .prop_map(|(contents, kind, index, number, partial)| match kind {
            0 => SegmentItem::Block(contents),
            1 => SegmentItem::BlockStart(contents),
            2 => SegmentItem::BlockContinuation(contents),
            _ => SegmentItem::ParentSegmentHeader(header(index, number, partial)),
        })
}

proptest! {
    #[test]
    fn segment_round_trips(mut items in vec(item(), 0..12), padding in 0_usize..20) {
        if padding > 0 {
            items.push(SegmentItem::Padding(padding));
        }
        let segment = Segment { items };
        let encoded = Bytes::from(segment.encode());
        prop_assert_eq!(encoded.len(), segment.encoded_size());
        prop_assert_eq!(Segment::decode(&encoded), Ok(segment));
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(0_u8..8, 0..300)) {
        if let Some(version) = bytes.first_mut() {
            *version = SEGMENT_VERSION;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(segment) = Segment::decode(&bytes) {
            prop_assert_eq!(segment.encode(), bytes);
        }
    }
}

#[test]
fn header_item_has_99_bytes_when_partial_and_95_when_complete() {
    assert_eq!(
        SegmentItem::ParentSegmentHeader(header(0, 1, Some(2))).encoded_size(),
        99
    );
    assert_eq!(
        SegmentItem::ParentSegmentHeader(header(0, 1, None)).encoded_size(),
        95
    );
}

#[test]
fn malformed_segments_are_refused_with_their_place() {
    let decode = |bytes: &[u8]| Segment::decode(&Bytes::copy_from_slice(bytes));
    assert_eq!(decode(&[]), Err(SegmentDecodeError::Empty));
    assert_eq!(
        decode(&[1]),
        Err(SegmentDecodeError::UnknownVersion { version: 1 })
    );
    assert_eq!(
        decode(&[0, 0, 5]),
        Err(SegmentDecodeError::UnknownItem { offset: 2, kind: 5 })
    );
    // Three bytes promised, two there; no length at all; half a header.
    assert_eq!(
        decode(&[0, 1, 12, 9, 9]),
        Err(SegmentDecodeError::MalformedItem { offset: 1 })
    );
    assert_eq!(
        decode(&[0, 1]),
        Err(SegmentDecodeError::MalformedItem { offset: 1 })
    );
    assert_eq!(
        decode(&[0, 4, 0, 0]),
        Err(SegmentDecodeError::MalformedItem { offset: 1 })
    );
    // A length beyond any segment must not be allocated.
    assert_eq!(
        decode(&[0, 3, 0xfe, 0xff, 0xff, 0xff]),
        Err(SegmentDecodeError::MalformedItem { offset: 1 })
    );
}

#[test]
fn hostile_number_of_items_is_refused() {
    let mut bytes = vec![SEGMENT_VERSION];
    for _ in 0..=MAX_SEGMENT_ITEMS {
        bytes.extend([kind::BLOCK, 0]);
    }
    assert_eq!(
        Segment::decode(&Bytes::from(bytes)),
        Err(SegmentDecodeError::TooManyItems)
    );
}

use super::*;
use bytes::Bytes;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{LastArchivedBlock, SegmentCommitment};

const COMPLETE: ArchivedBlockProgress = ArchivedBlockProgress::Complete;

fn partial(bytes: u32) -> ArchivedBlockProgress {
    ArchivedBlockProgress::Partial(bytes)
}

/// Header of the segment after `parent` (of segment 0 without one).
fn header(
    parent: Option<&SegmentHeader>,
    number: BlockNumber,
    progress: ArchivedBlockProgress,
) -> SegmentHeader {
    SegmentHeader::V0 {
        segment_index: parent.map_or(SegmentIndex::ZERO, |parent| {
            parent.segment_index() + SegmentIndex::ONE
        }),
        segment_commitment: SegmentCommitment::default(),
        prev_segment_header_hash: parent.map_or(Blake3Hash::default(), SegmentHeader::hash),
        last_archived_block: LastArchivedBlock {
            number,
            archived_progress: progress,
        },
    }
}

fn bytes(length: usize) -> Bytes {
    (0..length).map(|index| index as u8).collect()
}

fn segment(parent: Option<&SegmentHeader>, items: impl IntoIterator<Item = SegmentItem>) -> Segment {
    let parent = parent.map(|header| SegmentItem::ParentSegmentHeader(*header));
    Segment {
        items: parent.into_iter().chain(items).collect(),
    }
}

fn numbers(found: &ReconstructedBlocks) -> Vec<(BlockNumber, usize)> {
    found
        .blocks
        .iter()
        .map(|(number, bytes)| (*number, bytes.len()))
        .collect()
}

#[test]
fn empty_block_start_opens_a_block() {
    let first = header(None, 1, partial(0));
    let second = header(Some(&first), 2, COMPLETE);
    let start = segment(
        None,
        [
            SegmentItem::Block(bytes(9)),
            SegmentItem::BlockStart(bytes(0)),
            SegmentItem::Padding(3),
        ],
    );
    let end = segment(
        Some(&first),
        [
            SegmentItem::BlockContinuation(bytes(7)),
            SegmentItem::Block(bytes(4)),
        ],
    );
    let mut reconstructor = BlockReconstructor::new();
    assert_eq!(
        numbers(&reconstructor.add_segment(&start, Some(&first)).unwrap()),
        [(0, 9)]
    );
    let found = reconstructor.add_segment(&end, Some(&second)).unwrap();
    assert_eq!(numbers(&found), [(1, 7), (2, 4)]);
    assert_eq!(found.blocks[0].1, bytes(7));
    assert_eq!(found.parent_segment_header, Some(first));
}

#[test]
fn a_block_that_ends_with_its_segment_comes_with_the_header_or_one_segment_later() {
    let first = header(None, 0, partial(5));
    let second = header(Some(&first), 0, COMPLETE);
    let third = header(Some(&second), 1, COMPLETE);
    let segments = [
        (segment(None, [SegmentItem::BlockStart(bytes(5))]), first),
        (
            segment(Some(&first), [SegmentItem::BlockContinuation(bytes(2))]),
            second,
        ),
        (segment(Some(&second), [SegmentItem::Block(bytes(3))]), third),
    ];
    let run = |with_header: bool| {
        let mut reconstructor = BlockReconstructor::new();
        let add = |(segment, header): &(Segment, SegmentHeader)| {
            numbers(
                &reconstructor
                    .add_segment(segment, with_header.then_some(header))
                    .unwrap(),
            )
        };
        segments.iter().map(add).collect::<Vec<_>>()
    };
    assert_eq!(run(true), [vec![], vec![(0, 7)], vec![(1, 3)]]);
    assert_eq!(run(false), [vec![], vec![], vec![(0, 7), (1, 3)]]);
}

#[test]
fn a_huge_block_whose_beginning_is_unknown_is_left_out() {
    let zero = header(None, 3, partial(10));
    let first = header(Some(&zero), 3, partial(30));
    let second = header(Some(&first), 4, partial(2));
    let mut reconstructor = BlockReconstructor::new();
    let middle = segment(Some(&zero), [SegmentItem::BlockContinuation(bytes(20))]);
    assert_eq!(
        numbers(&reconstructor.add_segment(&middle, Some(&first)).unwrap()),
        []
    );
    let end = segment(
        Some(&first),
        [
            SegmentItem::BlockContinuation(bytes(20)),
            SegmentItem::BlockStart(bytes(2)),
        ],
    );
    assert_eq!(
        numbers(&reconstructor.add_segment(&end, Some(&second)).unwrap()),
        []
    );
}

#[test]
fn contradictions_are_refused_and_forgotten() {
    use BlockReconstructionError as E;
    let first = header(None, 0, partial(5));
    let start = segment(None, [SegmentItem::BlockStart(bytes(5))]);
    let rest = || {
        [
            SegmentItem::BlockContinuation(bytes(1)),
            SegmentItem::Block(bytes(1)),
        ]
    };
    // Feeds the sound first segment, then `second`; what comes back must be an error, and the reconstructor fresh.
    let refuse = |second: &Segment, own_header: Option<&SegmentHeader>| {
        let mut reconstructor = BlockReconstructor::new();
        reconstructor.add_segment(&start, Some(&first)).unwrap();
        let error = reconstructor.add_segment(second, own_header).unwrap_err();
        assert_eq!(numbers(&reconstructor.add_segment(&start, None).unwrap()), []);
        error
    };

    let far = header(Some(&header(Some(&first), 1, COMPLETE)), 2, COMPLETE);
    assert!(matches!(
        refuse(&segment(Some(&far), []), None),
        E::NotConsecutive { .. }
    ));
    assert!(matches!(refuse(&start, None), E::NotConsecutive { .. }));
    let other_history = header(None, 0, partial(6));
    assert!(matches!(
        refuse(&segment(Some(&other_history), rest()), None),
        E::WrongParent { .. }
    ));

    let sound = segment(Some(&first), rest());
    for wrong in [
        far,
        header(Some(&other_history), 1, COMPLETE),
        header(Some(&first), 2, COMPLETE),
        header(Some(&first), 1, partial(1)),
    ] {
        assert!(
            matches!(refuse(&sound, Some(&wrong)), E::WrongHeader { .. }),
            "{wrong:?}"
        );
    }
    let spread = segment(
        Some(&first),
        [
            SegmentItem::BlockContinuation(bytes(1)),
            SegmentItem::BlockStart(bytes(3)),
        ],
    );
    let wrong = header(Some(&first), 1, partial(4));
    assert_eq!(
        refuse(&spread, Some(&wrong)),
        E::WrongProgress {
            number: 1,
            found: 3,
            expected: partial(4)
        }
    );

    let misplaced = |items: Vec<SegmentItem>| refuse(&segment(Some(&first), items), None);
    let continuation = || SegmentItem::BlockContinuation(bytes(1));
    for (items, item) in [
        (vec![SegmentItem::Block(bytes(1))], 1),
        (vec![SegmentItem::Padding(1)], 1),
        (vec![continuation(), continuation()], 2),
        (vec![continuation(), SegmentItem::ParentSegmentHeader(first)], 2),
        (
            vec![
                continuation(),
                SegmentItem::Padding(1),
                SegmentItem::Block(bytes(1)),
            ],
            3,
        ),
        (
            vec![
                continuation(),
                SegmentItem::BlockStart(bytes(1)),
                SegmentItem::Block(bytes(1)),
            ],
            3,
        ),
    ] {
        let segment_index = SegmentIndex::ONE;
        assert_eq!(misplaced(items), E::UnexpectedItem { segment_index, item });
    }
}

//! Judging with real commitments over a segment that has two pieces that matter.

use super::*;
use std::sync::LazyLock;
use subspace_core_primitives::pieces::{RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::NUM_PIECES_IN_SEGMENT;
use subspace_kzg::reference_string::ReferenceString;
use subspace_kzg::{Kzg, Polynomial, Scalar};

/// Positions of the pieces in their segment.
const POSITIONS: [u64; 2] = [0, 200];

struct Fixture {
    rules: ChainRules,
    pieces: [Piece; 2],
}

/// The commitments of the other 254 records are of nothing; their pieces are never looked at.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool));
    let records: Vec<Vec<u8>> = POSITIONS
        .iter()
        .map(|position| {
            let mut record = vec![0; subspace_core_primitives::pieces::RECORD_SIZE];
            blake3::Hasher::new()
                .update(&position.to_le_bytes())
                .finalize_xof()
                .fill(&mut record);
            // Below the group order.
            record.chunks_mut(32).for_each(|chunk| chunk[0] = 0);
            record
        })
        .collect();
    let commitments: Vec<RecordCommitment> = records
        .iter()
        .map(|record| {
            let scalars: Vec<Scalar> = record
                .as_chunks::<32>()
                .0
                .iter()
                .map(|chunk| Scalar::try_from_bytes(chunk).unwrap())
                .collect();
            kzg.commit_values(&scalars).unwrap().into()
        })
        .collect();
    let mut values = vec![Scalar::try_from_bytes(&[0; 32]).unwrap(); NUM_PIECES_IN_SEGMENT];
    for (position, commitment) in POSITIONS.iter().zip(&commitments) {
        values[*position as usize] = Scalar::try_from(commitment.hash_to_scalar()).unwrap();
    }
    let polynomial = Polynomial::interpolate(&values).unwrap();
    let mut pieces =
        POSITIONS
            .iter()
            .zip(&records)
            .zip(&commitments)
            .map(|((position, record), commitment)| {
                let witness: RecordWitness = kzg
                    .create_witness(&polynomial, NUM_PIECES_IN_SEGMENT, *position as u32)
                    .unwrap()
                    .into();
                Piece::from_parts(record, commitment, &witness).unwrap()
            });
    let pieces = [pieces.next().unwrap(), pieces.next().unwrap()];
    let commitment = kzg.commit(&polynomial).unwrap().into();
    Fixture {
        rules: ChainRules::new(kzg, pool, &[commitment]),
        pieces,
    }
});

fn judge(coding: &str) -> Judge {
    Judge {
        rules: FIXTURE.rules.clone(),
        coding: coding.parse().unwrap(),
    }
}

fn whole(position: u64, bytes: Option<Bytes>) -> ItemCopy {
    ItemCopy {
        key: CacheKey::piece(PieceIndex::new(position)),
        bytes,
        damaged: false,
    }
}

fn piece(number: usize) -> Bytes {
    FIXTURE.pieces[number].as_bytes().clone()
}

/// One bit is another one.
fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// All shards of a piece, one copy each.
fn shards(coding: ItemCoding, number: usize) -> Vec<ItemCopy> {
    (0..)
        .zip(coding.encode(&piece(number)).unwrap())
        .map(|(shard, bytes)| ItemCopy {
            key: coding.key(PieceIndex::new(POSITIONS[number]), shard),
            bytes: Some(bytes),
            damaged: false,
        })
        .collect()
}

fn faults(judge: &Judge, copies: &[ItemCopy]) -> Vec<Option<Fault>> {
    judge.faults(copies, &judge.right_pieces(copies))
}

#[test]
fn whole_pieces() {
    let judge = judge("piece");
    let [first, last] = POSITIONS;
    let copies = [
        whole(first, Some(piece(0))),
        whole(first, Some(flipped(&piece(0), 77))),
        whole(first, Some(piece(0))),
        whole(last, Some(piece(1))),
        whole(last, None),
        // A good piece in the place of another one, a piece that is too short, and one of a segment that is not there.
        whole(last, Some(piece(0))),
        whole(last, Some(piece(1).slice(1..))),
        whole(256 + first, Some(piece(0))),
    ];
    let expected = [
        None,
        Some(Fault::WrongPiece),
        None,
        None,
        Some(Fault::NotGiven),
        Some(Fault::WrongPiece),
        Some(Fault::WrongPiece),
        Some(Fault::UnknownSegment),
    ];
    assert_eq!(faults(&judge, &copies), expected);
}

#[test]
fn sound_shards_are_sound_and_parity_is_compared() {
    let judge = judge("split-parity-piece:4+2");
    let mut copies = [shards(judge.coding, 0), shards(judge.coding, 1)].concat();
    assert_eq!(faults(&judge, &copies), vec![None; 12]);
    let parity = copies[5].bytes.clone().unwrap();
    copies[5].bytes = Some(flipped(&parity, 0));
    let found = faults(&judge, &copies);
    assert_eq!(found[5], Some(Fault::WrongShard));
    assert_eq!(found.iter().flatten().count(), 1);
}

#[test]
fn the_bad_shards_are_told_from_the_good_ones() {
    let judge = judge("split-parity-piece:4+2");
    let mut copies = shards(judge.coding, 0);
    for bad in [0, 3] {
        let bytes = copies[bad].bytes.clone().unwrap();
        copies[bad].bytes = Some(flipped(&bytes, 100));
    }
    let expected = [
        Some(Fault::WrongShard),
        None,
        None,
        Some(Fault::WrongShard),
        None,
        None,
    ];
    assert_eq!(faults(&judge, &copies), expected);
    // A third one leaves too few, so nothing can be said of any, until the piece comes from elsewhere.
    let bytes = copies[4].bytes.clone().unwrap();
    copies[4].bytes = Some(flipped(&bytes, 5));
    assert_eq!(faults(&judge, &copies), [Some(Fault::Unverifiable); 6]);
    let mut right = judge.right_pieces(&copies);
    judge.keep_right(
        [(PieceIndex::new(POSITIONS[0]), flipped(&piece(0), 3))],
        &mut right,
    );
    assert!(right.is_empty(), "what comes from elsewhere is checked as well");
    judge.keep_right([(PieceIndex::new(POSITIONS[0]), piece(0))], &mut right);
    let found = judge.faults(&copies, &right);
    assert_eq!(found.iter().flatten().count(), 3);
    assert_eq!((found[1], found[2], found[5]), (None, None, None));
}

#[test]
fn a_whole_copy_judges_the_shards() {
    let judge = judge("split-piece:4");
    let mut copies = shards(judge.coding, 1);
    let bytes = copies[2].bytes.clone().unwrap();
    copies[2].bytes = Some(flipped(&bytes, 9));
    copies[3].bytes = None;
    copies.push(whole(POSITIONS[1], Some(piece(1))));
    let expected = [None, None, Some(Fault::WrongShard), Some(Fault::NotGiven), None];
    assert_eq!(faults(&judge, &copies), expected);
}

#[test]
fn combinations_take_each_number_once_and_come_in_order() {
    let all = |numbers: &[u16], needed| combinations(numbers.to_vec(), needed).collect::<Vec<_>>();
    assert_eq!(all(&[0, 1, 2], 2), [vec![0, 1], vec![0, 2], vec![1, 2]]);
    assert_eq!(all(&[0, 0, 1], 2), [vec![0, 2], vec![1, 2]]);
    assert_eq!(all(&[0, 1, 2, 3, 4, 5], 4).len(), 15);
    assert!(all(&[0], 2).is_empty() && all(&[], 1).is_empty() && all(&[1], 0).is_empty());
}

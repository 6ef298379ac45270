//! `archiving_checks.json`: validity of pieces, damaged in every way.

use crate::environment::{history, tools};
use autonomys_test_support::section;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_archiving::{is_piece_valid, is_record_commitment_hash_valid};
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};

fn with_byte(piece: &Piece, index: usize, change: impl FnOnce(u8) -> u8) -> Piece {
    let mut bytes = piece.as_ref().to_vec();
    bytes[index] = change(bytes[index]);
    Piece::from_bytes(bytes.into()).unwrap()
}

fn with_parts(piece: &Piece, commitment: &RecordCommitment, witness: &RecordWitness) -> Piece {
    Piece::from_parts(piece.record_bytes(), commitment, witness).unwrap()
}

#[test]
fn damaged_pieces_are_invalid() {
    let Some(tools) = tools("damaged_pieces_are_invalid") else {
        return;
    };
    let section = section("archiving_checks.json", "piece_validity");
    let segments = &history(tools).segments;
    // Every variant again through the batched check; the expected answers in the same order.
    let mut batch = Vec::new();
    let mut expected_of_batch = Vec::new();
    for case in section.root().items() {
        let segment = &segments[case.get("segment").usize()].1;
        let position = case.get("position").u32();
        let piece = &segment.pieces[position as usize];
        let next_position = (position + 1) % segment.pieces.len() as u32;
        let next = &segment.pieces[next_position as usize];
        let commitment = segment.segment_header.segment_commitment();
        let next_commitment = with_parts(piece, &next.commitment(), &piece.witness());
        for (name, expected) in case.fields() {
            let (piece, commitment, position) = match name {
                "segment" | "position" => continue,
                "record_commitment_hash_valid" | "record_commitment_hash_valid_next_position" => {
                    let position = if name.ends_with("next_position") {
                        next_position
                    } else {
                        position
                    };
                    let valid = is_record_commitment_hash_valid(
                        &tools.kzg,
                        &piece.commitment(),
                        &piece.witness(),
                        &commitment,
                        position,
                    );
                    assert_eq!(valid, expected.bool(), "{}", expected.path());
                    continue;
                }
                "valid" => (piece.clone(), commitment, position),
                "valid_at_next_position" => (piece.clone(), commitment, next_position),
                "valid_with_commitment_of_next_piece" => (next_commitment.clone(), commitment, position),
                "valid_with_witness_of_next_piece" => (
                    with_parts(piece, &piece.commitment(), &next.witness()),
                    commitment,
                    position,
                ),
                "valid_with_witness_zeroed" => (
                    with_parts(piece, &piece.commitment(), &RecordWitness::default()),
                    commitment,
                    position,
                ),
                _ => {
                    if let Some(other) = name.strip_prefix("valid_with_commitment_of_segment_") {
                        let other = &segments[other.parse::<usize>().unwrap()].1;
                        (piece.clone(), other.segment_header.segment_commitment(), position)
                    } else {
                        let change = name
                            .strip_prefix("valid_with_record_byte_")
                            .expect("a known check");
                        let change = change.split(' ').next().unwrap();
                        let damaged = if let Some((index, mask)) = change.split_once("_xor_") {
                            let mask: u8 = mask.parse().unwrap();
                            with_byte(piece, index.parse().unwrap(), |byte| byte ^ mask)
                        } else {
                            let (index, value) = change.split_once("_set_to_").expect("a known change");
                            let value = u8::from_str_radix(value, 16).unwrap();
                            with_byte(piece, index.parse().unwrap(), |_| value)
                        };
                        (damaged, commitment, position)
                    }
                }
            };
            let expected_valid = expected.bool();
            assert_eq!(
                is_piece_valid(&tools.kzg, &piece, &commitment, position),
                expected_valid,
                "{}",
                expected.path()
            );
            expected_of_batch.push(expected_valid);
            batch.push(PieceToCheck {
                piece,
                segment_commitment: commitment,
                position,
            });
        }
    }
    let expected: Vec<_> = expected_of_batch
        .iter()
        .enumerate()
        .filter(|(_, valid)| !**valid)
        .map(|(index, _)| index)
        .collect();
    assert_eq!(find_invalid_pieces(&tools.kzg, &batch, &tools.pool), expected);
    section.finish();
}

#[test]
fn a_whole_segment_is_validated_at_once() {
    let Some(tools) = tools("a_whole_segment_is_validated_at_once") else {
        return;
    };
    let segment = &history(tools).segments[0].1;
    let segment_commitment = segment.segment_header.segment_commitment();
    let mut batch: Vec<_> = (0..)
        .zip(segment.pieces.iter().cloned())
        .map(|(position, piece)| PieceToCheck {
            piece,
            segment_commitment,
            position,
        })
        .collect();
    assert_eq!(
        find_invalid_pieces(&tools.kzg, &batch, &tools.pool),
        Vec::<usize>::new()
    );
    batch[77].piece = with_byte(&batch[77].piece, 1000, |byte| byte ^ 4);
    batch[200].piece = with_parts(
        &batch[200].piece,
        &batch[200].piece.commitment(),
        &batch[201].piece.witness(),
    );
    assert_eq!(find_invalid_pieces(&tools.kzg, &batch, &tools.pool), [77, 200]);
}

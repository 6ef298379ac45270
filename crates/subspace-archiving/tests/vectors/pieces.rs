//! `archiving_checks.json`: segments and pieces from half of the pieces.

use crate::environment::{history, tools};
use autonomys_test_support::section;
use subspace_archiving::PiecesReconstructor;
use subspace_archiving::reconstruction::{
    PiecesReconstructionError, SegmentReconstructionError, reconstruct_raw_segment,
};
use subspace_core_primitives::pieces::Piece;

/// Which positions a description such as `only positions >= 128` means.
fn is_present(description: &str, position: usize) -> bool {
    let number = |text: &str| {
        let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().unwrap()
    };
    if description.contains("odd positions") {
        position % 2 == 1
    } else if description.contains("even positions") {
        position.is_multiple_of(2)
    } else if let Some((_, formula)) = description.split_once("(i*") {
        // (i*a + b) mod m < n
        let (formula, limit) = formula.split_once('<').unwrap();
        let (formula, modulus) = formula.split_once(") mod ").unwrap();
        let (factor, offset) = formula.split_once('+').unwrap();
        (position * number(factor) + number(offset)) % number(modulus) < number(limit)
    } else if let Some((_, limit)) = description.split_once("positions >=") {
        position >= number(limit)
    } else if let Some((_, limit)) = description.split_once("positions <") {
        position < number(limit)
    } else {
        panic!("unknown description of positions: {description}")
    }
}

fn not_enough(present: usize) -> PiecesReconstructionError {
    SegmentReconstructionError::NotEnoughPieces { present }.into()
}

#[test]
fn half_of_the_pieces_is_enough() {
    let Some(tools) = tools("half_of_the_pieces_is_enough") else {
        return;
    };
    let section = section("archiving_checks.json", "reconstruction");
    let segments = &history(tools).segments;
    let reconstructor = PiecesReconstructor::new(tools.kzg.clone(), tools.erasure_coding);
    for case in section.root().items() {
        let segment = &segments[case.get("segment").usize()].1;
        let commitment = segment.segment_header.segment_commitment();
        let description = case.get("present").str();
        let pieces: Vec<_> = segment
            .pieces
            .iter()
            .enumerate()
            .map(|(position, piece)| is_present(description, position).then(|| piece.clone()))
            .collect();
        let present = pieces.iter().flatten().count();
        assert_eq!(present, case.get("num_present").usize());

        if let Some(hash) = case.try_get("segment_reconstructed_raw_blake3") {
            let raw = reconstruct_raw_segment(&pieces, &tools.erasure_coding, &tools.pool);
            if case.get("segment_error").is_null() {
                assert_eq!(*blake3::hash(&raw.unwrap()).as_bytes(), hash.array());
            } else {
                assert!(hash.is_null() && !case.get("segment_error").str().is_empty());
                assert_eq!(raw, Err(SegmentReconstructionError::NotEnoughPieces { present }));
            }
        }
        if let Some(equal) = case.try_get("all_pieces_equal_original") {
            let all = reconstructor.reconstruct_pieces(&pieces, &commitment, &tools.pool);
            if case.get("pieces_error").is_null() {
                assert_eq!(all.unwrap() == segment.pieces, equal.bool());
            } else {
                assert!(equal.is_null() && !case.get("pieces_error").str().is_empty());
                assert_eq!(all, Err(not_enough(present)));
            }
        }
        if let Some(position) = case.try_get("single_piece_position") {
            let position = position.u32();
            let piece = reconstructor.reconstruct_piece(&pieces, &commitment, position, &tools.pool);
            let (hash, equal) = (
                case.get("single_piece_blake3"),
                case.get("single_piece_equals_original"),
            );
            if case.get("single_piece_error").is_null() {
                let piece = piece.unwrap();
                assert_eq!(piece.hash().0, hash.array());
                assert_eq!(piece == segment.pieces[position as usize], equal.bool());
            } else {
                assert!(
                    hash.is_null() && equal.is_null() && !case.get("single_piece_error").str().is_empty()
                );
                assert_eq!(piece, Err(not_enough(present)));
            }
        }
    }
    section.finish();
}

#[test]
fn corrupt_input_is_named_and_never_passed_on() {
    let Some(tools) = tools("corrupt_input_is_named_and_never_passed_on") else {
        return;
    };
    let segments = &history(tools).segments;
    let segment = &segments[0].1;
    let commitment = segment.segment_header.segment_commitment();
    let reconstructor = PiecesReconstructor::new(tools.kzg.clone(), tools.erasure_coding);
    let mut pieces: Vec<_> = segment.pieces.iter().cloned().map(Some).collect();
    for piece in &mut pieces[100..228] {
        *piece = None;
    }
    let reconstruct =
        |pieces: &[Option<Piece>]| reconstructor.reconstruct_piece(pieces, &commitment, 101, &tools.pool);

    let damage = |index: usize| {
        let mut bytes = segment.pieces[20].as_ref().to_vec();
        bytes[index] ^= 1;
        let mut damaged = pieces.clone();
        damaged[20] = Some(Piece::from_bytes(bytes.into()).unwrap());
        damaged
    };
    let corrupt = || Err(PiecesReconstructionError::CorruptPieces { positions: vec![20] });
    assert_eq!(reconstruct(&damage(4095)), corrupt());

    // A commitment of another piece; its witness tells whose.
    let mut swapped = pieces.clone();
    let (record, other) = (segment.pieces[20].record_bytes(), &segment.pieces[22]);
    swapped[20] = Some(Piece::from_parts(record, &other.commitment(), &other.witness()).unwrap());
    assert_eq!(reconstruct(&swapped), corrupt());
    let (commitment_20, witness_22) = (segment.pieces[20].commitment(), other.witness());
    swapped[20] = Some(Piece::from_parts(record, &commitment_20, &witness_22).unwrap());
    assert_eq!(
        reconstruct(&swapped).as_ref(),
        Ok(&segment.pieces[101]),
        "the witness is not needed"
    );
    assert_eq!(
        reconstructor
            .reconstruct_pieces(&swapped, &commitment, &tools.pool)
            .as_ref(),
        Ok(&segment.pieces)
    );

    // A sound segment, but not the wanted one.
    let other = segments[1].1.segment_header.segment_commitment();
    assert_eq!(
        reconstructor.reconstruct_pieces(&pieces, &other, &tools.pool),
        Err(PiecesReconstructionError::WrongSegmentCommitment {
            segment_commitment: other
        })
    );
}

//! Pieces come back from every sufficient choice of parts, and nothing hostile is taken.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use subspace_core_primitives::pieces::Piece;

fn coding(text: &str) -> ItemCoding {
    text.parse().unwrap()
}

/// Bytes that differ everywhere.
fn piece(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    reader.fill(&mut bytes);
    bytes
}

fn numbered(parts: &[Bytes]) -> Vec<(u16, Bytes)> {
    (0..).zip(parts.iter().cloned()).collect()
}

#[test]
fn item_types_have_one_text_each() {
    for (text, canonical, parts, needed, positions) in [
        ("piece", "piece", 1, 1, 1),
        ("piece*1", "piece", 1, 1, 1),
        ("piece*2", "piece*2", 1, 1, 2),
        ("split-piece", "split-piece:4", 4, 4, 4),
        ("split-piece:8*2", "split-piece:8*2", 8, 8, 16),
        ("split-parity-piece", "split-parity-piece:4+2", 6, 4, 6),
        ("split-parity-piece:10+4", "split-parity-piece:10+4", 14, 10, 14),
    ] {
        let coding = coding(text);
        assert_eq!(coding.to_string(), canonical);
        assert_eq!(canonical.parse(), Ok(coding));
        assert_eq!(
            (coding.parts(), coding.needed(), coding.positions()),
            (parts, needed, positions)
        );
        assert_eq!(coding.part_at(positions - 1), parts - 1);
    }
    assert_eq!(coding("piece"), ItemCoding::PIECE);
}

#[test]
fn other_texts_are_refused() {
    for text in [
        "",
        "pieces",
        "piece:1",
        "piece*",
        "piece*0",
        "piece*256",
        "piece*33",
        "piece*1*1",
        "split-piece:",
        "split-piece:0",
        "split-piece:1",
        "split-piece:+4",
        "split-piece:4+2",
        "split-piece:33",
        "split-piece: 4",
        "split-parity-piece:4",
        "split-parity-piece:4+",
        "split-parity-piece:4+0",
        "split-parity-piece:1+1",
        "split-parity-piece:4+2+1",
        "split-parity-piece:65536+1",
        "split-parity-piece:20+13",
        "split-parity-piece:9+8*2",
    ] {
        let error = text.parse::<ItemCoding>().unwrap_err();
        assert!(
            matches!(
                error,
                CodingError::UnknownType { .. } | CodingError::BadShape { .. }
            ),
            "{text}: {error}"
        );
    }
    let long = "p".repeat(1 << 20).parse::<ItemCoding>().unwrap_err();
    assert!(long.to_string().len() < 300);
}

#[test]
fn every_choice_of_four_of_six_parts_gives_a_piece_of_full_size_back() {
    let coding = coding("split-parity-piece:4+2");
    let piece = piece(Piece::SIZE, 1);
    let parts = numbered(&coding.encode(&piece).unwrap());
    assert_eq!(parts.len(), 6);
    assert!(
        parts
            .iter()
            .all(|(_, part)| part.len() == coding.item_len(Piece::SIZE))
    );
    assert_eq!(coding.item_len(Piece::SIZE), 262_168);
    // Systematic: data shards are slices of the piece.
    for (part, slice) in parts.iter().zip(piece.chunks(262_168)) {
        assert_eq!(part.1, slice);
    }
    let mut choices = 0;
    for mask in (0u32..64).filter(|mask| mask.count_ones() == 4) {
        let chosen: Vec<_> = parts
            .iter()
            .filter(|(number, _)| mask >> number & 1 == 1)
            .cloned()
            .collect();
        assert_eq!(coding.decode(Piece::SIZE, &chosen).unwrap(), piece);
        choices += 1;
    }
    assert_eq!(choices, 15);
}

#[test]
fn parity_bytes_are_pinned() {
    // They lie in stores and are mixed with parts that other versions made.
    let hash = |text: &str, length| {
        let parts = coding(text).encode(&piece(length, 7)).unwrap();
        blake3::hash(&parts.concat()).to_hex()[..16].to_string()
    };
    assert_eq!(hash("split-parity-piece:4+2", Piece::SIZE), "2d2d504404ef3378");
}

proptest! {
    #[test]
    fn any_sufficient_parts_decode_and_rebuild_the_others(
        data in 2..12u16, parity in 1..8u16, length in 1..3000usize, seed: u64, order in Just(()).prop_perturb(|(), mut rng| {
            (0..20).map(|_| rng.next_u32()).collect::<Vec<_>>()
        }), spare in 0..8usize,
    ) {
        let coding = ItemCoding::new(ItemKind::SplitParityPiece, data, parity, 1).unwrap();
        let piece = piece(length, seed);
        let all = coding.encode(&piece).unwrap();
        let mut parts = numbered(&all);
        parts.sort_by_key(|(number, _)| order[usize::from(*number)]);
        parts.truncate((usize::from(data) + spare).min(all.len()));
        prop_assert_eq!(&coding.decode(length, &parts).unwrap(), &piece);
        let numbers: Vec<_> = (0..coding.parts()).collect();
        prop_assert_eq!(coding.rebuild(length, &parts, &numbers).unwrap(), all);
        parts.truncate(usize::from(data) - 1);
        let refused = coding.decode(length, &parts);
        prop_assert_eq!(refused, Err(CodingError::TooFewParts { found: parts.len(), needed: usize::from(data) }));
    }

    #[test]
    fn split_pieces_need_all_their_parts(data in 2..32u16, length in 1..3000usize, seed: u64, lost: prop::sample::Index) {
        let coding = ItemCoding::new(ItemKind::SplitPiece, data, 0, 1).unwrap();
        let piece = piece(length, seed);
        let mut parts = numbered(&coding.encode(&piece).unwrap());
        parts.reverse();
        prop_assert_eq!(&coding.decode(length, &parts).unwrap(), &piece);
        parts.remove(lost.index(parts.len()));
        prop_assert!(coding.decode(length, &parts).is_err());
    }

    #[test]
    fn hostile_parts_never_panic(
        parts in prop::collection::vec((0..9u16, prop::collection::vec(any::<u8>(), 0..6)), 0..9), length in 0..24usize, wanted in prop::collection::vec(0..9u16, 0..4),
    ) {
        let parts: Vec<_> = parts.into_iter().map(|(number, bytes)| (number, Bytes::from(bytes))).collect();
        for text in ["piece", "split-piece:4", "split-parity-piece:4+2"] {
            let coding = coding(text);
            if let Ok(piece) = coding.decode(length, &parts) {
                prop_assert_eq!(piece.len(), length);
            }
            if let Ok(rebuilt) = coding.rebuild(length, &parts, &wanted) {
                prop_assert_eq!(rebuilt.len(), wanted.len());
            }
        }
    }
}

#[test]
fn wrong_parts_are_refused_by_name() {
    let coding = coding("split-parity-piece:2+1");
    let parts = numbered(&coding.encode(&[1, 2, 3]).unwrap());
    let with = |part: (u16, Bytes)| coding.decode(3, &[parts[0].clone(), part]);
    assert_eq!(
        with(parts[0].clone()),
        Err(CodingError::DuplicatePart { part: 0 })
    );
    assert_eq!(
        with((3, parts[1].1.clone())),
        Err(CodingError::NoSuchPart { part: 3, last: 2 })
    );
    assert_eq!(
        with((1, Bytes::from_static(b"abc"))),
        Err(CodingError::WrongLength {
            part: 1,
            found: 3,
            expected: 2
        })
    );
    assert_eq!(coding.encode(&[]), Err(CodingError::EmptyPiece));
    assert_eq!(coding.decode(0, &parts), Err(CodingError::EmptyPiece));
    assert_eq!(
        coding.rebuild(3, &parts, &[9]),
        Err(CodingError::NoSuchPart { part: 9, last: 2 })
    );
    assert_eq!(with(parts[2].clone()).unwrap(), [1u8, 2, 3][..]);
}

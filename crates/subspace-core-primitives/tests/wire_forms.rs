//! Properties of the wire forms: what was written is read back, what is malformed is refused with a reason.

mod common;

use common::{assert_json, assert_scale};
use parity_scale_codec::{Decode, Encode};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::time::Duration;
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{
    Piece, PieceIndex, PieceOffset, RecordCommitment, RecordWitness, SBucket, ScalarBytes,
};
use subspace_core_primitives::pos::PosProof;
use subspace_core_primitives::rpc::{FarmerAppInfo, FarmerProtocolInfo, SlotInfo};
use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, HistorySize, LastArchivedBlock, SegmentCommitment, SegmentHeader, SegmentIndex,
};
use subspace_core_primitives::solutions::{Solution, next_solution_range, pieces_to_solution_range};
use subspace_core_primitives::{HexArrayError, PublicKey, U256};

fn history_sizes() -> impl Strategy<Value = HistorySize> {
    (1..=u64::MAX).prop_map(|segments| HistorySize::from_segments(segments).expect("not zero"))
}

fn headers() -> impl Strategy<Value = SegmentHeader> {
    (
        any::<u64>(),
        any::<[u8; 32]>(),
        any::<u32>(),
        any::<Option<u32>>(),
    )
        .prop_map(|(index, hash, number, partial)| SegmentHeader::V0 {
            segment_index: SegmentIndex::new(index),
            segment_commitment: SegmentCommitment([hash[0]; 48]),
            prev_segment_header_hash: Blake3Hash(hash),
            last_archived_block: LastArchivedBlock {
                number,
                archived_progress: partial
                    .map_or(ArchivedBlockProgress::Complete, ArchivedBlockProgress::Partial),
            },
        })
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segment_headers(header in headers()) {
        let scale = header.encode();
        assert_eq!(scale.len(), if header.last_archived_block().partial_archived().is_some() { 98 } else { 94 });
        assert_scale(&header, &scale);
        assert_json(&header, &serde_json::to_value(header).expect("serialises"));
    }

    #[test]
    fn slot_infos_use_all_64_bits(slot_number: u64, challenge: [u8; 32], range in u64::MAX - 9..=u64::MAX) {
        let info = SlotInfo {
            slot_number,
            global_challenge: Blake3Hash(challenge),
            solution_range: range,
            voting_solution_range: range,
        };
        assert_scale(&info, &info.encode());
        assert_json(&info, &serde_json::to_value(info).expect("serialises"));
    }

    #[test]
    fn farmer_app_infos(
        genesis_hash: [u8; 32],
        syncing: bool,
        timeout: Duration,
        ports: Vec<u16>,
        history_size in history_sizes(),
        max_pieces_in_sector: u16,
    ) {
        let info = FarmerAppInfo {
            genesis_hash: Blake3Hash(genesis_hash),
            dsn_bootstrap_nodes: ports.iter().map(|port| format!("/ip4/10.0.0.1/tcp/{port}").into()).collect(),
            syncing,
            farming_timeout: timeout,
            protocol_info: FarmerProtocolInfo {
                history_size,
                max_pieces_in_sector,
                recent_segments: history_size,
                recent_history_fraction: (HistorySize::ONE, history_size),
                min_sector_lifetime: history_size,
            },
        };
        assert_scale(&info, &info.encode());
        assert_json(&info, &serde_json::to_value(&info).expect("serialises"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = SegmentHeader::decode(&mut bytes.as_slice());
        let _ = FarmerAppInfo::decode(&mut bytes.as_slice());
        let _ = Solution::decode(&mut bytes.as_slice());
        let _ = Piece::decode(&mut bytes.as_slice());
        let _ = Blake3Checksummed::<u64>::decode(&mut bytes.as_slice());
    }

    #[test]
    fn any_damage_breaks_a_checksum(value: u64, byte in 0..40usize, bit in 0..8u32) {
        let mut scale = Blake3Checksummed(value).encode();
        assert_eq!(Blake3Checksummed::<u64>::decode(&mut scale.as_slice()).expect("decodes").0, value);
        scale[byte] ^= 1 << bit;
        assert!(Blake3Checksummed::<u64>::decode(&mut scale.as_slice()).is_err());
    }

    #[test]
    fn remainders(bytes: [u8; 32], divisor in 1..=u64::MAX) {
        // Schoolbook division bit by bit.
        let mut remainder = 0u128;
        for byte in bytes.iter().rev() {
            for bit in (0..8).rev() {
                remainder = (remainder << 1 | u128::from(byte >> bit & 1)) % u128::from(divisor);
            }
        }
        let divisor = divisor.try_into().expect("not zero");
        assert_eq!(u128::from(U256::from_le_bytes(&bytes).rem_u64(divisor)), remainder);
    }

    #[test]
    fn derivations_never_panic_and_stay_inside_the_history(
        id: [u8; 32],
        offset: u16,
        history_size in history_sizes(),
        max_pieces: u16,
        recent in history_sizes(),
        fraction in (history_sizes(), history_sizes()),
        commitment: [u8; 32],
    ) {
        let id = SectorId::from(id);
        let index =
            id.derive_piece_index(PieceOffset::new(offset), history_size, max_pieces, recent, fraction);
        if recent <= history_size {
            assert!(index.get() < history_size.in_pieces().get());
        }
        let commitment = SegmentCommitment([commitment[0]; 48]);
        if let Some(expiration) = id.derive_expiration_history_size(history_size, &commitment, recent) {
            assert!(Some(expiration) >= history_size.sector_expiration_check(recent));
        }
    }

    #[test]
    fn ranges_never_panic(pieces: u64, probability: (u64, u64), slots: (u64, u64), range: u64, era: u32) {
        pieces_to_solution_range(pieces, probability);
        let next = next_solution_range(slots.0, slots.1, probability, range, era);
        assert!(next >= range / 4 && next <= range.saturating_mul(4));
    }
}

#[test]
fn checksum_follows_the_encoding() {
    // From the specification of the protocol.
    let expected = "02016abc4fcdb4f073e1c863ffb08389b349b2d6f61e0ea935d8f07d014fa3078cc5";
    assert_eq!(hex::encode(Blake3Checksummed(0x0102u16).encode()), expected);
}

#[test]
fn wrong_hex_is_refused_with_a_reason() {
    let hex = "0123456789abcdefABCDEF00".repeat(3)[..64].to_string();
    assert_eq!(
        hex.parse::<PublicKey>().expect("parses").to_string(),
        hex.to_lowercase()
    );

    let prefixed = format!("0x{hex}");
    let error = HexArrayError::Length {
        expected: 64,
        actual: 66,
    };
    assert_eq!(prefixed.parse::<PublicKey>(), Err(error.clone()));
    let message = serde_json::from_str::<PublicKey>(&format!("\"{prefixed}\""))
        .expect_err("refused")
        .to_string();
    assert!(message.contains(&error.to_string()), "{message}");

    let damaged = format!("g{}", &hex[1..]);
    assert_eq!(damaged.parse::<PublicKey>(), Err(HexArrayError::Character));
    assert!(serde_json::from_str::<PosProof>(&format!("\"{hex}\"")).is_err());
    assert!(serde_json::from_str::<Piece>("\"00\"").is_err());
    assert!(serde_json::from_str::<PublicKey>("[1,2]").is_err());
    // Multi-byte characters of the right total length.
    assert!("é".repeat(32).parse::<PublicKey>().is_err());
}

#[test]
fn numbers_out_of_range_are_refused() {
    assert!(serde_json::from_str::<HistorySize>("0").is_err());
    assert!(HistorySize::decode(&mut [0; 8].as_slice()).is_err());
    assert_eq!(HistorySize::from_segments(0), None);
    assert!(serde_json::from_str::<PieceOffset>("65536").is_err());
    assert!(serde_json::from_str::<PieceIndex>("-1").is_err());
    assert!(serde_json::from_str::<PieceIndex>("1.0").is_err());
    assert_eq!(
        serde_json::from_str::<PieceIndex>("18446744073709551615")
            .expect("fits")
            .get(),
        u64::MAX
    );
    assert!(
        SegmentHeader::decode(&mut [1; 98].as_slice()).is_err(),
        "an unknown version"
    );
}

#[test]
fn a_scalar_is_an_array_of_numbers() {
    let scalar = ScalarBytes::from_safe_bytes(&[7; 31]);
    assert_eq!(scalar.try_to_safe_bytes(), Some([7; 31]));
    assert_eq!(ScalarBytes([7; 32]).try_to_safe_bytes(), None);
    let json = format!("[0{}]", ",7".repeat(31));
    assert_eq!(serde_json::to_string(&scalar).expect("serialises"), json);
    assert_eq!(
        serde_json::from_str::<ScalarBytes>(&json).expect("deserialises"),
        scalar
    );
    assert!(serde_json::from_str::<ScalarBytes>("[0,1]").is_err());
}

#[test]
fn pieces_have_one_size() {
    let record = vec![1; 1_048_576];
    let (commitment, witness) = (RecordCommitment([2; 48]), RecordWitness([3; 48]));
    let piece = Piece::from_parts(&record, &commitment, &witness).expect("the size of a record");
    assert_eq!((piece.commitment(), piece.witness()), (commitment, witness));
    assert_eq!(
        (piece.record_bytes(), piece.record_chunks().len()),
        (record.as_slice(), 32_768)
    );
    assert!(piece.record_chunks().iter().all(|chunk| *chunk == [1; 32]));
    assert_eq!(
        piece.clone().into_bytes().as_ptr(),
        piece.as_bytes().as_ptr(),
        "clones share the buffer"
    );

    assert!(Piece::from_parts(&record[1..], &commitment, &witness).is_err());
    assert!(Piece::try_from(vec![0; Piece::SIZE + 1]).is_err());
    // A length prefix of another size is refused before that much is read or allocated.
    assert!(Piece::decode(&mut [0xfe, 0xff, 0xff, 0xff].as_slice()).is_err());
}

#[test]
fn integers_convert() {
    assert_eq!(u32::from(SBucket::new(65_535)), 65_535);
    assert_eq!(
        PieceIndex::from_bytes(PieceIndex::new(0x0102).to_bytes()).get(),
        0x0102
    );
    assert_eq!(PieceOffset::new(1).to_bytes(), [1, 0]);
    assert_eq!(PieceIndex::new(u64::MAX).checked_add(PieceIndex::ONE), None);
    assert_eq!(PieceIndex::new(u64::MAX - 1).next_source_index(), None);
    assert_eq!(
        "17".parse::<SegmentIndex>().expect("a number"),
        SegmentIndex::new(16) + SegmentIndex::ONE
    );
    assert_eq!(HistorySize::from(SegmentIndex::new(6)).get(), 7);
    assert_eq!(HistorySize::from(SegmentIndex::new(6)).segment_index().get(), 6);
    assert_eq!(
        PieceIndex::from_source_position(130, SegmentIndex::new(1)).map(PieceIndex::get),
        Some(516)
    );
}

use super::*;
use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use proptest::collection::vec;
use proptest::prelude::*;
use subspace_core_primitives::segments::RECORDED_HISTORY_SEGMENT_SIZE;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn example() -> SignedBlock {
    let mut seal = bytes("055355425f0101");
    seal.extend([0x44; 64]);
    let mut payload = vec![0];
    payload.extend([0x55; 16]);
    payload.push(0);
    SignedBlock {
        header: BlockHeader {
            parent_hash: [0x11; 32],
            number: 6714,
            state_root: [0x22; 32],
            extrinsics_root: [0x33; 32],
            digest_items: vec![bytes("045355425f24018fe2ecc367d81500"), seal],
        },
        extrinsics: vec![bytes("1001020304"), bytes("0c2a2b2c")],
        justifications: vec![Justification {
            engine_id: SUBSPACE_ENGINE_ID,
            payload,
        }],
    }
}

#[test]
fn worked_example_of_a_signed_block() {
    let block = example();
    let header = block.header.encode();
    assert_eq!(header.len(), 185);
    assert_eq!(
        hex::encode(block.header.hash()),
        "35c9f4c429422d0360dc0fbf0eb92505450214f54d59fdd00579d315365343cd"
    );
    let unsealed = BlockHeader {
        digest_items: block.header.digest_items[..1].to_vec(),
        ..block.header.clone()
    };
    assert_eq!(
        hex::encode(unsealed.hash()),
        "4544badb83ed82feb4693a014ce3fbb8344fc34817e3c9d2b4d79cf94cc32763"
    );

    let archived = block.encode_for_archiving();
    let mut expected = header.clone();
    expected.extend(bytes("0810010203040c2a2b2c01045355425f4800"));
    expected.extend([0x55; 16]);
    expected.push(0);
    assert_eq!(archived, expected);
    assert_eq!(archived.len(), 220);

    let unjustified = SignedBlock {
        justifications: Vec::new(),
        ..block
    }
    .encode_for_archiving();
    assert_eq!(unjustified.len(), 196);
    assert_eq!(unjustified.last(), Some(&0));
}

#[test]
fn only_the_first_decodable_subspace_justification_is_archived() {
    let mut block = example();
    let genuine = block.justifications[0].clone();
    let other_engine = Justification {
        engine_id: *b"BABE",
        payload: genuine.payload.clone(),
    };
    let other_variant = Justification {
        payload: [&[1], &genuine.payload[1..]].concat(),
        ..genuine.clone()
    };
    let cut_off = Justification {
        payload: [&genuine.payload[..17], &[4]].concat(),
        ..genuine.clone()
    };
    let second = Justification {
        payload: [&genuine.payload[..], b"tail"].concat(),
        ..genuine.clone()
    };
    let expected = block.encode_for_archiving();

    block.justifications = vec![
        other_engine.clone(),
        other_variant.clone(),
        cut_off.clone(),
        genuine,
        second.clone(),
    ];
    assert_eq!(block.encode_for_archiving(), expected);
    assert_ne!(
        block.encode(),
        expected,
        "the unfiltered encoding keeps all of them"
    );

    // Bytes behind the checkpoints are kept as they are.
    block.justifications = vec![cut_off.clone(), second.clone()];
    assert!(block.has_archived_justification());
    assert!(block.encode_for_archiving().ends_with(&second.payload));

    block.justifications = vec![other_engine, other_variant, cut_off];
    assert!(!block.has_archived_justification());
    block.justifications.push(Justification {
        engine_id: SUBSPACE_ENGINE_ID,
        payload: Vec::new(),
    });
    let with_unkept = block.encode_for_archiving();
    block.justifications.clear();
    assert_eq!(with_unkept, block.encode_for_archiving());
}

#[test]
fn genesis_is_filled_with_the_keystream_of_its_state_root() {
    let genesis = SignedBlock {
        header: BlockHeader {
            parent_hash: [0; 32],
            number: 0,
            state_root: [7; 32],
            extrinsics_root: [3; 32],
            digest_items: Vec::new(),
        },
        extrinsics: Vec::new(),
        justifications: Vec::new(),
    };
    let encoded = encode_genesis_block(&genesis);
    assert_eq!(encoded.len(), RECORDED_HISTORY_SEGMENT_SIZE);
    assert_eq!(encoded[..100], genesis.encode()[..]);
    let mut keystream = vec![0; 1000];
    ChaCha8::new(&[7; 32].into(), &[0; 12].into()).apply_keystream(&mut keystream);
    assert_eq!(encoded[100..1100], keystream[..]);

    let (decoded, length) = SignedBlock::decode(&encoded).unwrap();
    assert_eq!((decoded, length), (genesis, 100));
}

#[test]
fn keystream_is_chacha_with_eight_rounds() {
    let mut keystream = vec![0; 32];
    ChaCha8::new(&[0; 32].into(), &[0; 12].into()).apply_keystream(&mut keystream);
    assert_eq!(
        hex::encode(keystream),
        "3e00ef2f895f40d67f5bb8e81f09a5a12c840ec3ce9a7f3b181be188ef711a1e"
    );
}

fn extrinsic() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200).prop_map(|contents| contents.encode())
}

fn digest_item() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::sample::select(vec![0_u8, 4, 5, 6, 8]),
        any::<[u8; 4]>(),
        vec(any::<u8>(), 0..80),
    )
        .prop_map(|(kind, engine, contents)| match kind {
            8 => vec![8],
            0 => (kind, contents).encode(),
            _ => (kind, engine, contents).encode(),
        })
}

fn justification() -> impl Strategy<Value = Justification> {
    let engine_id = prop_oneof![Just(SUBSPACE_ENGINE_ID), any::<[u8; 4]>()];
    let checkpoints = (any::<[u8; 16]>(), 0_usize..4, 0_usize..300).prop_map(|(seed, slots, tail)| {
        let mut payload = vec![0];
        payload.extend(seed);
        encode_compact_length(slots, &mut payload);
        payload.resize(payload.len() + slots * 128 + tail, 0x5a);
        payload
    });
    let payload = prop_oneof![checkpoints, vec(any::<u8>(), 0..200)];
    (engine_id, payload).prop_map(|(engine_id, payload)| Justification { engine_id, payload })
}

fn signed_block() -> impl Strategy<Value = SignedBlock> {
    let header = (
        any::<[u8; 32]>(),
        any::<u32>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        vec(digest_item(), 0..5),
    )
        .prop_map(
            |(parent_hash, number, state_root, extrinsics_root, digest_items)| BlockHeader {
                parent_hash,
                number,
                state_root,
                extrinsics_root,
                digest_items,
            },
        );
    (header, vec(extrinsic(), 0..5), vec(justification(), 0..5)).prop_map(
        |(header, extrinsics, justifications)| SignedBlock {
            header,
            extrinsics,
            justifications,
        },
    )
}

proptest! {
    #[test]
    fn signed_block_round_trips_and_ignores_what_follows(
        block in signed_block(),
        tail in vec(any::<u8>(), 0..50),
    ) {
        let mut encoded = block.encode();
        let length = encoded.len();
        for cut in [0, length / 2, length - 1] {
            prop_assert!(SignedBlock::decode(&encoded[..cut]).is_err());
        }
        encoded.extend(tail);
        prop_assert_eq!(SignedBlock::decode(&encoded), Ok((block, length)));
    }

    #[test]
    fn archived_encoding_keeps_at_most_one_justification(block in signed_block()) {
        let (archived, length) = SignedBlock::decode(&block.encode_for_archiving()).unwrap();
        prop_assert_eq!(length, block.encode_for_archiving().len());
        prop_assert_eq!(&archived.header, &block.header);
        prop_assert_eq!(&archived.extrinsics, &block.extrinsics);
        let genuine: Vec<_> = block.justifications.iter().filter(|one| is_subspace_justification(one)).collect();
        prop_assert_eq!(archived.justifications.iter().collect::<Vec<_>>(), genuine.into_iter().take(1).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        // Most fail, some decode; what decodes must encode to the same bytes or be a non-minimal form of them.
        if let Ok((block, length)) = SignedBlock::decode(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert!(block.encode().len() <= length);
        }
    }
}

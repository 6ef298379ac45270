//! Every message survives its encoding, and no bytes whatever make a decoder panic or accept what it would not write.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use autonomys_transfer::frame::{Frame, FrameKind, HEADER_SIZE, Header};
use autonomys_transfer::limits::{MAX_ERROR_TEXT, MAX_ITEM_LEN, MAX_KEYS_PER_GET, MAX_REQUEST_WINDOW};
use autonomys_transfer::message::*;
use autonomys_transfer::{ErrorCode, Item, ItemKey, ItemKind, Refusal, SectorKey};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashSet;

fn item_key() -> impl Strategy<Value = ItemKey> {
    let kind = prop::sample::select(vec![
        ItemKind::Piece,
        ItemKind::SplitPiece,
        ItemKind::SplitParityPiece,
    ]);
    (kind, any::<u64>(), any::<u64>(), any::<u16>()).prop_map(|(kind, epoch, piece_index, shard)| ItemKey {
        kind,
        epoch,
        piece_index,
        shard,
    })
}

fn sector_key() -> impl Strategy<Value = SectorKey> {
    (any::<[u8; 32]>(), any::<u16>(), any::<u64>()).prop_map(|(public_key, sector_index, history_size)| {
        SectorKey {
            public_key,
            sector_index,
            history_size,
        }
    })
}

/// The payload as the other side reads it.
fn payload(frame: &Frame) -> Bytes {
    let bytes = frame.to_bytes();
    let header = Header::from_bytes(bytes[..HEADER_SIZE].try_into().unwrap()).unwrap();
    assert_eq!(header, frame.header());
    assert_eq!(header.payload_crc, crc32c::crc32c(&bytes[HEADER_SIZE..]));
    bytes.slice(HEADER_SIZE..)
}

proptest! {
    #[test]
    fn keys(key in item_key(), sector in sector_key()) {
        prop_assert_eq!(ItemKey::from_bytes(&key.to_bytes()), Ok(key));
        prop_assert_eq!(SectorKey::from_bytes(&sector.to_bytes()), sector);
    }

    #[test]
    fn messages(
        id: u32, keys in prop::collection::hash_set(item_key(), 1..=MAX_KEYS_PER_GET), window in MAX_ITEM_LEN..=MAX_REQUEST_WINDOW,
        sector in sector_key(), offset: u64, length: u64, position: u16, bytes: Vec<u8>, code: u16, text in ".{0,400}",
    ) {
        let keys: Vec<_> = keys.into_iter().collect();
        let get = Get { window: window as u32, keys };
        prop_assert_eq!(Get::decode(payload(&get.to_frame(id))), Ok(get.clone()));
        let sector = GetSector { key: sector, offset, length, window: window as u32 };
        prop_assert_eq!(GetSector::decode(payload(&sector.to_frame(id))), Ok(sector));
        let item = Item::new(bytes.into());
        let bytes = item.bytes().clone();
        let decoded = decode_item(payload(&item_frame(id, position, item.clone())));
        prop_assert_eq!(decoded, Ok((position, *item.hash(), bytes.clone())));
        let put = decode_put(payload(&put_frame(id, get.keys[0], item.clone())));
        prop_assert_eq!(put, Ok((get.keys[0], *item.hash(), bytes.clone())));
        let chunk = decode_sector_chunk(payload(&sector_chunk_frame(id, offset, length, bytes.clone())));
        prop_assert_eq!(chunk, Ok((offset, length, bytes)));
        let refusal = decode_error(payload(&error_frame(id, &Refusal::new(ErrorCode::from_number(code), text.clone())))).unwrap();
        prop_assert_eq!(refusal.code.number(), code);
        prop_assert!(text.starts_with(&refusal.message));
        prop_assert_eq!(text.len() <= MAX_ERROR_TEXT, refusal.message == text);
    }

    #[test]
    fn any_bytes_are_refused_or_mean_what_they_say(bytes: Vec<u8>, header: [u8; HEADER_SIZE]) {
        if let Ok(header) = Header::from_bytes(&header) {
            prop_assert!(header.payload_len as usize <= header.kind.max_payload());
        }
        let bytes = Bytes::from(bytes);
        if let Ok(get) = Get::decode(bytes.clone()) {
            prop_assert_eq!(payload(&get.to_frame(1)), bytes.clone());
        }
        if let Ok(get) = GetSector::decode(bytes.clone()) {
            prop_assert_eq!(payload(&get.to_frame(1)), bytes.clone());
        }
        let _ = (decode_item(bytes.clone()), decode_put(bytes.clone()), decode_sector_chunk(bytes.clone()), decode_error(bytes));
    }

    #[test]
    fn a_flipped_bit_never_passes(bytes in prop::collection::vec(any::<u8>(), 1..200), bit: prop::sample::Index) {
        let frame = item_frame(3, 4, Item::new(bytes.into())).to_bytes();
        let mut changed = frame.to_vec();
        let bit = bit.index(changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        let header = Header::from_bytes(changed[..HEADER_SIZE].try_into().unwrap());
        let passed = header.is_ok_and(|header| header.payload_crc == crc32c::crc32c(&changed[HEADER_SIZE..]));
        prop_assert!(!passed);
    }
}

#[test]
fn kinds_and_codes_are_pinned() {
    let numbers: HashSet<_> = FrameKind::ALL.iter().map(|&kind| kind as u8).collect();
    assert_eq!(numbers, (1..=19).collect());
    for &kind in FrameKind::ALL {
        assert_eq!(FrameKind::from_number(kind as u8), Some(kind));
    }
    assert_eq!(
        (FrameKind::from_number(0), FrameKind::from_number(20)),
        (None, None)
    );
    for number in 0..20 {
        assert_eq!(ErrorCode::from_number(number).number(), number);
    }
    // Version 1 as other programs know it; a change needs a new version.
    let ping = Frame::small(FrameKind::Ping, 0x0403_0201, Vec::new()).to_bytes();
    assert_eq!(
        ping[..20],
        *b"AFDP\x01\x00\x0e\x00\x01\x02\x03\x04\0\0\0\0\0\0\0\0"
    );
    let key = ItemKey {
        kind: ItemKind::SplitParityPiece,
        epoch: 1,
        piece_index: 2,
        shard: 3,
    };
    assert_eq!(
        key.to_bytes(),
        [3, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0]
    );
}

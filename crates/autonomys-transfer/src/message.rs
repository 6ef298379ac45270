//! Payloads of the frame kinds: typed values to bytes and back. Every decoder consumes its payload whole or refuses it.

use crate::error::{ErrorCode, FrameError, Refusal};
use crate::frame::{Frame, FrameKind};
use crate::key::{ItemKey, SectorKey};
use crate::limits::{MAX_ERROR_TEXT, MAX_ITEM_LEN, MAX_KEYS_PER_GET, MAX_REQUEST_WINDOW};
use crate::range::FileRange;
use crate::source::Item;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::HashSet;

/// A `Get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// Item bytes that the client takes before it gives more credit.
    pub window: u32,
    /// Distinct keys; answers refer to them by position.
    pub keys: Vec<ItemKey>,
}

/// A `GetSector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetSector {
    /// Which sector.
    pub key: SectorKey,
    /// First byte wanted.
    pub offset: u64,
    /// Bytes wanted; what lies behind the end of the sector is left out.
    pub length: u64,
    /// Bytes that the client takes before it gives more credit.
    pub window: u32,
}

fn malformed<T>(kind: FrameKind, reason: &'static str) -> Result<T, FrameError> {
    Err(FrameError::Malformed {
        kind: kind.name(),
        reason,
    })
}

fn fixed<const N: usize>(kind: FrameKind, payload: &mut Bytes) -> Result<[u8; N], FrameError> {
    if payload.len() < N {
        return malformed(kind, "too short");
    }
    let mut bytes = [0; N];
    payload.copy_to_slice(&mut bytes);
    Ok(bytes)
}

fn finished(kind: FrameKind, payload: &Bytes) -> Result<(), FrameError> {
    if payload.is_empty() {
        Ok(())
    } else {
        malformed(kind, "trailing bytes")
    }
}

fn window(kind: FrameKind, payload: &mut Bytes) -> Result<u32, FrameError> {
    let window = u32::from_le_bytes(fixed(kind, payload)?);
    if (MAX_ITEM_LEN..=MAX_REQUEST_WINDOW).contains(&(window as usize)) {
        Ok(window)
    } else {
        malformed(
            kind,
            "the window is smaller than one item or larger than the limit",
        )
    }
}

/// A payload that is one array, as those of the handshake and of `Ack` are.
pub fn decode_array<const N: usize>(kind: FrameKind, mut payload: Bytes) -> Result<[u8; N], FrameError> {
    let array = fixed(kind, &mut payload)?;
    finished(kind, &payload)?;
    Ok(array)
}

impl Get {
    /// The request as a frame.
    pub fn to_frame(&self, request_id: u32) -> Frame {
        let mut head = BytesMut::with_capacity(6 + self.keys.len() * ItemKey::SIZE);
        head.put_u32_le(self.window);
        head.put_u16_le(self.keys.len() as u16);
        for key in &self.keys {
            head.put_slice(&key.to_bytes());
        }
        Frame::small(FrameKind::Get, request_id, head)
    }

    /// Reads the request; refuses no keys, too many and duplicates.
    pub fn decode(mut payload: Bytes) -> Result<Self, FrameError> {
        let kind = FrameKind::Get;
        let window = window(kind, &mut payload)?;
        let count = u16::from_le_bytes(fixed(kind, &mut payload)?) as usize;
        if count == 0 || count > MAX_KEYS_PER_GET {
            return malformed(kind, "no keys or too many");
        }
        if payload.len() != count * ItemKey::SIZE {
            return malformed(kind, "the number of keys does not fit the length");
        }
        let mut keys = Vec::with_capacity(count);
        let mut seen = HashSet::with_capacity(count);
        for _ in 0..count {
            let key = ItemKey::from_bytes(&fixed(kind, &mut payload)?)?;
            if !seen.insert(key) {
                return malformed(kind, "a key stands in it twice");
            }
            keys.push(key);
        }
        Ok(Self { window, keys })
    }
}

/// Bytes of an `Item` in front of the item: position and hash.
pub(crate) const ITEM_HEAD: usize = 2 + 32;

/// The `Item` frame for the key at `position` of the request.
pub fn item_frame(request_id: u32, position: u16, item: Item) -> Frame {
    let mut head = BytesMut::with_capacity(ITEM_HEAD);
    head.put_u16_le(position);
    head.put_slice(item.hash());
    Frame {
        kind: FrameKind::Item,
        flags: 0,
        request_id,
        head: head.freeze(),
        body: item.into_bytes(),
    }
}

/// The `Item` frame without its bulk, which is this range of a file.
pub(crate) fn range_frame(request_id: u32, position: u16, range: &FileRange) -> Frame {
    let mut head = BytesMut::with_capacity(ITEM_HEAD);
    head.put_u16_le(position);
    head.put_slice(&range.hash);
    Frame::small(FrameKind::Item, request_id, head)
}

/// The `Damaged` frame for an item.
pub fn damaged_frame(key: &ItemKey) -> Frame {
    Frame::small(FrameKind::Damaged, 0, key.to_bytes().to_vec())
}

/// Position in the request, hash and bytes of an `Item`. The hash is not checked here.
pub fn decode_item(mut payload: Bytes) -> Result<(u16, [u8; 32], Bytes), FrameError> {
    let position = u16::from_le_bytes(fixed(FrameKind::Item, &mut payload)?);
    let hash = fixed(FrameKind::Item, &mut payload)?;
    Ok((position, hash, payload))
}

/// The `Missing` frame for the key at `position` of the request.
pub fn missing_frame(request_id: u32, position: u16) -> Frame {
    Frame::small(FrameKind::Missing, request_id, position.to_le_bytes().to_vec())
}

/// The `Skip` frame for these positions of a request.
pub fn skip_frame(request_id: u32, positions: &[u16]) -> Frame {
    let head: Vec<u8> = positions
        .iter()
        .flat_map(|position| position.to_le_bytes())
        .collect();
    Frame::small(FrameKind::Skip, request_id, head)
}

/// Positions of a `Skip`; whether the request has them is for its owner to know.
pub fn decode_skip(payload: &Bytes) -> Result<Vec<u16>, FrameError> {
    let (positions, rest) = payload.as_chunks::<2>();
    if positions.is_empty() || !rest.is_empty() {
        return malformed(FrameKind::Skip, "no positions, or half of one");
    }
    Ok(positions.iter().copied().map(u16::from_le_bytes).collect())
}

/// The `Put` frame of an item.
pub fn put_frame(request_id: u32, key: ItemKey, item: Item) -> Frame {
    let mut head = BytesMut::with_capacity(ItemKey::SIZE + 32);
    head.put_slice(&key.to_bytes());
    head.put_slice(item.hash());
    Frame {
        kind: FrameKind::Put,
        flags: 0,
        request_id,
        head: head.freeze(),
        body: item.into_bytes(),
    }
}

/// Key, announced hash and bytes of a `Put`. The hash is not checked here.
pub fn decode_put(mut payload: Bytes) -> Result<(ItemKey, [u8; 32], Bytes), FrameError> {
    let key = ItemKey::from_bytes(&fixed(FrameKind::Put, &mut payload)?)?;
    let hash = fixed(FrameKind::Put, &mut payload)?;
    Ok((key, hash, payload))
}

impl GetSector {
    /// The request as a frame.
    pub fn to_frame(&self, request_id: u32) -> Frame {
        let mut head = BytesMut::with_capacity(FrameKind::GetSector.max_payload());
        head.put_slice(&self.key.to_bytes());
        head.put_u64_le(self.offset);
        head.put_u64_le(self.length);
        head.put_u32_le(self.window);
        Frame::small(FrameKind::GetSector, request_id, head)
    }

    /// Reads the request.
    pub fn decode(mut payload: Bytes) -> Result<Self, FrameError> {
        let kind = FrameKind::GetSector;
        let key = SectorKey::from_bytes(&fixed(kind, &mut payload)?);
        let offset = u64::from_le_bytes(fixed(kind, &mut payload)?);
        let length = u64::from_le_bytes(fixed(kind, &mut payload)?);
        let window = window(kind, &mut payload)?;
        finished(kind, &payload)?;
        Ok(Self {
            key,
            offset,
            length,
            window,
        })
    }
}

/// The `SectorChunk` frame for bytes at `offset` of a sector of `sector_len` bytes.
pub fn sector_chunk_frame(request_id: u32, offset: u64, sector_len: u64, data: Bytes) -> Frame {
    let mut head = BytesMut::with_capacity(16);
    head.put_u64_le(offset);
    head.put_u64_le(sector_len);
    Frame {
        kind: FrameKind::SectorChunk,
        flags: 0,
        request_id,
        head: head.freeze(),
        body: data,
    }
}

/// Offset, length of the whole sector and bytes of a `SectorChunk`.
pub fn decode_sector_chunk(mut payload: Bytes) -> Result<(u64, u64, Bytes), FrameError> {
    let offset = u64::from_le_bytes(fixed(FrameKind::SectorChunk, &mut payload)?);
    let sector_len = u64::from_le_bytes(fixed(FrameKind::SectorChunk, &mut payload)?);
    Ok((offset, sector_len, payload))
}

/// The `Error` frame of a refusal; a text above the limit is cut at a character.
pub fn error_frame(request_id: u32, refusal: &Refusal) -> Frame {
    let mut end = refusal.message.len().min(MAX_ERROR_TEXT);
    while !refusal.message.is_char_boundary(end) {
        end -= 1;
    }
    let mut head = BytesMut::with_capacity(2 + end);
    head.put_u16_le(refusal.code.number());
    head.put_slice(&refusal.message.as_bytes()[..end]);
    Frame::small(FrameKind::Error, request_id, head).last(true)
}

/// Reads an `Error`.
pub fn decode_error(mut payload: Bytes) -> Result<Refusal, FrameError> {
    let code = ErrorCode::from_number(u16::from_le_bytes(fixed(FrameKind::Error, &mut payload)?));
    match std::str::from_utf8(&payload) {
        Ok(message) => Ok(Refusal::new(code, message)),
        Err(_) => malformed(FrameKind::Error, "the text is not UTF-8"),
    }
}

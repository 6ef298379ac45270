//! The frame: a fixed 24-byte header and a payload; writing it without copies. [`reading`](crate::reading) takes it in.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | magic `AFDP` |
//! | 4 | 2 | version, u16 |
//! | 6 | 1 | kind |
//! | 7 | 1 | flags |
//! | 8 | 4 | request id, u32; 0 means the connection itself |
//! | 12 | 4 | payload length, u32 |
//! | 16 | 4 | CRC32C of the payload |
//! | 20 | 4 | CRC32C of bytes 0 to 19 |
//!
//! The header has a checksum of its own so that a length is believed, and memory allocated, only when it arrived intact.

use crate::checksum::{Crc32c, combine, crc32c};
use crate::error::{FrameError, TransferError};
use crate::key::{ItemKey, SectorKey};
use crate::limits::{MAX_ERROR_TEXT, MAX_ITEM_LEN, MAX_KEYS_PER_GET, SECTOR_CHUNK_LEN};
use crate::range::FileRange;
pub use crate::reading::{read_header, read_payload};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"AFDP";

/// Highest version of the protocol in this program, and so far the only one.
pub const VERSION: u16 = 1;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 24;

/// Set on the frame that ends the answer to a request.
pub const FLAG_LAST: u8 = 0x01;

macro_rules! frame_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $limit:expr;)*) => {
        /// What a frame is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FrameKind { $($(#[$doc])* $name = $number,)* }

        impl FrameKind {
            /// All kinds of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind with this number.
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Name as the documentation spells it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Longest payload of this kind in bytes.
            pub fn max_payload(self) -> usize {
                match self { $(Self::$name => $limit,)* }
            }
        }
    };
}

frame_kinds! {
    /// Client: nonce and the highest version that it speaks.
    Hello = 1, 34;
    /// Server: nonce, the version of the connection, proof.
    Challenge = 2, 66;
    /// Client: proof.
    Auth = 3, 32;
    /// Server: its limits; the connection is open.
    Welcome = 4, 4;
    /// Client: wants items.
    Get = 5, 4 + 2 + MAX_KEYS_PER_GET * ItemKey::SIZE;
    /// Server: one item of a `Get`.
    Item = 6, 2 + 32 + MAX_ITEM_LEN;
    /// Server: one item of a `Get` that it does not have.
    Missing = 7, 2;
    /// Client: stores an item.
    Put = 8, ItemKey::SIZE + 32 + MAX_ITEM_LEN;
    /// Server: a `Put` or an `Ack` is done.
    Done = 9, 0;
    /// Client: wants a range of a sector.
    GetSector = 10, SectorKey::SIZE + 8 + 8 + 4;
    /// Server: a part of that range.
    SectorChunk = 11, 8 + 8 + SECTOR_CHUNK_LEN;
    /// Client: has the sector durably, the server may delete it.
    Ack = 12, SectorKey::SIZE;
    /// Either: the request, or with request id 0 the connection, failed.
    Error = 13, 2 + MAX_ERROR_TEXT;
    /// Either: are you there?
    Ping = 14, 0;
    /// Either: answer to `Ping`.
    Pong = 15, 0;
    /// Client: has room for more bytes of this request.
    Credit = 16, 4;
    /// Client: does not want the rest of this answer.
    Cancel = 17, 0;
    /// Client: does not want these items of this answer.
    Skip = 18, MAX_KEYS_PER_GET * 2;
    /// Client: this item came damaged.
    Damaged = 19, ItemKey::SIZE;
}

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: FrameKind,
    /// [`FLAG_LAST`] or nothing.
    pub flags: u8,
    /// Request that the frame belongs to.
    pub request_id: u32,
    /// Bytes that follow.
    pub payload_len: u32,
    /// CRC32C of those bytes.
    pub payload_crc: u32,
}

impl Header {
    /// The header as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(self.kind as u8);
        out.put_u8(self.flags);
        out.put_u32_le(self.request_id);
        out.put_u32_le(self.payload_len);
        out.put_u32_le(self.payload_crc);
        let crc = crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Checks and reads a header. Version comes before the checksum: a later version may have another layout behind it.
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Result<Self, FrameError> {
        let mut input = &bytes[..];
        let mut magic = [0; 4];
        input.copy_to_slice(&mut magic);
        if magic != MAGIC {
            return Err(FrameError::BadMagic { found: magic });
        }
        let version = input.get_u16_le();
        if version != VERSION {
            return Err(FrameError::UnsupportedVersion { found: version });
        }
        let (kind, flags) = (input.get_u8(), input.get_u8());
        let (request_id, payload_len, payload_crc) =
            (input.get_u32_le(), input.get_u32_le(), input.get_u32_le());
        if input.get_u32_le() != crc32c(&bytes[..20]) {
            return Err(FrameError::HeaderChecksum);
        }
        let kind = FrameKind::from_number(kind).ok_or(FrameError::UnknownKind { found: kind })?;
        if flags & !FLAG_LAST != 0 {
            return Err(FrameError::UnknownFlags { found: flags });
        }
        if payload_len as usize > kind.max_payload() {
            return Err(FrameError::TooLarge {
                kind: kind.name(),
                length: payload_len,
                limit: kind.max_payload() as u32,
            });
        }
        Ok(Self {
            kind,
            flags,
            request_id,
            payload_len,
            payload_crc,
        })
    }
}

/// A frame to send: small fields in `head`, bulk in `body`; the payload is one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// [`FLAG_LAST`] or nothing.
    pub flags: u8,
    /// Request it belongs to.
    pub request_id: u32,
    /// Fields of the kind.
    pub head: Bytes,
    /// Bulk behind the fields, shared with whoever produced it.
    pub body: Bytes,
}

impl Frame {
    /// A frame without bulk.
    pub fn small(kind: FrameKind, request_id: u32, head: impl Into<Bytes>) -> Self {
        Self {
            kind,
            flags: 0,
            request_id,
            head: head.into(),
            body: Bytes::new(),
        }
    }

    /// The same frame, marked as the end of an answer.
    pub fn last(mut self, last: bool) -> Self {
        if last {
            self.flags |= FLAG_LAST;
        }
        self
    }

    /// Its header.
    pub fn header(&self) -> Header {
        Header {
            kind: self.kind,
            flags: self.flags,
            request_id: self.request_id,
            payload_len: (self.head.len() + self.body.len()) as u32,
            payload_crc: self.payload_crc(),
        }
    }

    fn payload_crc(&self) -> u32 {
        let mut crc = Crc32c::new();
        crc.update(&self.head);
        crc.update(&self.body);
        crc.finish()
    }

    /// Header and fields of the frame whose bulk is this range of a file.
    pub(crate) fn front_of_range(&self, range: &FileRange) -> Bytes {
        let header = Header {
            payload_len: (self.head.len() + range.length) as u32,
            payload_crc: combine(crc32c(&self.head), range.crc, range.length),
            ..self.header()
        };
        let mut front = BytesMut::with_capacity(HEADER_SIZE + self.head.len());
        front.put_slice(&header.to_bytes());
        front.put_slice(&self.head);
        front.freeze()
    }

    /// The whole frame in one buffer; for tests and tools, the connection writes without this copy.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER_SIZE + self.head.len() + self.body.len());
        bytes.put_slice(&self.header().to_bytes());
        bytes.put_slice(&self.head);
        bytes.put_slice(&self.body);
        bytes.freeze()
    }

    /// Writes the frame with vectored writes, within `limit`.
    pub async fn write<W: AsyncWrite + Unpin>(
        &self,
        output: &mut W,
        limit: Duration,
    ) -> Result<(), TransferError> {
        let mut front = BytesMut::with_capacity(HEADER_SIZE + self.head.len());
        front.put_slice(&self.header().to_bytes());
        front.put_slice(&self.head);
        let mut whole = front.chain(self.body.clone());
        let write = async {
            output.write_all_buf(&mut whole).await?;
            output.flush().await
        };
        match timeout(limit, write).await {
            Ok(result) => result.map_err(|error| TransferError::io("writing to the peer", &error)),
            Err(_) => Err(TransferError::TimedOut {
                operation: "writing a frame to the peer",
                limit,
            }),
        }
    }
}

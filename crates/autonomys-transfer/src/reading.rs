//! Frames off a connection: header first, then a payload of a length that is believed by then, its sums taken as it comes.
//!
//! Bytes are summed step by step while they are still in the processor's cache from the copy out of the socket: a pass over them
//! later, or on another thread, would fetch them from memory again.

use crate::buffers::Buffers;
use crate::checksum::Crc32c;
use crate::error::{FrameError, TransferError};
use crate::frame::{HEADER_SIZE, Header};
use crate::limits::{HASH_STEP, READ_STEP};
use crate::message::ITEM_HEAD;
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Waits up to `idle` for a frame to begin and up to `progress` for its header. `None` when the peer closed between frames.
pub async fn read_header<R: AsyncRead + Unpin>(
    input: &mut R,
    idle: Duration,
    progress: Duration,
) -> Result<Option<Header>, TransferError> {
    let mut bytes = [0; HEADER_SIZE];
    let first = timeout(idle, input.read(&mut bytes))
        .await
        .map_err(|_| TransferError::TimedOut {
            operation: "waiting for the peer",
            limit: idle,
        })?
        .map_err(|error| TransferError::io("reading from the peer", &error))?;
    if first == 0 {
        return Ok(None);
    }
    timeout(progress, input.read_exact(&mut bytes[first..]))
        .await
        .map_err(|_| TransferError::TimedOut {
            operation: "reading a frame header",
            limit: progress,
        })?
        .map_err(|error| cut_or_io(&error))?;
    Ok(Some(Header::from_bytes(&bytes)?))
}

/// Reads the payload that `header` announces, within `progress`, and checks its checksum. One allocation of exactly its length,
/// which [`Header::from_bytes`] has checked against the limit of the kind.
pub async fn read_payload<R: AsyncRead + Unpin>(
    input: &mut R,
    header: &Header,
    progress: Duration,
) -> Result<Bytes, TransferError> {
    read_payload_into(input, header, progress, &Buffers::default()).await
}

/// The same into a kept buffer.
pub(crate) async fn read_payload_into<R: AsyncRead + Unpin>(
    input: &mut R,
    header: &Header,
    progress: Duration,
    buffers: &Buffers,
) -> Result<Bytes, TransferError> {
    let mut crc = Crc32c::new();
    let payload = read_bytes(input, header, progress, buffers, |bytes, from| {
        crc.update(&bytes[from..]);
    })
    .await?;
    // Of nothing the checksum is 0.
    match crc.finish() == header.payload_crc {
        true => Ok(payload),
        false => Err(FrameError::PayloadChecksum.into()),
    }
}

/// The payload of an `Item`, as it came.
pub(crate) struct ItemPayload {
    pub(crate) bytes: Bytes,
    /// Whether the frame's checksum is right.
    pub(crate) intact: bool,
    /// BLAKE3 of the item: of what stands behind the fields.
    pub(crate) hash: [u8; 32],
}

/// The payload of an `Item`: a wrong checksum is not the end of the connection, and the item is hashed as it comes.
pub(crate) async fn read_item<R: AsyncRead + Unpin>(
    input: &mut R,
    header: &Header,
    progress: Duration,
    buffers: &Buffers,
) -> Result<ItemPayload, TransferError> {
    let (mut crc, mut hash) = (Crc32c::new(), ItemHash::default());
    let sum = |bytes: &[u8], from: usize| {
        crc.update(&bytes[from..]);
        hash.update(bytes, false);
    };
    let bytes = read_bytes(input, header, progress, buffers, sum).await?;
    hash.update(&bytes, true);
    Ok(ItemPayload {
        intact: crc.finish() == header.payload_crc,
        hash: *hash.hasher.finalize().as_bytes(),
        bytes,
    })
}

/// The hash of an item that grows behind its fields.
#[derive(Default)]
struct ItemHash {
    hasher: blake3::Hasher,
    /// Bytes of the item that are in it.
    hashed: usize,
}

impl ItemHash {
    /// Takes in what is new of a payload that has got so long: whole steps, which the hash takes with all lanes of the processor, or
    /// with `last` the rest as well.
    fn update(&mut self, payload: &[u8], last: bool) {
        let Some(item) = payload.get(ITEM_HEAD..) else {
            return;
        };
        let end = match last {
            true => item.len(),
            false => item.len() - item.len() % HASH_STEP,
        };
        self.hasher.update(&item[self.hashed..end]);
        self.hashed = end;
    }
}

/// Reads the bytes of a payload and shows them to `sum` as they come: all that there are so far, and from where on they are new.
async fn read_bytes<R: AsyncRead + Unpin>(
    input: &mut R,
    header: &Header,
    progress: Duration,
    buffers: &Buffers,
    mut sum: impl FnMut(&[u8], usize),
) -> Result<Bytes, TransferError> {
    let length = header.payload_len as usize;
    if length == 0 {
        return Ok(Bytes::new());
    }
    let mut payload = buffers.take(length);
    let read = async {
        let bytes = payload.as_mut();
        let mut filled = 0;
        while filled < length {
            let end = length.min(filled + READ_STEP);
            let count = input.read(&mut bytes[filled..end]).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            sum(&bytes[..filled + count], filled);
            filled += count;
        }
        Ok(())
    };
    timeout(progress, read)
        .await
        .map_err(|_| TransferError::TimedOut {
            operation: "reading a frame",
            limit: progress,
        })?
        .map_err(|error: std::io::Error| cut_or_io(&error))?;
    Ok(payload.freeze())
}

fn cut_or_io(error: &std::io::Error) -> TransferError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        FrameError::Truncated.into()
    } else {
        TransferError::io("reading from the peer", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::item_frame;
    use crate::source::Item;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn items_are_hashed_whatever_steps_they_come_in(
            length in 0..400_000_usize,
            steps in proptest::collection::vec(1..100_000_usize, 1..8),
            flip in proptest::option::of(any::<proptest::sample::Index>()),
        ) {
            let item = Item::new((0..length).map(|at| (at * 31 / 7) as u8).collect::<Vec<_>>().into());
            let expected = *item.hash();
            let mut bytes = item_frame(1, 5, item).to_bytes().to_vec();
            let flip = flip.filter(|_| length > 0).map(|at| at.index(length));
            if let Some(at) = flip {
                bytes[HEADER_SIZE + ITEM_HEAD + at] ^= 0x20;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let read = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(64 * 1024);
                let write = async {
                    let mut rest = &bytes[..];
                    for step in steps.iter().cycle() {
                        if rest.is_empty() {
                            break;
                        }
                        let (now, later) = rest.split_at((*step).min(rest.len()));
                        near.write_all(now).await.expect("the other end reads");
                        rest = later;
                    }
                };
                let limit = Duration::from_secs(10);
                let read = async {
                    let header = read_header(&mut far, limit, limit).await.expect("a header").expect("a frame");
                    read_item(&mut far, &header, limit, &Buffers::default()).await.expect("a payload")
                };
                tokio::join!(write, read).1
            });
            prop_assert_eq!(&read.bytes[..], &bytes[HEADER_SIZE..]);
            prop_assert_eq!(read.intact, flip.is_none());
            prop_assert_eq!(read.hash == expected, flip.is_none());
        }
    }
}

//! Requests that wait for answers, and the rules an answer has to keep: no frame that was not asked for, no byte beyond credit.

use crate::error::{FrameError, TransferError};
use crate::frame::{FLAG_LAST, FrameKind, Header};
use crate::message::{decode_array, decode_error, decode_item, decode_sector_chunk};
use crate::reading::ItemPayload;
use bytes::Bytes;
use std::collections::HashMap;
use tokio::sync::mpsc::UnboundedSender;

/// One frame of an answer.
#[derive(Debug)]
pub(super) enum Event {
    /// An item whose checksum and hash are right.
    Item {
        position: u16,
        bytes: Bytes,
    },
    Missing {
        position: u16,
    },
    /// An item whose bytes are not those of the frame's checksum, or not those of its hash.
    Damaged {
        position: u16,
        length: usize,
    },
    Chunk {
        offset: u64,
        sector_len: u64,
        data: Bytes,
    },
    Done,
    Failed(TransferError),
}

/// What may still come for a request.
#[derive(Debug)]
pub(super) enum Expected {
    /// One answer for each position that is `true`.
    Items { open: Vec<bool>, left: usize },
    /// Chunks back to back from here, at most this many bytes.
    Sector { offset: u64, left: u64 },
    /// A bare `Done`.
    Done,
}

/// One request without its whole answer.
#[derive(Debug)]
struct Waiting {
    expected: Expected,
    /// Bytes the peer may still send.
    window: u64,
    // Unbounded in type only: its frames are bounded by `expected`, its bytes by `window`.
    events: UnboundedSender<Event>,
}

/// All requests of one connection without their whole answer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: HashMap<u32, Waiting>,
    last_id: u32,
    /// Why the connection ended; nothing is added after that.
    pub(super) closed: Option<TransferError>,
}

impl Pending {
    /// Adds a request and gives its id.
    pub(super) fn add(
        &mut self,
        expected: Expected,
        window: u32,
        events: UnboundedSender<Event>,
    ) -> Result<u32, TransferError> {
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.waiting.contains_key(&self.last_id) {
                break;
            }
        }
        self.waiting.insert(
            self.last_id,
            Waiting {
                expected,
                window: window.into(),
                events,
            },
        );
        Ok(self.last_id)
    }

    /// Forgets a request; `true` when it was still waiting.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        self.waiting.remove(&id).is_some()
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.waiting.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn add_window(&mut self, id: u32, bytes: u32) -> bool {
        match self.waiting.get_mut(&id) {
            Some(waiting) => {
                waiting.window += u64::from(bytes);
                true
            }
            None => false,
        }
    }

    /// Ends every request with this reason.
    pub(super) fn fail_all(&mut self, reason: &TransferError) {
        self.closed.get_or_insert_with(|| reason.clone());
        for (_, waiting) in self.waiting.drain() {
            // A receiver that is gone needs no news.
            let _ = waiting.events.send(Event::Failed(reason.clone()));
        }
    }

    /// Hands an item to the request that it belongs to. Its header was right, so the next frame begins where it should, whatever the
    /// item is worth: it may have been damaged on the disk of its store.
    pub(super) fn deliver_item(&mut self, header: &Header, item: ItemPayload) -> Result<(), TransferError> {
        self.answer(header, |waiting, last| waiting.accept_item(last, item))
    }

    /// Hands one frame to the request that it belongs to. An error is a peer that breaks the protocol: the connection ends.
    pub(super) fn deliver(&mut self, header: &Header, payload: Bytes) -> Result<(), TransferError> {
        if header.kind == FrameKind::Error {
            let refusal = decode_error(payload)?;
            if header.request_id == 0 {
                return Err(refusal.into());
            }
            if let Some(waiting) = self.waiting.remove(&header.request_id) {
                let _ = waiting.events.send(Event::Failed(refusal.into()));
            }
            return Ok(());
        }
        self.answer(header, |waiting, last| waiting.accept(header.kind, last, payload))
    }

    fn answer(
        &mut self,
        header: &Header,
        accept: impl FnOnce(&mut Waiting, bool) -> Result<Event, FrameError>,
    ) -> Result<(), TransferError> {
        // Frames of requests that were cancelled a moment ago are still on their way.
        let Some(waiting) = self.waiting.get_mut(&header.request_id) else {
            return Ok(());
        };
        let last = header.flags & FLAG_LAST != 0;
        let event = accept(waiting, last)?;
        let _ = waiting.events.send(event);
        if last {
            self.waiting.remove(&header.request_id);
        }
        Ok(())
    }
}

fn broken<T>(kind: FrameKind, reason: &'static str) -> Result<T, FrameError> {
    Err(FrameError::Malformed {
        kind: kind.name(),
        reason,
    })
}

impl Waiting {
    fn accept_item(&mut self, last: bool, item: ItemPayload) -> Result<Event, FrameError> {
        let kind = FrameKind::Item;
        let (position, hash, bytes) = decode_item(item.bytes)?;
        self.answer(kind, position, last)?;
        self.spend(kind, bytes.len())?;
        // A damaged position would be another one of the request; then the answer does not add up and the connection ends.
        if item.intact && item.hash == hash {
            Ok(Event::Item { position, bytes })
        } else {
            let length = bytes.len();
            Ok(Event::Damaged { position, length })
        }
    }

    fn accept(&mut self, kind: FrameKind, last: bool, payload: Bytes) -> Result<Event, FrameError> {
        let event = match (kind, &mut self.expected) {
            (FrameKind::Missing, Expected::Items { .. }) => {
                let position = u16::from_le_bytes(decode_array(kind, payload)?);
                self.answer(kind, position, last)?;
                Event::Missing { position }
            }
            (FrameKind::SectorChunk, Expected::Sector { offset: next, left }) => {
                let (offset, sector_len, data) = decode_sector_chunk(payload)?;
                let length = data.len() as u64;
                if offset != *next || length > *left || (length == 0 && !last) {
                    return broken(kind, "the chunk is not the next part of what was asked for");
                }
                if offset.checked_add(length).is_none_or(|end| end > sector_len) {
                    return broken(kind, "the chunk lies outside its sector");
                }
                *next += length;
                *left -= length;
                self.spend(kind, data.len())?;
                Event::Chunk {
                    offset,
                    sector_len,
                    data,
                }
            }
            (FrameKind::Done, Expected::Done) if last => Event::Done,
            _ => {
                return Err(FrameError::Unexpected {
                    kind: kind.name(),
                    during: "in the answer to another kind of request",
                });
            }
        };
        Ok(event)
    }

    fn answer(&mut self, kind: FrameKind, position: u16, last: bool) -> Result<(), FrameError> {
        let Expected::Items { open, left } = &mut self.expected else {
            return Err(FrameError::Unexpected {
                kind: kind.name(),
                during: "in the answer to another kind of request",
            });
        };
        match open.get_mut(usize::from(position)) {
            Some(open) if *open => *open = false,
            _ => return broken(kind, "the position was not asked for or was answered before"),
        }
        *left -= 1;
        if last == (*left == 0) {
            Ok(())
        } else {
            broken(kind, "the end of the answer is marked wrongly")
        }
    }

    fn spend(&mut self, kind: FrameKind, bytes: usize) -> Result<(), FrameError> {
        match self.window.checked_sub(bytes as u64) {
            Some(left) => {
                self.window = left;
                Ok(())
            }
            None => broken(kind, "it exceeds the credit of its request"),
        }
    }
}

//! A range of a sector as one stream of chunks, asked for in parts so that both connections to the peer carry it.

use super::answer::RangeStream;
use super::pool::{Peer, Pool};
use crate::error::TransferError;
use crate::key::SectorKey;
use crate::limits::SECTOR_PART_LEN;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A part of a sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorChunk {
    /// Offset of the first byte in the sector.
    pub offset: u64,
    /// Bytes of the whole sector.
    pub sector_len: u64,
    /// The bytes; empty only when the range is.
    pub data: Bytes,
}

/// Chunks of one range, back to back in ascending order. Any error ends the stream; the rest can be asked for again from the
/// end of the last chunk. Dropping the stream cancels what has not arrived.
pub struct SectorStream(BoxStream<'static, Result<SectorChunk, TransferError>>);

impl fmt::Debug for SectorStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SectorStream(..)")
    }
}

impl Stream for SectorStream {
    type Item = Result<SectorChunk, TransferError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// What is asked for.
pub(super) struct Range {
    pub(super) pool: Pool,
    pub(super) peer: Peer,
    pub(super) key: SectorKey,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) deadline: Instant,
}

struct Parts {
    range: Range,
    current: RangeStream,
    /// The part behind the current one, asked for while that arrives.
    ahead: Option<AbortOnDropHandle<Result<RangeStream, TransferError>>>,
    /// Where the next part to ask for begins.
    next: u64,
    failed: bool,
}

impl Range {
    async fn part(&self, offset: u64, length: u64) -> Result<RangeStream, TransferError> {
        self.pool
            .sector_part(&self.peer, self.key, offset, length, self.deadline)
            .await
    }

    /// Asks for the first part; the others follow once it has told how long the sector is.
    pub(super) async fn open(self) -> Result<SectorStream, TransferError> {
        let first = self.length.min(SECTOR_PART_LEN);
        let parts = Parts {
            current: self.part(self.offset, first).await?,
            next: self.offset.saturating_add(first),
            ahead: None,
            failed: false,
            range: self,
        };
        Ok(SectorStream(stream::unfold(parts, Parts::next_chunk).boxed()))
    }
}

impl Parts {
    async fn next_chunk(mut self) -> Option<(Result<SectorChunk, TransferError>, Self)> {
        if self.failed {
            return None;
        }
        loop {
            match self.current.next().await {
                Some(Ok(chunk)) => {
                    self.ask_ahead(chunk.sector_len);
                    return Some((Ok(chunk), self));
                }
                Some(Err(error)) => return Some(self.fail(error)),
                None => {}
            }
            let ahead = self.ahead.take()?.await;
            match ahead.unwrap_or_else(|error| Err(TransferError::Internal(error.to_string()))) {
                Ok(part) => self.current = part,
                Err(error) => return Some(self.fail(error)),
            }
        }
    }

    fn fail(mut self, error: TransferError) -> (Result<SectorChunk, TransferError>, Self) {
        self.failed = true;
        self.ahead = None;
        (Err(error), self)
    }

    fn ask_ahead(&mut self, sector_len: u64) {
        let end = self
            .range
            .offset
            .saturating_add(self.range.length)
            .min(sector_len);
        if self.ahead.is_some() || self.next >= end {
            return;
        }
        let (offset, length) = (self.next, (end - self.next).min(SECTOR_PART_LEN));
        self.next += length;
        let (pool, peer) = (self.range.pool.clone(), self.range.peer.clone());
        let (key, deadline) = (self.range.key, self.range.deadline);
        let ask = async move { pool.sector_part(&peer, key, offset, length, deadline).await };
        self.ahead = Some(AbortOnDropHandle::new(tokio::spawn(ask)));
    }
}

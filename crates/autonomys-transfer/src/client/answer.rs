//! Answers as streams, each with a deadline.

use super::link::Request;
use super::pending::Event;
use super::sector::SectorChunk;
use super::skip::Skipper;
use super::statistics::Statistics;
use crate::error::{FrameError, TransferError};
use crate::key::ItemKey;
use bytes::Bytes;
use futures::Stream;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

/// An answer in progress: request, deadline, statistics. Fused: after an end or an error nothing more comes.
#[derive(Debug)]
struct Answer {
    request: Option<Request>,
    deadline: Pin<Box<Sleep>>,
    asked_at: Option<Instant>,
    statistics: Arc<Statistics>,
}

impl Answer {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, TransferError>>> {
        let Some(request) = &mut self.request else {
            return Poll::Ready(None);
        };
        // The deadline holds even when frames are there without end.
        if self.deadline.as_mut().poll(context).is_ready() {
            self.request = None;
            return Poll::Ready(Some(Err(TransferError::DeadlineExceeded)));
        }
        let Some(event) = ready!(request.poll_event(context)) else {
            self.request = None;
            return Poll::Ready(None);
        };
        if let Some(asked_at) = self.asked_at.take() {
            self.statistics.first_answer(asked_at.elapsed());
        }
        if let Event::Failed(error) = event {
            self.request = None;
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(event)))
    }

    fn received(&mut self, bytes: usize) {
        self.statistics.received(bytes);
        if let Some(request) = &mut self.request {
            request.consumed(bytes);
        }
    }

    fn unexpected(&mut self) -> TransferError {
        self.request = None;
        FrameError::Unexpected {
            kind: "answer",
            during: "in another kind of request",
        }
        .into()
    }
}

type ItemResult = Result<(ItemKey, Option<Bytes>), TransferError>;

/// Items of one request in the order of their arrival, `None` for those the peer does not have. Hashes have been checked:
/// [`TransferError::CorruptItem`] concerns one item, which is reported to the peer, and the stream goes on; any other error ends it. Dropping the stream
/// cancels what has not arrived.
#[derive(Debug)]
pub struct ItemStream {
    answer: Answer,
    keys: Vec<ItemKey>,
    skipper: Skipper,
}

impl ItemStream {
    pub(super) fn new(
        request: Request,
        keys: Vec<ItemKey>,
        deadline: Instant,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            skipper: request.skipper(&keys),
            answer: new_answer(request, deadline, statistics),
            keys,
        }
    }

    /// A handle to take single keys back with.
    pub(super) fn skipper(&self) -> Skipper {
        self.skipper.clone()
    }

    fn arrive(&mut self, event: Event) -> ItemResult {
        // `Pending` has checked that the position is one of the request.
        match event {
            Event::Missing { position } => Ok((self.keys[usize::from(position)], None)),
            Event::Damaged { position, length } => {
                let key = self.keys[usize::from(position)];
                self.answer.received(length);
                self.skipper.report(key);
                Err(TransferError::CorruptItem { key })
            }
            Event::Item { position, bytes } => {
                self.answer.received(bytes.len());
                Ok((self.keys[usize::from(position)], Some(bytes)))
            }
            _ => Err(self.answer.unexpected()),
        }
    }
}

fn new_answer(request: Request, deadline: Instant, statistics: Arc<Statistics>) -> Answer {
    Answer {
        request: Some(request),
        deadline: Box::pin(tokio::time::sleep_until(deadline)),
        asked_at: Some(Instant::now()),
        statistics,
    }
}

impl Stream for ItemStream {
    type Item = ItemResult;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.answer.poll(context));
        Poll::Ready(event.map(|event| self.arrive(event?)))
    }
}

/// Chunks of one `GetSector`, back to back in ascending order. Any error ends it; dropping it cancels what has not arrived.
#[derive(Debug)]
pub(super) struct RangeStream {
    answer: Answer,
}

impl RangeStream {
    pub(super) fn new(request: Request, deadline: Instant, statistics: Arc<Statistics>) -> Self {
        Self {
            answer: new_answer(request, deadline, statistics),
        }
    }
}

impl Stream for RangeStream {
    type Item = Result<SectorChunk, TransferError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let result = match ready!(self.answer.poll(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => Err(error),
            Some(Ok(Event::Chunk {
                offset,
                sector_len,
                data,
            })) => {
                self.answer.received(data.len());
                Ok(SectorChunk {
                    offset,
                    sector_len,
                    data,
                })
            }
            Some(Ok(_)) => Err(self.answer.unexpected()),
        };
        Poll::Ready(Some(result))
    }
}

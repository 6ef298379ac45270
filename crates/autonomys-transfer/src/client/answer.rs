//! Answers as streams, each with a deadline.

use super::link::Request;
use super::pending::Event;
use super::sector::SectorChunk;
use super::skip::Skipper;
use super::statistics::Statistics;
use crate::error::{FrameError, TransferError};
use crate::key::ItemKey;
use crate::limits::SMALL_PAYLOAD;
use bytes::Bytes;
use futures::Stream;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinError, JoinHandle};
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

/// Part of an answer that came, with the length of its item.
#[derive(Debug)]
struct Arrived {
    length: usize,
    state: ArrivedState,
}

#[derive(Debug)]
enum ArrivedState {
    Done(ItemResult),
    /// The hash is under way on a blocking thread.
    Hashing(JoinHandle<ItemResult>),
}

impl Arrived {
    fn done(length: usize, result: ItemResult) -> Self {
        Self {
            length,
            state: ArrivedState::Done(result),
        }
    }
}

/// Items of one request in the order of their arrival, `None` for those the peer does not have. Hashes are checked here:
/// [`TransferError::CorruptItem`] concerns one item, which is reported to the peer, and the stream goes on; any other error ends it. Dropping the stream
/// cancels what has not arrived.
#[derive(Debug)]
pub struct ItemStream {
    answer: Answer,
    keys: Vec<ItemKey>,
    skipper: Skipper,
    /// Bounded by the window of the request, which is renewed as items leave here.
    arrived: VecDeque<Arrived>,
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
            arrived: VecDeque::new(),
        }
    }

    /// A handle to take single keys back with.
    pub(super) fn skipper(&self) -> Skipper {
        self.skipper.clone()
    }

    /// The first that arrived, once its hash is known.
    fn poll_arrived(&mut self, context: &mut Context<'_>) -> Poll<Option<ItemResult>> {
        if let Some(Arrived { state, .. }) = self.arrived.front_mut()
            && let ArrivedState::Hashing(hashing) = state
        {
            let failed = |error: JoinError| Err(TransferError::Internal(error.to_string()));
            *state = ArrivedState::Done(ready!(Pin::new(hashing).poll(context)).unwrap_or_else(failed));
        }
        let Some(Arrived {
            length,
            state: ArrivedState::Done(result),
        }) = self.arrived.pop_front()
        else {
            return Poll::Ready(None);
        };
        if length > 0 {
            self.answer.received(length);
        }
        if let Err(TransferError::CorruptItem { key }) = &result {
            self.skipper.report(*key);
        }
        Poll::Ready(Some(result))
    }

    fn arrive(&mut self, event: Event) -> Arrived {
        let (position, hash, bytes) = match event {
            // `Pending` has checked that the position is one of the request.
            Event::Missing { position } => {
                return Arrived::done(0, Ok((self.keys[usize::from(position)], None)));
            }
            Event::Damaged { position, length } => {
                let key = self.keys[usize::from(position)];
                return Arrived::done(length, Err(TransferError::CorruptItem { key }));
            }
            Event::Item {
                position,
                hash,
                bytes,
            } => (position, hash, bytes),
            _ => return Arrived::done(0, Err(self.answer.unexpected())),
        };
        let (key, length) = (self.keys[usize::from(position)], bytes.len());
        let check = move || {
            if blake3::hash(&bytes) == hash {
                Ok((key, Some(bytes)))
            } else {
                Err(TransferError::CorruptItem { key })
            }
        };
        if length <= SMALL_PAYLOAD {
            Arrived::done(length, check())
        } else {
            Arrived {
                length,
                state: ArrivedState::Hashing(tokio::task::spawn_blocking(check)),
            }
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
        let this = &mut *self;
        // Everything that is there starts to be hashed before the first of it is waited for.
        let ended = loop {
            match this.answer.poll(context) {
                Poll::Ready(Some(Ok(event))) => {
                    let arrived = this.arrive(event);
                    this.arrived.push_back(arrived);
                }
                Poll::Ready(Some(Err(error))) => this.arrived.push_back(Arrived::done(0, Err(error))),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        match this.poll_arrived(context) {
            Poll::Ready(None) if !ended => Poll::Pending,
            result => result,
        }
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

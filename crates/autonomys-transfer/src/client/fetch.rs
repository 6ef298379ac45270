//! Fetching many items from many places at once: what callers say and what they get.

mod driver;
mod lane;
mod want;

use super::pool::{Peer, Pool};
use crate::error::TransferError;
use crate::key::ItemKey;
use crate::limits::{FETCH_BYTES_IN_FLIGHT, FETCH_ITEM_DEADLINE, MAX_ITEM_LEN};
use bytes::Bytes;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One place an item can come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Who is asked.
    pub peer: Arc<Peer>,
    /// For what.
    pub key: ItemKey,
}

/// One thing wanted: items with `need` distinct keys, from any of its sources.
///
/// A whole piece is `need: 1` and one source per owner, all with the same key; a split piece is `need: k` and one source per part
/// and owner. Sources stand in order of preference.
#[derive(Debug, Clone)]
pub struct Want {
    /// Distinct keys that complete it.
    pub need: usize,
    /// So many more are asked for at once, and whichever come first count (late binding). Where no further keys are left, a spare is
    /// a second place for the same key.
    pub spare: usize,
    /// Where they can come from. The rest is asked when one before it is missing, fails or is late.
    pub sources: Vec<Source>,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions {
    /// Wants that are not complete by then are given back as they are.
    pub deadline: Instant,
    /// A peer that delivers nothing of what it was asked for so long has failed for all of it.
    pub item_deadline: Duration,
    /// Longest item expected, in bytes; a longer one counts as damaged. At most [`MAX_ITEM_LEN`].
    pub item_len: usize,
    /// Bytes of wants asked for and not yet taken from the stream, each counted as `need + spare` items of `item_len`. At least one
    /// want is always under way.
    pub bytes_in_flight: usize,
}

impl FetchOptions {
    /// The usual bounds and this deadline.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            item_deadline: FETCH_ITEM_DEADLINE,
            item_len: MAX_ITEM_LEN,
            bytes_in_flight: FETCH_BYTES_IN_FLIGHT,
        }
    }
}

/// How one source that was asked did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The item came and its hash is right.
    Delivered,
    /// The peer does not have it.
    Missing,
    /// It failed, came damaged ([`TransferError::CorruptItem`]), or took longer than its deadline.
    Failed(TransferError),
    /// Others were faster, or the want was given up.
    NotNeeded,
}

/// One source that was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its number among the sources of the want.
    pub source: usize,
    /// Who was asked.
    pub peer: Arc<Peer>,
    /// What came of it.
    pub outcome: Outcome,
    /// Bytes of the item; 0 unless delivered.
    pub bytes: usize,
    /// From the question to the outcome.
    pub latency: Duration,
    /// Asked only because another source was late.
    pub hedge: bool,
}

/// A want that is done.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Number of the want in the call.
    pub want: usize,
    /// Items with distinct keys in order of arrival: `need` of them, or fewer.
    pub items: Vec<(ItemKey, Bytes)>,
    /// Whether these are all that it needs.
    pub complete: bool,
    /// The sources that were asked, in the order in which they were.
    pub asked: Vec<Asked>,
}

/// Wants as they get done, in any order, each exactly once. Dropping it cancels what is under way.
#[derive(Debug)]
pub struct Fetch {
    // Unbounded in type only: what is in it holds its part of `FetchOptions::bytes_in_flight`.
    done: mpsc::UnboundedReceiver<(Fetched, OwnedSemaphorePermit)>,
    _stop: DropGuard,
}

impl Stream for Fetch {
    type Item = Fetched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Fetched>> {
        // From here on the bytes are the caller's: their room is free.
        self.done
            .poll_recv(context)
            .map(|done| done.map(|(fetched, _room)| fetched))
    }
}

impl Pool {
    /// Fetches all wants, batched by peer, each from as few sources as it needs.
    ///
    /// Every want comes back once, complete or not; failures of single sources are in [`Fetched::asked`].
    pub fn fetch(&self, wants: Vec<Want>, options: FetchOptions) -> Fetch {
        let stop = CancellationToken::new();
        let (sender, done) = mpsc::unbounded_channel();
        let work = driver::Driver::new(self.clone(), wants, options, sender).run();
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        Fetch {
            done,
            _stop: stop.drop_guard(),
        }
    }
}

//! Following the records of a bucket through restarts of the server, reconnects and the loss of the bucket itself.
//!
//! After every interruption the watch lists everything again and tells the differences: a follower sees each record's
//! newest state and each removal, never a gap. Intermediate states may be skipped.

use super::bucket::{Bucket, Entry, OPERATION};
use crate::codec::{self, Message};
use crate::connection::ConnectionState;
use futures::{Stream, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

/// Events that wait for a slow follower before the watch itself waits.
const QUEUE: usize = 256;
/// Pause before a broken watch begins anew.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
/// How often the bucket is checked for having been lost and made again, which a consumer does not notice.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// What happens in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent<V> {
    /// The record is new or has changed.
    Put(Entry<V>),
    /// The record was removed.
    Removed(String),
    /// Everything that was there when the watch began, or began anew, has been told.
    Synced,
}

/// Events of a bucket, for ever; dropping it ends the watch.
#[derive(Debug)]
pub struct Watch<V> {
    events: mpsc::Receiver<WatchEvent<V>>,
}

impl<V> Watch<V> {
    /// The next event; `None` only when the connection is closed for good.
    pub async fn next_event(&mut self) -> Option<WatchEvent<V>> {
        self.events.recv().await
    }
}

impl<V> Watch<V> {
    /// An event that has come already, if there is one.
    pub(crate) fn ready_event(&mut self) -> Option<WatchEvent<V>> {
        self.events.try_recv().ok()
    }
}

impl<V> Stream for Watch<V> {
    type Item = WatchEvent<V>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

impl<V: Message + Clone> Watch<V> {
    pub(super) fn start(bucket: Bucket<V>, filters: Vec<String>) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let closed = sender.clone();
            let mut follower = Follower {
                bucket,
                filters,
                known: BTreeMap::new(),
                created: 0,
                sender,
            };
            tokio::select! {
                () = follower.run() => {}
                () = closed.closed() => {}
            }
        });
        Self { events }
    }
}

/// Why a round of following ended.
enum Interrupted {
    /// The follower is gone or the connection is closed.
    Ended,
    /// To be begun anew.
    Broken(String),
}

struct Follower<V> {
    bucket: Bucket<V>,
    filters: Vec<String>,
    /// Revision of every record that was told.
    known: BTreeMap<String, u64>,
    /// When the bucket was made, by the server's clock; revisions of another bucket mean nothing.
    created: i128,
    sender: mpsc::Sender<WatchEvent<V>>,
}

impl<V: Message + Clone> Follower<V> {
    async fn run(&mut self) {
        if self.filters.is_empty() {
            // A consumer without a filter would get everything.
            let _ = self.sender.send(WatchEvent::Synced).await;
            return std::future::pending().await;
        }
        loop {
            match self.follow().await {
                Interrupted::Ended => return,
                Interrupted::Broken(reason) => {
                    debug!(bucket = self.bucket.object().name(), reason, "watching anew")
                }
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    async fn follow(&mut self) -> Interrupted {
        let Err(interrupted) = self.follow_until_broken().await;
        interrupted
    }

    async fn follow_until_broken(&mut self) -> Result<Infallible, Interrupted> {
        let broken = |error: &dyn ToString| Interrupted::Broken(error.to_string());
        let object = self.bucket.object().clone();
        let mut connection = object.cluster.connection_state();
        connection.mark_unchanged();
        let stream = object.ensure().await.map_err(|error| broken(&error))?;
        let created = stream.cached_info().created.unix_timestamp_nanos();
        if created != self.created {
            self.created = created;
            // Revisions begin at 1.
            self.known.values_mut().for_each(|revision| *revision = 0);
        }
        let consumer = stream
            .create_consumer(self.bucket.consumer(&self.filters))
            .await
            .map_err(|error| broken(&error))?;
        let mut pending = consumer.cached_info().num_pending;
        let mut messages = consumer.messages().await.map_err(|error| broken(&error))?;
        // Keys seen in this round, until the listing is complete.
        let mut listing = Some(BTreeSet::new());
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.reset();
        loop {
            if pending == 0
                && let Some(seen) = listing.take()
            {
                self.complete(&seen).await?;
            }
            tokio::select! {
                message = messages.next() => {
                    let message = message
                        .ok_or_else(|| Interrupted::Broken("the consumer ended".to_owned()))?
                        .map_err(|error| broken(&error))?;
                    let (revision, left) = {
                        let info = message.info().map_err(|error| broken(&error))?;
                        (info.stream_sequence, info.pending)
                    };
                    pending = left;
                    let Some(key) = self.bucket.key(&message.subject).map(str::to_owned) else { continue };
                    let deleted = message.headers.as_ref().is_some_and(|headers| headers.get(OPERATION).is_some());
                    if let Some(seen) = &mut listing
                        && !deleted
                    {
                        seen.insert(key.clone());
                    }
                    self.tell(key, revision, (!deleted).then_some(&message.payload[..])).await?;
                }
                changed = connection.changed() => {
                    changed.map_err(|_| Interrupted::Ended)?;
                    // What happened while nobody listened is found by listing.
                    if *connection.borrow_and_update() == ConnectionState::Connected {
                        return Err(Interrupted::Broken("reconnected".to_owned()));
                    }
                }
                _ = check.tick() => {
                    // Silence means nothing here: a server that is away shows in the connection.
                    if let Ok(info) = stream.get_info().await
                        && info.created.unix_timestamp_nanos() != created
                    {
                        return Err(Interrupted::Broken("the bucket was made anew".to_owned()));
                    }
                    if let Err(error) = object.ensure().await {
                        debug!(%error, "the bucket could not be checked");
                    }
                }
            }
        }
    }

    /// The listing is complete: what was known and is not there any more was removed.
    async fn complete(&mut self, seen: &BTreeSet<String>) -> Result<(), Interrupted> {
        let removed: Vec<String> = self
            .known
            .keys()
            .filter(|key| !seen.contains(*key))
            .cloned()
            .collect();
        for key in removed {
            self.known.remove(&key);
            self.send(WatchEvent::Removed(key)).await?;
        }
        self.send(WatchEvent::Synced).await
    }

    async fn tell(&mut self, key: String, revision: u64, value: Option<&[u8]>) -> Result<(), Interrupted> {
        let Some(value) = value else {
            if self.known.remove(&key).is_some() {
                self.send(WatchEvent::Removed(key)).await?;
            }
            return Ok(());
        };
        if self.known.insert(key.clone(), revision) == Some(revision) {
            return Ok(());
        }
        match codec::decode(value) {
            Ok(value) => self.send(WatchEvent::Put(Entry { key, value, revision })).await,
            Err(error) => {
                warn!(key, %error, "a record was left out");
                Ok(())
            }
        }
    }

    async fn send(&self, event: WatchEvent<V>) -> Result<(), Interrupted> {
        self.sender.send(event).await.map_err(|_| Interrupted::Ended)
    }
}

//! The pool: connections on demand, back-off for peers that fail, and the requests themselves.

use super::answer::{ItemStream, SectorStream};
use super::link::{Link, Request};
use super::pending::{Event, Expected};
use super::statistics::{PeerStats, Statistics};
use crate::error::TransferError;
use crate::frame::Frame;
use crate::handshake::SessionKey;
use crate::key::{ItemKey, SectorKey};
use crate::limits::{
    BACKOFF_FIRST, BACKOFF_MAX, MAX_ITEM_LEN, MAX_KEYS_PER_GET, MAX_POOL_CONNECTIONS, REQUEST_WINDOW,
    Timeouts,
};
use crate::message::{Get, GetSector, put_frame};
use crate::source::Item;
use rand::Rng;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A member as its record on the control plane shows it to the data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id; with the address it names the connection.
    pub member: String,
    /// One of its data plane addresses.
    pub address: SocketAddr,
    /// Its session key. A changed one means that the member restarted: the old connection is given up.
    pub session_key: SessionKey,
}

/// Bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Waits of each connection.
    pub timeouts: Timeouts,
    /// Connections, and peers remembered, at once.
    pub max_connections: usize,
    /// First delay before a failed peer is tried again; doubles with each failure, and is jittered.
    pub backoff_first: Duration,
    /// Longest such delay.
    pub backoff_max: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            max_connections: MAX_POOL_CONNECTIONS,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Attempts {
    /// Key that the link and the failures below belong to.
    key: Option<SessionKey>,
    link: Option<Arc<Link>>,
    failures: u32,
    retry_at: Option<Instant>,
    reason: String,
}

#[derive(Debug)]
struct PeerState {
    attempts: tokio::sync::Mutex<Attempts>,
    statistics: Arc<Statistics>,
    last_used: Mutex<Instant>,
}

impl PeerState {
    /// Nobody connects or waits for an answer, so the entry may be dropped.
    fn is_idle(&self) -> bool {
        match self.attempts.try_lock() {
            Ok(attempts) => attempts
                .link
                .as_ref()
                .is_none_or(|link| !link.is_open() || link.is_idle()),
            Err(_) => false,
        }
    }

    fn last_used(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Inner {
    options: PoolOptions,
    cancel: CancellationToken,
    peers: Mutex<HashMap<(String, SocketAddr), Arc<PeerState>>>,
}

/// All connections of this process to other members. Cheap to clone; must be used inside a tokio runtime.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

impl Pool {
    /// An empty pool whose connections end with `cancel`.
    pub fn new(options: PoolOptions, cancel: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            options,
            cancel,
            peers: Mutex::default(),
        }))
    }

    /// Asks for 1 to 256 distinct items. Answers come as they are ready.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached, or is backing off, or the keys cannot be asked for at once.
    pub async fn get(
        &self,
        peer: &Peer,
        keys: Vec<ItemKey>,
        deadline: Instant,
    ) -> Result<ItemStream, TransferError> {
        if keys.is_empty() || keys.len() > MAX_KEYS_PER_GET {
            return Err(TransferError::BadRequest {
                reason: "a request takes 1 to 256 keys",
            });
        }
        if keys.iter().collect::<HashSet<_>>().len() != keys.len() {
            return Err(TransferError::BadRequest {
                reason: "a key stands twice in the request",
            });
        }
        let expected = Expected::Items {
            open: vec![true; keys.len()],
            left: keys.len(),
        };
        let get = Get {
            window: (keys.len() * MAX_ITEM_LEN).min(REQUEST_WINDOW) as u32,
            keys,
        };
        let (request, statistics) = self
            .request(peer, get.keys.len(), expected, get.window, deadline, |id| {
                get.to_frame(id)
            })
            .await?;
        Ok(ItemStream::new(request, get.keys, deadline, statistics))
    }

    /// Gives an item to the peer and waits until it has taken it.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached, refuses the item, or does not answer before the deadline.
    pub async fn put(
        &self,
        peer: &Peer,
        key: ItemKey,
        item: Item,
        deadline: Instant,
    ) -> Result<(), TransferError> {
        if item.bytes().len() > MAX_ITEM_LEN {
            return Err(TransferError::BadRequest {
                reason: "the item is longer than the limit",
            });
        }
        self.ask_done(peer, deadline, |id| put_frame(id, key, item)).await
    }

    /// Asks for `length` bytes of a sector from `offset`; what lies behind its end is left out (`u64::MAX`: to the end).
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached. A refusal (unknown sector, offset behind the end) comes as the first thing of the stream.
    pub async fn get_sector_range(
        &self,
        peer: &Peer,
        key: SectorKey,
        offset: u64,
        length: u64,
        deadline: Instant,
    ) -> Result<SectorStream, TransferError> {
        let get = GetSector {
            key,
            offset,
            length,
            window: REQUEST_WINDOW as u32,
        };
        let expected = Expected::Sector { offset, left: length };
        let (request, statistics) = self
            .request(peer, 1, expected, get.window, deadline, |id| get.to_frame(id))
            .await?;
        Ok(SectorStream::new(request, deadline, statistics))
    }

    /// Tells the peer that the sector is stored durably here, so that it may delete it. May be repeated.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached, refuses, or does not answer before the deadline.
    pub async fn ack(&self, peer: &Peer, key: SectorKey, deadline: Instant) -> Result<(), TransferError> {
        let frame = |id| Frame::small(crate::frame::FrameKind::Ack, id, key.to_bytes().to_vec());
        self.ask_done(peer, deadline, frame).await
    }

    /// What is known about a peer; `None` when it has never been asked, or was forgotten for others.
    pub fn stats(&self, member: &str, address: SocketAddr) -> Option<PeerStats> {
        Some(
            self.peers()
                .get(&(member.to_owned(), address))?
                .statistics
                .snapshot(),
        )
    }

    /// Peers that the pool remembers.
    pub fn len(&self) -> usize {
        self.peers().len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.peers().is_empty()
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<(String, SocketAddr), Arc<PeerState>>> {
        self.0.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_done(
        &self,
        peer: &Peer,
        deadline: Instant,
        to_frame: impl FnOnce(u32) -> Frame,
    ) -> Result<(), TransferError> {
        let asked_at = Instant::now();
        let (mut request, statistics) = self
            .request(peer, 1, Expected::Done, 0, deadline, to_frame)
            .await?;
        let event = before(deadline, async { Ok(request.event().await) }).await?;
        statistics.first_answer(asked_at.elapsed());
        match event {
            Some(Event::Done) => Ok(()),
            Some(Event::Failed(error)) => Err(error),
            _ => Err(TransferError::ConnectionClosed),
        }
    }

    async fn request(
        &self,
        peer: &Peer,
        keys: usize,
        expected: Expected,
        window: u32,
        deadline: Instant,
        to_frame: impl FnOnce(u32) -> Frame,
    ) -> Result<(Request, Arc<Statistics>), TransferError> {
        let state = self.peer_state(peer)?;
        let request = before(deadline, async {
            let link = self.link(peer, &state).await?;
            if keys > usize::from(link.limits.max_keys) {
                return Err(TransferError::BadRequest {
                    reason: "the peer takes fewer keys in one request",
                });
            }
            link.request(expected, window, to_frame).await
        })
        .await?;
        state.statistics.requests.fetch_add(1, Ordering::Relaxed);
        Ok((request, state.statistics.clone()))
    }

    /// The entry of a peer; makes room for a new one by closing the idle connection that was not used for longest.
    fn peer_state(&self, peer: &Peer) -> Result<Arc<PeerState>, TransferError> {
        let now = Instant::now();
        let mut peers = self.peers();
        let name = (peer.member.clone(), peer.address);
        if let Some(state) = peers.get(&name) {
            *state.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
            return Ok(state.clone());
        }
        let limit = self.0.options.max_connections;
        if peers.len() >= limit {
            let idle = peers
                .iter()
                .filter(|(_, state)| Arc::strong_count(state) == 1 && state.is_idle());
            let Some(oldest) = idle
                .min_by_key(|(_, state)| state.last_used())
                .map(|(name, _)| name.clone())
            else {
                return Err(TransferError::TooManyConnections { limit });
            };
            if let Some(state) = peers.remove(&oldest)
                && let Ok(attempts) = state.attempts.try_lock()
                && let Some(link) = &attempts.link
            {
                link.closed.cancel();
            }
        }
        let state = Arc::new(PeerState {
            attempts: tokio::sync::Mutex::default(),
            statistics: Arc::default(),
            last_used: Mutex::new(now),
        });
        peers.insert(name, state.clone());
        Ok(state)
    }

    /// The open connection to a peer, or a new one unless the peer failed a moment ago.
    async fn link(&self, peer: &Peer, state: &PeerState) -> Result<Arc<Link>, TransferError> {
        if self.0.cancel.is_cancelled() {
            return Err(TransferError::ShuttingDown);
        }
        let mut attempts = state.attempts.lock().await;
        if attempts.key != Some(peer.session_key) {
            // The member restarted: whatever failed before says nothing about the new process.
            if let Some(link) = &attempts.link {
                link.closed.cancel();
            }
            *attempts = Attempts {
                key: Some(peer.session_key),
                ..Attempts::default()
            };
        }
        match attempts.link.take() {
            Some(link) if link.is_open() => {
                attempts.link = Some(link.clone());
                return Ok(link);
            }
            Some(link) => {
                state.statistics.failures.fetch_add(1, Ordering::Relaxed);
                if link.has_answered() {
                    attempts.failures = 0;
                } else {
                    self.back_off(
                        &mut attempts,
                        "it closed the connection without an answer".to_owned(),
                    );
                }
            }
            None => {}
        }
        if let Some(retry_at) = attempts.retry_at {
            let retry_in = retry_at.saturating_duration_since(Instant::now());
            if !retry_in.is_zero() {
                return Err(TransferError::BackingOff {
                    member: peer.member.clone(),
                    address: peer.address,
                    retry_in,
                    reason: attempts.reason.clone(),
                });
            }
        }
        let options = &self.0.options;
        match Link::connect(peer.address, &peer.session_key, options.timeouts, &self.0.cancel).await {
            Ok(link) => {
                attempts.link = Some(link.clone());
                attempts.retry_at = None;
                Ok(link)
            }
            Err(error) => {
                state.statistics.failures.fetch_add(1, Ordering::Relaxed);
                self.back_off(&mut attempts, error.to_string());
                Err(error)
            }
        }
    }

    fn back_off(&self, attempts: &mut Attempts, reason: String) {
        let options = &self.0.options;
        let delay = options
            .backoff_first
            .saturating_mul(1 << attempts.failures.min(16))
            .min(options.backoff_max);
        attempts.failures = attempts.failures.saturating_add(1);
        attempts.reason = reason;
        // Half to all of it: members that lost the same peer together do not come back together.
        attempts.retry_at = Some(Instant::now() + delay.mul_f64(rand::rng().random_range(0.5..=1.0)));
    }
}

async fn before<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    timeout_at(deadline, work)
        .await
        .unwrap_or(Err(TransferError::DeadlineExceeded))
}

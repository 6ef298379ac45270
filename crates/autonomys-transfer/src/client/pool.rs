//! The pool: connections on demand, back-off for peers that fail, and the requests themselves.

use super::answer::{ItemStream, RangeStream};
use super::link::Request;
use super::peer_state::{Connecting, PeerState};
use super::pending::{Event, Expected};
use super::sector::{Range, SectorStream};
use super::statistics::{PeerStats, Statistics};
use crate::buffers::Buffers;
use crate::error::TransferError;
use crate::frame::Frame;
use crate::handshake::SessionKey;
use crate::key::{ItemKey, SectorKey};
use crate::limits::{
    BACKOFF_FIRST, BACKOFF_MAX, CONNECTIONS_PER_PEER, MAX_ITEM_LEN, MAX_KEYS_PER_GET, MAX_POOL_CONNECTIONS,
    REQUEST_WINDOW, REQUEST_WINDOW_ITEMS, Timeouts,
};
use crate::message::{Get, GetSector, put_frame};
use crate::source::Item;
use crate::tls::ClientTls;
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
    /// Peers remembered at once.
    pub max_connections: usize,
    /// Connections to one peer; the second and further ones are made while all are busy. At least 1.
    pub connections_per_peer: usize,
    /// Whether connections use TLS; servers have to be set the same way.
    pub tls: bool,
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
            connections_per_peer: CONNECTIONS_PER_PEER,
            tls: false,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
        }
    }
}

#[derive(Debug)]
struct Inner {
    connecting: Connecting,
    peers: Mutex<HashMap<(String, SocketAddr), Arc<PeerState>>>,
}

/// All connections of this process to other members. Cheap to clone; must be used inside a tokio runtime.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

impl Pool {
    /// An empty pool whose connections end with `cancel`.
    pub fn new(options: PoolOptions, cancel: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            connecting: Connecting {
                options,
                tls: options.tls.then(ClientTls::new),
                buffers: Buffers::default(),
                cancel,
            },
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
        self.get_sized(peer, keys, MAX_ITEM_LEN, deadline).await
    }

    /// The same for items that are hardly longer than `item_len`: the peer may be so many of them ahead, not as many bytes as whole
    /// pieces have, so that items which are not needed any more can still be skipped.
    pub(super) async fn get_sized(
        &self,
        peer: &Peer,
        keys: Vec<ItemKey>,
        item_len: usize,
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
            // A server keeps the longest item in hand; so many are under way before it needs more.
            window: (MAX_ITEM_LEN + (keys.len().min(REQUEST_WINDOW_ITEMS) - 1) * item_len.min(MAX_ITEM_LEN))
                as u32,
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
        let range = Range {
            pool: self.clone(),
            peer: peer.clone(),
            key,
            offset,
            length,
            deadline,
        };
        range.open().await
    }

    /// One `GetSector`.
    pub(super) async fn sector_part(
        &self,
        peer: &Peer,
        key: SectorKey,
        offset: u64,
        length: u64,
        deadline: Instant,
    ) -> Result<RangeStream, TransferError> {
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
        Ok(RangeStream::new(request, deadline, statistics))
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
            let link = state.link(peer, &self.0.connecting).await?;
            let limit = usize::from(link.limits.max_keys);
            if keys > limit {
                return Err(TransferError::TooManyKeys { limit });
            }
            link.request(expected, window, to_frame).await
        })
        .await?;
        state.statistics.requests.fetch_add(1, Ordering::Relaxed);
        Ok((request, state.statistics.clone()))
    }

    /// The entry of a peer; makes room for a new one by closing the idle connection that was not used for longest.
    fn peer_state(&self, peer: &Peer) -> Result<Arc<PeerState>, TransferError> {
        let mut peers = self.peers();
        let name = (peer.member.clone(), peer.address);
        if let Some(state) = peers.get(&name) {
            state.used_now();
            return Ok(state.clone());
        }
        let limit = self.0.connecting.options.max_connections;
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
            if let Some(state) = peers.remove(&oldest) {
                state.close();
            }
        }
        let state = PeerState::new();
        peers.insert(name, state.clone());
        Ok(state)
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

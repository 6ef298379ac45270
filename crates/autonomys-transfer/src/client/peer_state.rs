//! What a pool keeps for one peer: its connections, when it may be tried again, and its statistics.

use super::link::Link;
use super::pool::{Peer, PoolOptions};
use super::statistics::Statistics;
use crate::buffers::Buffers;
use crate::error::TransferError;
use crate::handshake::SessionKey;
use crate::tls::ClientTls;
use rand::Rng;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What connecting takes from the pool.
#[derive(Debug, Clone)]
pub(super) struct Connecting {
    pub(super) options: PoolOptions,
    pub(super) tls: Option<ClientTls>,
    pub(super) buffers: Buffers,
    pub(super) cancel: CancellationToken,
}

#[derive(Debug, Default)]
struct Attempts {
    /// Key that the links and the failures below belong to.
    key: Option<SessionKey>,
    links: Vec<Arc<Link>>,
    /// A further connection is being made in the background.
    growing: bool,
    failures: u32,
    retry_at: Option<Instant>,
    reason: String,
}

#[derive(Debug)]
pub(super) struct PeerState {
    attempts: tokio::sync::Mutex<Attempts>,
    pub(super) statistics: Arc<Statistics>,
    last_used: Mutex<Instant>,
}

impl PeerState {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            attempts: tokio::sync::Mutex::default(),
            statistics: Arc::default(),
            last_used: Mutex::new(Instant::now()),
        })
    }

    /// Nobody connects or waits for an answer, so the entry may be dropped.
    pub(super) fn is_idle(&self) -> bool {
        match self.attempts.try_lock() {
            Ok(attempts) => {
                let idle = |link: &Arc<Link>| !link.is_open() || link.open_requests() == 0;
                !attempts.growing && attempts.links.iter().all(idle)
            }
            Err(_) => false,
        }
    }

    pub(super) fn close(&self) {
        if let Ok(attempts) = self.attempts.try_lock() {
            attempts.close();
        }
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn used_now(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The open connection with the fewest requests, or a new one unless the peer failed a moment ago. While all are busy and
    /// there may be more, one more is made in the background.
    pub(super) async fn link(
        self: &Arc<Self>,
        peer: &Peer,
        connecting: &Connecting,
    ) -> Result<Arc<Link>, TransferError> {
        if connecting.cancel.is_cancelled() {
            return Err(TransferError::ShuttingDown);
        }
        let mut attempts = self.attempts.lock().await;
        if attempts.key != Some(peer.session_key) {
            // The member restarted: whatever failed before says nothing about the new process.
            attempts.close();
            *attempts = Attempts {
                key: Some(peer.session_key),
                ..Attempts::default()
            };
        }
        self.forget_closed(&mut attempts, &connecting.options);
        let least = attempts.links.iter().min_by_key(|link| link.open_requests());
        if let Some(link) = least.cloned() {
            let limit = connecting.options.connections_per_peer;
            if link.open_requests() > 0
                && attempts.links.len() < limit
                && !attempts.growing
                && attempts.wait().is_none()
            {
                attempts.growing = true;
                tokio::spawn(self.clone().grow(peer.clone(), connecting.clone()));
            }
            return Ok(link);
        }
        if let Some(retry_in) = attempts.wait() {
            return Err(TransferError::BackingOff {
                member: peer.member.clone(),
                address: peer.address,
                retry_in,
                reason: attempts.reason.clone(),
            });
        }
        let connected = Link::connect(peer, connecting).await;
        self.connected(&mut attempts, connected, &connecting.options)
    }

    async fn grow(self: Arc<Self>, peer: Peer, connecting: Connecting) {
        let connected = Link::connect(&peer, &connecting).await;
        let mut attempts = self.attempts.lock().await;
        if attempts.key != Some(peer.session_key) {
            if let Ok(link) = connected {
                link.closed.cancel();
            }
            return;
        }
        attempts.growing = false;
        // A failure is counted; requests go on over the connections that there are.
        let _ = self.connected(&mut attempts, connected, &connecting.options);
    }

    fn connected(
        &self,
        attempts: &mut Attempts,
        connected: Result<Arc<Link>, TransferError>,
        options: &PoolOptions,
    ) -> Result<Arc<Link>, TransferError> {
        match &connected {
            Ok(link) => {
                attempts.links.push(link.clone());
                attempts.retry_at = None;
            }
            Err(error) => {
                self.statistics.failures.fetch_add(1, Ordering::Relaxed);
                attempts.back_off(options, error.to_string());
            }
        }
        connected
    }

    fn forget_closed(&self, attempts: &mut Attempts, options: &PoolOptions) {
        let links = std::mem::take(&mut attempts.links);
        let (open, closed): (Vec<_>, Vec<_>) = links.into_iter().partition(|link| link.is_open());
        attempts.links = open;
        for link in closed {
            self.statistics.failures.fetch_add(1, Ordering::Relaxed);
            if link.has_answered() {
                attempts.failures = 0;
            } else if attempts.links.is_empty() {
                attempts.back_off(options, "it closed the connection without an answer".to_owned());
            }
        }
    }
}

impl Attempts {
    fn close(&self) {
        self.links.iter().for_each(|link| link.closed.cancel());
    }

    /// How long the peer is left alone from now on.
    fn wait(&self) -> Option<std::time::Duration> {
        let wait = self.retry_at?.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    fn back_off(&mut self, options: &PoolOptions, reason: String) {
        let delay = options
            .backoff_first
            .saturating_mul(1 << self.failures.min(16))
            .min(options.backoff_max);
        self.failures = self.failures.saturating_add(1);
        self.reason = reason;
        // Half to all of it: members that lost the same peer together do not come back together.
        self.retry_at = Some(Instant::now() + delay.mul_f64(rand::rng().random_range(0.5..=1.0)));
    }
}

//! The reconnecting WebSocket client.

mod calls;
mod headers;
mod health;
mod link;
mod supervisor;

pub(crate) use calls::optional;
pub use headers::{ArchivedSegment, HeaderOrigin};
pub use health::{NodeCondition, NodeHealth};

use crate::url::websocket_url;
use crate::{NodeRpcError, limits};
use futures::{Stream, StreamExt};
use link::Link;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::{FarmerAppInfo, RewardSigningInfo, SlotInfo};
use tokio::sync::{Mutex, Semaphore, broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a [`NodeClient`] connects.
#[derive(Debug, Clone)]
pub struct NodeClientConfig {
    /// Addresses of nodes (`ws`, `wss`, `http` or `https`); the first healthy one is used, the others stand by. One that is in use stays
    /// so until it is unwell and another one is not.
    pub urls: Vec<String>,
    /// Genesis hash of the chain to work on; without it the chain of the first node that answers.
    pub genesis_hash: Option<Blake3Hash>,
    /// Whether to subscribe to slots and reward signing, which makes the node expect solutions from us.
    pub farming: bool,
    /// No slot for this long while the node is not syncing counts as a dead subscription.
    pub silent_slots_after: Duration,
    /// How often all nodes are looked at, those that stand by as well.
    pub look_every: Duration,
}

impl NodeClientConfig {
    /// Farming on the chain of the first node that answers.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            genesis_hash: None,
            farming: true,
            silent_slots_after: limits::SILENT_SLOTS_AFTER,
            look_every: limits::LOOK_INTERVAL,
        }
    }
}

/// State of the connection as [`NodeClient::state`] shows it.
#[derive(Debug, Clone)]
pub enum ConnectionState {
    /// Trying to connect.
    Connecting {
        /// Attempts since the last healthy connection.
        attempts: u32,
        /// Why the last one failed.
        last_error: Option<Arc<NodeRpcError>>,
    },
    /// Connected.
    Connected {
        /// Address of the node.
        url: String,
        /// Number of this connection, rising.
        connection: u64,
        /// False when the node refused the reward-signing subscription: it must be started with `--rpc-methods unsafe`.
        unsafe_allowed: bool,
    },
    /// Stopped for good by an error that reconnecting cannot cure.
    Failed(Arc<NodeRpcError>),
    /// Stopped because the cancellation token was cancelled.
    Stopped,
}

/// A slot as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedSlot {
    /// The slot.
    pub slot_info: SlotInfo,
    /// When it arrived here; the farming time-out counts from now on.
    pub received_at: Instant,
    /// Connection on which it arrived; a solution is only taken by the same one.
    pub connection: u64,
}

/// Client of one node out of several, that reconnects until it is stopped. Clones share the connection.
///
/// Two sockets are kept open: one for slots, solutions and reward signing, one for everything that may be large. What a node
/// sent while there was no connection is lost, except segment headers, which are read again. See
/// `docs/protocol/node-rpc.md`.
#[derive(Clone)]
pub struct NodeClient {
    inner: Arc<Inner>,
    _stop_on_drop: Arc<DropGuard>,
}

struct Inner {
    urls: Vec<String>,
    farming: bool,
    silent_slots_after: Duration,
    look_every: Duration,
    health: watch::Sender<Vec<NodeHealth>>,
    genesis_hash: watch::Sender<Option<Blake3Hash>>,
    state: watch::Sender<ConnectionState>,
    link: watch::Sender<Option<Arc<Link>>>,
    slots: broadcast::Sender<AnnouncedSlot>,
    reward_signing: broadcast::Sender<RewardSigningInfo>,
    piece_requests: Semaphore,
    app_info_copy: Mutex<Option<(Instant, FarmerAppInfo)>>,
    cancel: CancellationToken,
}

impl NodeClient {
    /// Starts a client that farms on the chain of the first of `urls` that answers.
    ///
    /// # Errors
    /// [`NodeRpcError::InvalidUrl`] when an address cannot be used or there is none.
    pub fn new(
        urls: impl IntoIterator<Item = impl Into<String>>,
        cancel: CancellationToken,
    ) -> Result<Self, NodeRpcError> {
        Self::with_config(NodeClientConfig::new(urls), cancel)
    }

    /// Starts a client. Must be called on a tokio runtime; it stops when `cancel` is cancelled or the last clone dropped.
    ///
    /// # Errors
    /// [`NodeRpcError::InvalidUrl`] when an address cannot be used or there is none.
    pub fn with_config(config: NodeClientConfig, cancel: CancellationToken) -> Result<Self, NodeRpcError> {
        let urls = config
            .urls
            .iter()
            .map(|url| websocket_url(url))
            .collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(NodeRpcError::InvalidUrl {
                url: String::new(),
                reason: "no address was given".to_string(),
            });
        }
        let cancel = cancel.child_token();
        let health = urls.iter().map(|url| NodeHealth {
            url: url.clone(),
            condition: NodeCondition::Unknown,
            looks: 0,
            in_use: false,
        });
        let inner = Arc::new(Inner {
            health: watch::Sender::new(health.collect()),
            urls,
            farming: config.farming,
            silent_slots_after: config.silent_slots_after,
            look_every: config.look_every,
            genesis_hash: watch::Sender::new(config.genesis_hash),
            state: watch::Sender::new(ConnectionState::Connecting {
                attempts: 0,
                last_error: None,
            }),
            link: watch::Sender::new(None),
            slots: broadcast::Sender::new(limits::BROADCAST_BUFFER),
            reward_signing: broadcast::Sender::new(limits::BROADCAST_BUFFER),
            piece_requests: Semaphore::new(limits::MAX_PIECE_REQUESTS_IN_FLIGHT),
            app_info_copy: Mutex::new(None),
            cancel: cancel.clone(),
        });
        tokio::spawn(supervisor::run(Arc::clone(&inner)));
        tokio::spawn(health::run(Arc::clone(&inner)));
        Ok(Self {
            inner,
            _stop_on_drop: Arc::new(cancel.drop_guard()),
        })
    }

    /// State of the connection, to be watched.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.inner.state.subscribe()
    }

    /// Waits until a node is connected and returns its address.
    ///
    /// # Errors
    /// The error that stopped the client for good, or [`NodeRpcError::Stopped`].
    pub async fn connected(&self) -> Result<String, NodeRpcError> {
        self.inner.wait_for_link().await.map(|link| link.url.clone())
    }

    /// Slots from now on. A consumer that lags by more than [`limits::BROADCAST_BUFFER`] slots misses the oldest.
    pub fn slot_info(&self) -> impl Stream<Item = AnnouncedSlot> + Send + Unpin + use<> {
        receive(self.inner.slots.subscribe(), self.inner.cancel.clone())
    }

    /// Reward-signing requests from now on. A lagging consumer misses the oldest, which are expired by then.
    pub fn reward_signing(&self) -> impl Stream<Item = RewardSigningInfo> + Send + Unpin + use<> {
        receive(self.inner.reward_signing.subscribe(), self.inner.cancel.clone())
    }
}

/// Stream of a broadcast channel that ends with cancellation.
fn receive<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
    cancel: CancellationToken,
) -> impl Stream<Item = T> + Send + Unpin {
    let items = futures::stream::unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(item) => return Some((item, receiver)),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(
                        missed,
                        "a consumer of node notifications was too slow and missed some"
                    );
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    Box::pin(items.take_until(cancel.cancelled_owned())).fuse()
}

//! One connection to one node: a socket for slots and one for bulk, and what was announced on it.

use crate::error::from_library;
use crate::{NodeRpcError, limits, names};
use jsonrpsee::core::client::async_client::PingConfig;
use jsonrpsee::core::client::{ClientT, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::rpc::FarmerAppInfo;

/// Which of the two sockets carries a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Slots, solutions, reward signing: never waits behind bulk.
    Slots,
    /// Headers, pieces, acknowledgements.
    Bulk,
}

pub(super) struct Link {
    pub(super) connection: u64,
    pub(super) url: String,
    pub(super) slots: WsClient,
    pub(super) bulk: WsClient,
    announced: Mutex<VecDeque<SlotNumber>>,
}

async fn open_socket(url: &str) -> Result<WsClient, NodeRpcError> {
    let ping = PingConfig::new()
        .ping_interval(limits::PING_INTERVAL)
        .inactive_limit(limits::PING_INACTIVE_LIMIT)
        .max_failures(1);
    WsClientBuilder::default()
        .max_request_size(limits::MAX_REQUEST_SIZE)
        .max_response_size(limits::MAX_RESPONSE_SIZE)
        .max_concurrent_requests(limits::MAX_CONCURRENT_REQUESTS)
        .max_buffer_capacity_per_subscription(limits::SUBSCRIPTION_BUFFER)
        // Our own time-outs are per method; this one only keeps the library from cutting them short.
        .request_timeout(limits::PIECE_TIMEOUT + limits::REQUEST_TIMEOUT)
        .connection_timeout(limits::CONNECT_TIMEOUT)
        .enable_ws_ping(ping)
        .build(url)
        .await
        .map_err(|error| NodeRpcError::Connect {
            url: url.to_string(),
            reason: error.to_string(),
        })
}

/// Asks a node once who it is, over a socket of its own.
pub(super) async fn identity_of(url: &str) -> Result<FarmerAppInfo, NodeRpcError> {
    let method = names::GET_FARMER_APP_INFO;
    let timeout = limits::LOOK_TIMEOUT;
    let asked = async {
        let socket = open_socket(url).await?;
        let answer = socket.request(method, ArrayParams::new()).await;
        answer.map_err(|error| from_library(method, timeout, error))
    };
    tokio::time::timeout(timeout, asked)
        .await
        .unwrap_or(Err(NodeRpcError::Timeout {
            method,
            after: timeout,
        }))
}

impl Link {
    /// Opens both sockets and reads the node's identity.
    pub(super) async fn open(url: &str, connection: u64) -> Result<(Self, FarmerAppInfo), NodeRpcError> {
        let (slots, bulk) = tokio::time::timeout(
            limits::CONNECT_TIMEOUT,
            futures::future::try_join(open_socket(url), open_socket(url)),
        )
        .await
        .map_err(|_| NodeRpcError::Connect {
            url: url.to_string(),
            reason: format!("no answer within {:?}", limits::CONNECT_TIMEOUT),
        })??;
        let link = Self {
            connection,
            url: url.to_string(),
            slots,
            bulk,
            announced: Mutex::default(),
        };
        let info = link
            .call(
                Lane::Slots,
                names::GET_FARMER_APP_INFO,
                ArrayParams::new(),
                limits::REQUEST_TIMEOUT,
            )
            .await?;
        Ok((link, info))
    }

    pub(super) fn lane(&self, lane: Lane) -> &WsClient {
        match lane {
            Lane::Slots => &self.slots,
            Lane::Bulk => &self.bulk,
        }
    }

    /// One request on one socket, with its own time-out.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        lane: Lane,
        method: &'static str,
        params: ArrayParams,
        timeout: Duration,
    ) -> Result<T, NodeRpcError> {
        match tokio::time::timeout(timeout, self.lane(lane).request(method, params)).await {
            Ok(result) => result.map_err(|error| from_library(method, timeout, error)),
            Err(_) => Err(NodeRpcError::Timeout {
                method,
                after: timeout,
            }),
        }
    }

    /// Opens a subscription without parameters.
    pub(super) async fn subscribe<T: DeserializeOwned>(
        &self,
        lane: Lane,
        names: names::SubscriptionNames,
    ) -> Result<jsonrpsee::core::client::Subscription<T>, NodeRpcError> {
        let method = names.subscribe;
        let timeout = limits::REQUEST_TIMEOUT;
        let subscribe = self
            .lane(lane)
            .subscribe(method, ArrayParams::new(), names.unsubscribe);
        match tokio::time::timeout(timeout, subscribe).await {
            Ok(result) => result.map_err(|error| from_library(method, timeout, error)),
            Err(_) => Err(NodeRpcError::Timeout {
                method,
                after: timeout,
            }),
        }
    }

    pub(super) fn remember_slot(&self, slot: SlotNumber) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.len() == limits::REMEMBERED_SLOTS {
            announced.pop_front();
        }
        announced.push_back(slot);
    }

    /// Whether this connection announced the slot, so that the node may have its mailbox.
    pub(super) fn has_announced(&self, slot: SlotNumber) -> bool {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&slot)
    }
}

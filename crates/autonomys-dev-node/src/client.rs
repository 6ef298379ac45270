//! Client of a development node's own methods, for nodes that follow and for tests; farmers use `autonomys-node-rpc`.

use crate::rpc::development::{ChainIdentity, DevNodeRpcClient, NodeStatus, ReceivedSolution};
use autonomys_node_rpc::url::websocket_url;
use autonomys_node_rpc::{limits, wire};
use jsonrpsee::core::ClientError;
use jsonrpsee::core::client::async_client::PingConfig;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use std::time::Duration;
use subspace_core_primitives::SlotNumber;

/// A node that does not answer for this long is as good as gone: a connection is tried again soon.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why a node could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientFailure {
    /// The node is not a development node.
    #[error("it is no development node of this release: it does not know {method}")]
    NoDevelopmentNode {
        /// The method that it does not know.
        method: &'static str,
    },
    /// Everything else; another attempt may go better.
    #[error("{0}")]
    Other(String),
}

/// One connection to a development node. Does not reconnect.
#[derive(Debug)]
pub struct DevNodeClient {
    pub(crate) socket: WsClient,
}

impl DevNodeClient {
    /// Connects to a `ws`, `wss`, `http` or `https` address.
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub async fn connect(url: &str) -> Result<Self, ClientFailure> {
        let url = websocket_url(url).map_err(|error| ClientFailure::Other(error.to_string()))?;
        let ping = PingConfig::new()
            .ping_interval(limits::PING_INTERVAL)
            .inactive_limit(limits::PING_INACTIVE_LIMIT)
            .max_failures(1);
        let socket = WsClientBuilder::default()
            .max_request_size(limits::MAX_REQUEST_SIZE)
            .max_response_size(limits::MAX_RESPONSE_SIZE)
            .max_buffer_capacity_per_subscription(limits::SUBSCRIPTION_BUFFER)
            .request_timeout(ANSWER_WITHIN)
            .connection_timeout(limits::CONNECT_TIMEOUT)
            .enable_ws_ping(ping)
            .build(&url)
            .await
            .map_err(|error| ClientFailure::Other(format!("no connection ({error})")))?;
        Ok(Self { socket })
    }

    /// Which chain the node is on.
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub async fn chain(&self) -> Result<ChainIdentity, ClientFailure> {
        self.socket.chain().await.map_err(failure("devNode_chain"))
    }

    /// How the node is.
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub async fn status(&self) -> Result<NodeStatus, ClientFailure> {
        self.socket.status().await.map_err(failure("devNode_status"))
    }

    /// Solutions that were submitted to the node for a slot and later ones.
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub async fn received_solutions(
        &self,
        from_slot: SlotNumber,
    ) -> Result<Vec<ReceivedSolution>, ClientFailure> {
        let asked = self.socket.received_solutions(from_slot).await;
        asked.map_err(failure("devNode_receivedSolutions"))
    }
}

/// What a failed call of `method` means.
pub(crate) fn failure(method: &'static str) -> impl FnOnce(ClientError) -> ClientFailure {
    move |error| match error {
        ClientError::Call(error) if error.code() == wire::METHOD_NOT_FOUND => {
            ClientFailure::NoDevelopmentNode { method }
        }
        ClientError::Call(error) => ClientFailure::Other(error.message().to_string()),
        error => ClientFailure::Other(format!("{method} was not answered ({error})")),
    }
}

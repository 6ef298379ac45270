//! What can go wrong between us and a node.

use crate::client::NodeCondition;
use crate::wire;
use std::time::Duration;

/// Error of a call to a node or of a connection to it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeRpcError {
    /// The address of a node cannot be used.
    #[error("node address {url:?} is not usable ({reason}); expected something like ws://127.0.0.1:9944")]
    InvalidUrl {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to the node at {url}: {reason}")]
    Connect {
        /// The address.
        url: String,
        /// The cause.
        reason: String,
    },
    /// There is no connection now, so nothing was sent.
    #[error("no connection to a node, {method} was not sent")]
    NotConnected {
        /// Method that was to be called.
        method: &'static str,
    },
    /// The connection broke after sending; whether the node took the request is unknown.
    #[error("the connection to the node broke while it answered {method}: {reason}")]
    ConnectionLost {
        /// Method that was called.
        method: &'static str,
        /// The cause.
        reason: String,
    },
    /// No answer in time; whether the node took the request is unknown.
    #[error("the node did not answer {method} within {after:?}")]
    Timeout {
        /// Method that was called.
        method: &'static str,
        /// The time-out.
        after: Duration,
    },
    /// The node answered with an error.
    #[error("the node refused {method} with code {code}: {message}")]
    Refused {
        /// Method that was called.
        method: &'static str,
        /// Code, see [`wire`].
        code: i32,
        /// Text of the node.
        message: String,
    },
    /// The node's answer has another form than the protocol says.
    #[error("the node's answer to {method} cannot be decoded: {reason}")]
    InvalidResponse {
        /// Method that was called.
        method: &'static str,
        /// The cause.
        reason: String,
    },
    /// A request that no node would take.
    #[error("{method} takes at most {limit} items, {given} were given")]
    TooManyItems {
        /// Method that was to be called.
        method: &'static str,
        /// Most items.
        limit: usize,
        /// Items given.
        given: usize,
    },
    /// The slot of a solution was not announced on the current connection, so its mailbox is lost.
    #[error("slot {slot} was not announced on the current connection to the node, its solution was not sent")]
    SlotLost {
        /// Slot of the solution.
        slot: u64,
    },
    /// A node is on another chain than the one we work on.
    #[error(
        "the node at {url} is on another chain: genesis hash {found} instead of {expected}; point the address at a node of the right network"
    )]
    GenesisChanged {
        /// The address.
        url: String,
        /// Hexadecimal genesis hash we work on.
        expected: String,
        /// Hexadecimal genesis hash of the node.
        found: String,
    },
    /// A segment header does not continue the chain of segment headers.
    #[error("the node's segment header {segment_index} does not continue the chain of headers: {reason}")]
    HeaderChain {
        /// Index of the header that does not fit.
        segment_index: u64,
        /// What does not fit.
        reason: String,
    },
    /// A node was given up for another one that is well.
    #[error("the node at {url} {condition}, another one is healthy")]
    GaveWay {
        /// The address.
        url: String,
        /// How it is.
        condition: NodeCondition,
    },
    /// The client was stopped.
    #[error("the node client was stopped")]
    Stopped,
}

impl NodeRpcError {
    /// Whether the request may have reached the node although no answer arrived.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLost { .. } | Self::Timeout { .. } | Self::InvalidResponse { .. }
        )
    }

    /// Whether the node answered that the slot's mailbox is unknown, full or closed.
    pub fn is_solution_ignored(&self) -> bool {
        matches!(self, Self::Refused { code: wire::DOMAIN_ERROR | wire::LEGACY_DOMAIN_ERROR, message, .. }
            if message.contains(wire::SOLUTION_IGNORED_MESSAGE))
    }

    /// Whether the node refused because it does not allow unsafe methods.
    pub fn is_unsafe_not_allowed(&self) -> bool {
        matches!(self, Self::Refused { code: wire::METHOD_NOT_FOUND, message, .. } if message.contains("unsafe"))
    }

    /// Whether repeating the same (idempotent) request on another connection may help.
    pub fn is_connection_problem(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLost { .. } | Self::NotConnected { .. } | Self::Connect { .. }
        )
    }

    /// Whether this node must not be used any more.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::GenesisChanged { .. } | Self::InvalidUrl { .. })
    }
}

/// Translates an error of the client library.
pub(crate) fn from_library(
    method: &'static str,
    after: Duration,
    error: jsonrpsee::core::ClientError,
) -> NodeRpcError {
    use jsonrpsee::core::ClientError;
    match error {
        ClientError::Call(error) => NodeRpcError::Refused {
            method,
            code: error.code(),
            message: error.message().to_string(),
        },
        ClientError::RequestTimeout => NodeRpcError::Timeout { method, after },
        ClientError::ParseError(error) => NodeRpcError::InvalidResponse {
            method,
            reason: error.to_string(),
        },
        ClientError::RestartNeeded(error) => NodeRpcError::ConnectionLost {
            method,
            reason: error.to_string(),
        },
        error => NodeRpcError::ConnectionLost {
            method,
            reason: error.to_string(),
        },
    }
}

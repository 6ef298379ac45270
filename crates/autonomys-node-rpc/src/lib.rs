//! The node's JSON-RPC as a farming cluster speaks it: names, errors, types, a reconnecting client, server traits.
//!
//! The wire format is described in `docs/protocol/node-rpc.md`. The carrier types of `subspace_*` (farmer app info, slot
//! info, solution response, reward signing) live in `subspace_core_primitives::rpc`; this crate adds what surrounds them:
//!
//! * [`names`], [`limits`], [`wire`]: method names, sizes and time-outs, error codes;
//! * [`chain_types`]: headers and blocks of `chain_*` with their `0x` hexadecimal forms;
//! * [`NodeClient`]: WebSocket client that reconnects for ever and never hides what was lost meanwhile;
//! * [`ChainClient`]: request-only client over HTTP or WebSocket for reading many blocks;
//! * [`server`]: the traits that a node implements (the development node does).

pub mod backoff;
pub mod batching;
pub mod chain_client;
pub mod chain_nature;
pub mod chain_types;
pub mod client;
pub mod error;
pub mod limits;
pub mod names;
pub mod server;
pub mod url;
pub mod wire;

pub use backoff::Backoff;
pub use batching::BatchSize;
pub use chain_client::ChainClient;
pub use chain_nature::ChainNature;
pub use client::{
    AnnouncedSlot, ArchivedSegment, ConnectionState, HeaderOrigin, NodeClient, NodeClientConfig,
    NodeCondition, NodeHealth,
};
pub use error::NodeRpcError;

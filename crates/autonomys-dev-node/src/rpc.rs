//! The node's JSON-RPC: methods over the shared state, and the server with its limits and faults.

pub mod chain;
pub mod development;
pub mod faults;
pub mod server;
pub mod subscriptions;
pub mod subspace;
pub mod system;

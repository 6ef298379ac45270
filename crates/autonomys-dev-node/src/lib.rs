//! A local development chain behind the node's JSON-RPC: a farmer cannot tell it from an official node.
//!
//! It is a real chain with one author: proof of time, slots, solutions judged as on the network, votes, reward signing,
//! blocks with exact digests and justifications, archiving, solution ranges that adjust. Farmers win the blocks; without
//! one the chain stands still while slots go on. Data goes into blocks at a chosen rate so that segments fill.
//!
//! * [`DevNodeConfig`] and [`run`], or [`DevNode::start`] for a driver in the same process;
//! * [`DevNodeArgs`]: the same as command-line options;
//! * [`faults`]: everything that can be made to go wrong;
//! * [`follow`]: a second node of the same chain, and [`client`] for what only development nodes can be asked;
//! * [`chain::data::extract_data`]: the file that was put into blocks.
//!
//! See `docs/development-node.md`.

pub mod archive;
pub mod args;
pub mod chain;
pub mod client;
pub mod config;
pub mod consensus;
pub mod error;
pub mod faults;
pub mod follow;
pub mod node;
pub mod parameters;
pub mod rpc;
pub mod shared;
pub mod store;

pub use args::DevNodeArgs;
pub use client::DevNodeClient;
pub use config::{DevNodeConfig, FollowConfig, RpcMethods, SlotPace};
pub use error::DevNodeError;
pub use node::{Controls, DevNode, run};
pub use parameters::ChainParameters;

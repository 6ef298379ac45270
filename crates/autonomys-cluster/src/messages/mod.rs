//! The messages of a cluster and the patterns they travel by.
//!
//! * [`Broadcast`] — everybody who subscribed gets it, nobody answers, losing one is harmless.
//! * [`DirectRequest`] — one named instance answers, or the sender learns that it is not there.
//! * [`QueueRequest`] — any one member of a queue group answers; NATS picks one.

mod cache;
mod chain;
mod control;
mod proof;

pub use cache::{CacheInventory, CacheItem, CacheRepair, InventoryReply, RepairReply};
pub use chain::{
    ArchivedSegmentAnnouncement, FarmerAppInfoReply, FarmerAppInfoRequest, NodeReply,
    RewardSigningAnnouncement, SlotAnnouncement, SubmitRewardSignature, SubmitSolution,
};
pub use control::{DrainReply, SetDraining};
pub use proof::{ProofReply, ProofRequest};

use crate::codec::Message;
use std::time::Duration;

/// A message to everybody who listens.
pub trait Broadcast: Message {}

/// A question with one answer.
pub trait Request: Message {
    /// The answer.
    type Response: Message;
    /// How long the asker waits; the constant beside the message says why.
    const TIMEOUT: Duration;
}

/// A request to one named instance.
pub trait DirectRequest: Request {}

/// A request to any one member of the queue group that is called like the message.
pub trait QueueRequest: Request {}

#[cfg(test)]
mod tests;

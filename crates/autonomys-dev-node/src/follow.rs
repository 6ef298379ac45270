//! Following: a second node of the same chain, as two nodes of a network are, with one of them in charge.
//!
//! The *leader* has the chain: it makes the proofs of time and decides which block is next. A *follower* has everything else of its own:
//! RPC, mailboxes, reward signing, archiver, stored blocks and segments, faults. Over one WebSocket it takes from the leader
//!
//! * heads and blocks (`chain_*`, as any client reads them), each checked in full ([`crate::consensus::import`]) and archived here;
//! * proofs of time (`devNode_*`), each verified; its slots follow from them, not from what the leader announces to farmers, so that
//!   each node has its own faults;
//!
//! and gives it blocks that were won, built and sealed here ([`outlet`]), and votes. The leader checks them in the same way and takes a
//! block that stands on its best one; then it comes back as the next head. [`follower`] keeps the connection, [`slots`] and [`blocks`]
//! are what runs over it, [`state`] is what others see of it.

mod blocks;
mod follower;
mod itself;
mod leader;
mod outlet;
mod slots;
mod state;

pub use follower::Follower;
pub use leader::{Leader, find_leader};
pub use outlet::Outlet;
pub use state::{FollowReport, FollowStage, FollowState};

use crate::error::DevNodeError;

/// Why following a leader over one connection ended.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    /// The connection is over, or the leader gave something wrong: another attempt may go better.
    #[error("{0}")]
    Lost(String),
    /// Nothing that another attempt could cure.
    #[error("{0}")]
    Fatal(String),
    /// Something of our own.
    #[error(transparent)]
    Own(#[from] DevNodeError),
}

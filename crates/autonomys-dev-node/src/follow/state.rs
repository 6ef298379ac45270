//! How following goes, for those who ask.

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What a follower is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowStage {
    /// Connected, reading blocks and proofs that it missed, or waiting for a block without which a proof cannot be verified.
    CatchingUp,
    /// Where the leader is.
    Following,
    /// There is no connection; it is tried again and again.
    LeaderGone,
}

impl FollowStage {
    /// Whether there is a connection to the leader.
    pub fn is_connected(self) -> bool {
        self != Self::LeaderGone
    }
}

/// How following goes, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowReport {
    /// Address of the leader.
    pub leader: String,
    /// What the follower is doing.
    pub state: FollowStage,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// Number of the leader's best block when it was last heard of.
    pub leader_best: u32,
}

/// How following goes.
#[derive(Debug, Clone)]
pub struct FollowState {
    leader: String,
    stage: FollowStage,
    since: Instant,
    last_error: Option<String>,
    leader_best: u32,
}

impl FollowState {
    /// Of a follower that has just found its leader.
    pub fn new(leader: String) -> Self {
        Self {
            leader,
            stage: FollowStage::CatchingUp,
            since: Instant::now(),
            last_error: None,
            leader_best: 0,
        }
    }

    pub(super) fn enter(&mut self, stage: FollowStage, error: Option<String>) {
        if self.stage != stage {
            self.stage = stage;
            self.since = Instant::now();
        }
        if error.is_some() {
            self.last_error = error;
        }
    }

    pub(super) fn leader_is_at(&mut self, number: u32) {
        self.leader_best = number;
    }

    /// Whether farmers may rely on this node.
    pub fn is_up_to_date(&self) -> bool {
        self.stage == FollowStage::Following
    }

    /// As others see it.
    pub fn report(&self) -> FollowReport {
        FollowReport {
            leader: self.leader.clone(),
            state: self.stage,
            for_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            last_error: self.last_error.clone(),
            leader_best: self.leader_best,
        }
    }
}

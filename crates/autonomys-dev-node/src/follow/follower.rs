//! Keeps following a leader: connects, catches up, follows until the connection is over, and connects again, for ever.

use super::slots::enter_stage;
use super::{FollowError, FollowStage, Leader, Outlet, blocks, slots};
use crate::consensus::clock::Clock;
use crate::error::DevNodeError;
use crate::shared::Shared;
use autonomys_node_rpc::{Backoff, limits};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::hashes::Blake3Hash;
use tokio::sync::watch;

/// The task that follows; it owns the clock of the node.
pub struct Follower {
    url: String,
    delay: Duration,
    shared: Arc<Shared>,
    clock: Clock,
    link: watch::Sender<Option<Arc<Leader>>>,
}

impl Follower {
    /// The way to the leader for the author, and what keeps it open.
    pub fn outlet() -> (Outlet, watch::Sender<Option<Arc<Leader>>>) {
        let (link, leader) = watch::channel(None);
        (Outlet::new(leader), link)
    }

    /// Follows the node at `url`, everything `delay` late.
    pub fn new(url: String, delay: Duration, clock: Clock, link: watch::Sender<Option<Arc<Leader>>>) -> Self {
        Self {
            url,
            delay,
            shared: Arc::clone(&clock.shared),
            clock,
            link,
        }
    }

    /// Follows `first` and whatever answers under the same address later, until it is dropped.
    ///
    /// # Errors
    /// When the leader turns out to be on another chain, or this node cannot go on.
    pub async fn run(mut self, first: Leader) -> Result<(), DevNodeError> {
        let mut backoff = Backoff::default();
        let mut next = Some(first);
        loop {
            let connected = match next.take() {
                Some(leader) => Ok(leader),
                None => Leader::connect(&self.url).await,
            };
            let error = match connected {
                Ok(leader) => {
                    let started = Instant::now();
                    let error = self.follow(Arc::new(leader)).await;
                    self.link.send_replace(None);
                    if started.elapsed() >= limits::BACKOFF_RESET_AFTER {
                        backoff.reset();
                    }
                    error
                }
                Err(error) => error,
            };
            let reason = match error {
                FollowError::Lost(reason) => reason,
                FollowError::Fatal(reason) => {
                    let url = self.url;
                    return Err(DevNodeError::Follow { url, reason });
                }
                FollowError::Own(error) => return Err(error),
            };
            let pause = backoff.next_pause();
            if backoff.attempts().is_power_of_two() {
                tracing::warn!(leader = self.url, reason, "the leader is gone; trying again");
            }
            enter_stage(&self.shared, FollowStage::LeaderGone, Some(reason));
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows over one connection; returns why it ended.
    async fn follow(&mut self, leader: Arc<Leader>) -> FollowError {
        enter_stage(&self.shared, FollowStage::CatchingUp, None);
        if let Err(reason) = leader.is_on(&self.shared.parameters, Blake3Hash(self.shared.genesis_hash)) {
            return FollowError::Fatal(reason);
        }
        let prepared = async {
            // First, so that nothing falls between.
            let heads = leader.heads().await?;
            let proofs = leader.proofs().await?;
            blocks::check_same_chain(&self.shared, &leader).await?;
            blocks::catch_up(&self.shared, &leader).await?;
            Ok((heads, proofs))
        };
        let (heads, proofs) = match prepared.await {
            Ok(subscriptions) => subscriptions,
            Err(error) => return error,
        };
        self.link.send_replace(Some(Arc::clone(&leader)));
        tokio::select! {
            error = leader.disconnected() => error,
            error = blocks::follow(&self.shared, &leader, heads, self.delay) => error,
            error = slots::follow(&mut self.clock, &leader, proofs, self.delay) => error,
        }
    }
}

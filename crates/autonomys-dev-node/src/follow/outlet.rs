//! Where blocks and votes go that were won and signed on a node that follows: to the leader, which decides what becomes of them.

use super::Leader;
use std::sync::Arc;
use std::time::Duration;
use subspace_archiving::encoding::SignedBlock;
use subspace_core_primitives::SlotNumber;
use subspace_verification::SignedVote;
use tokio::sync::watch;

/// The leader answers before it imports, though it may be importing another block; after this long it has gone on to other slots.
const SUBMIT_WITHIN: Duration = Duration::from_secs(4);

/// The way to the leader, as long as there is one.
#[derive(Debug, Clone)]
pub struct Outlet {
    leader: watch::Receiver<Option<Arc<Leader>>>,
}

impl Outlet {
    pub(super) fn new(leader: watch::Receiver<Option<Arc<Leader>>>) -> Self {
        Self { leader }
    }

    fn leader(&self) -> Option<Arc<Leader>> {
        self.leader.borrow().clone()
    }

    /// Hands in a block; whether the leader took it. Then it comes back as a block of the chain.
    pub async fn block(&self, slot: SlotNumber, block: SignedBlock) -> bool {
        let number = block.header.number;
        let submitted = async {
            match self.leader() {
                Some(leader) => leader.submit_block(block).await,
                None => Err("there is no connection".to_string()),
            }
        };
        let outcome = tokio::time::timeout(SUBMIT_WITHIN, submitted)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {SUBMIT_WITHIN:?}")));
        match outcome {
            Ok(()) => {
                tracing::info!(number, slot, "the leader took a block");
                true
            }
            Err(reason) => {
                tracing::warn!(
                    number,
                    slot,
                    reason,
                    "the leader did not take a block, it is lost"
                );
                false
            }
        }
    }

    /// Hands in a vote, which waits here as well.
    pub async fn vote(&self, vote: SignedVote) {
        let Some(leader) = self.leader() else { return };
        let slot = vote.vote.slot();
        match tokio::time::timeout(SUBMIT_WITHIN, leader.submit_vote(&vote)).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(slot, reason, "the leader did not take a vote"),
            Err(_) => tracing::warn!(slot, "the leader did not answer about a vote"),
        }
    }
}

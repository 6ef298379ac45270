//! Blocks and votes that another node made: checked, then treated like our own.

use super::super::import::{ImportError, Parent, check_block};
use super::super::votes::{VoteError, check_vote_proofs};
use super::Author;
use crate::chain::data::{DataItem, data_items};
use crate::error::DevNodeError;
use std::sync::Arc;
use subspace_archiving::encoding::SignedBlock;
use subspace_verification::SignedVote;
use tokio::sync::oneshot;

impl Author {
    pub(super) async fn import_foreign(
        &mut self,
        block: SignedBlock,
        reply: oneshot::Sender<Result<(), ImportError>>,
    ) -> Result<(), DevNodeError> {
        let due_segment_headers = self.due_segment_headers();
        let (state, header, parent) = (Arc::clone(&self.state), self.head.clone(), self.parent);
        let pot = Arc::clone(&self.pot);
        let may_bring_proofs = self.outlet.is_some();
        let (block, checked) = self
            .blocking(move |workshop| {
                let parent = Parent {
                    header: &header,
                    state: &state,
                    parent,
                    due_segment_headers: &due_segment_headers,
                    may_bring_proofs,
                };
                let checked = check_block(&block, &parent, &workshop.judge, &pot);
                (block, checked)
            })
            .await?;
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        // Nothing can keep it out any more; whoever gave it need not wait while a segment is archived.
        let _ = reply.send(Ok(()));
        let data_progress = match self.outlet {
            // What a leader puts into blocks is its own business: those of others carry no data of its file.
            None => self.data_progress,
            Some(_) => data_progress(&block, self.data_progress),
        };
        self.import(block, checked.state, data_progress, checked.used)
            .await
    }

    pub(super) async fn take_vote(
        &mut self,
        vote: SignedVote,
        reply: oneshot::Sender<Result<(), VoteError>>,
    ) -> Result<(), DevNodeError> {
        let checked = check_vote_proofs(&vote, &self.pot.lock())
            .and_then(|()| vote.check_signature().map_err(|_| VoteError::Signature));
        if checked.is_ok() {
            self.blocking(move |workshop| workshop.votes.add(vote)).await?;
        }
        let _ = reply.send(checked);
        Ok(())
    }
}

/// Bytes of data in the chain up to and including the block.
fn data_progress(block: &SignedBlock, before: u64) -> u64 {
    let bytes = data_items(block).into_iter().map(|item| match item {
        DataItem::Chunk { bytes, .. } | DataItem::Filler { bytes, .. } => bytes.len() as u64,
        DataItem::Start { .. } => 0,
    });
    before + bytes.sum::<u64>()
}

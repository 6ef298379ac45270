//! The author: judges solutions, collects signatures, builds, imports and archives blocks.
//!
//! On a node that follows another one ([`crate::follow`]) it does the same, except that a block it has built and sealed goes to the leader
//! and is imported when it comes back as one of the chain's. Whatever another node made is checked first ([`super::import`]).

mod foreign;
mod history;

use super::builder::{BlockParts, DataSource, MAX_VOTES, UnsealedBlock};
use super::import::ImportError;
use super::judge::Judge;
use super::pot::PotChain;
use super::runtime::RuntimeState;
use super::votes::{VoteContext, VoteError, VotePool};
use crate::archive::archiver::ChainArchiver;
use crate::chain::digest::PreDigest;
use crate::chain::json::header_to_json;
use crate::error::DevNodeError;
use crate::faults::FaultKind;
use crate::follow::Outlet;
use crate::parameters::BLOCK_AUTHORING_DELAY;
use crate::shared::{BestBlock, Shared};
use autonomys_node_rpc::limits::ACKNOWLEDGEMENT_TIMEOUT;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use subspace_archiving::encoding::{BlockHeader, SignedBlock};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use subspace_core_primitives::solutions::{RewardSignature, Solution};
use subspace_core_primitives::{PublicKey, SlotNumber};
use subspace_proof_of_time::PotParametersChange;
use subspace_verification::vote::VoteKey;
use subspace_verification::{SignedVote, Vote, check_reward_signature};
use tokio::sync::{mpsc, oneshot, watch};

/// Orders that may wait for the author while a block is imported; the slots of further claims are lost.
pub const ORDER_QUEUE: usize = 4;

/// Solutions of a slot whose block may be built now.
#[derive(Debug)]
pub struct Claim {
    /// The slot.
    pub slot: SlotNumber,
    /// Its solutions in order of arrival.
    pub solutions: Vec<Solution>,
}

/// What the author is told to do, one after the other.
#[derive(Debug)]
pub enum Order {
    /// Build on a slot.
    Claim(Claim),
    /// Take a block that another node made, and say whether it is taken before its import begins.
    Import(Box<SignedBlock>, oneshot::Sender<Result<(), ImportError>>),
    /// Put a vote that another node made into the pool.
    Vote(Box<SignedVote>, oneshot::Sender<Result<(), VoteError>>),
}

/// What building works on; moved to a blocking thread and back.
pub struct Workshop {
    /// Verification.
    pub judge: Judge,
    /// Votes.
    pub votes: VotePool,
    /// Data for blocks.
    pub data: DataSource,
    /// Archiver.
    pub archiver: ChainArchiver,
}

/// The task of the author; owns the state of the chain.
pub struct Author {
    /// Shared parts.
    pub shared: Arc<Shared>,
    /// Proofs of time.
    pub pot: Arc<Mutex<PotChain>>,
    /// To the clock: change that the newest block announces.
    pub change: watch::Sender<Option<PotParametersChange>>,
    /// State after the newest block.
    pub state: Arc<RuntimeState>,
    /// Header of the newest block.
    pub head: BlockHeader,
    /// Hash and slot of its parent, `None` when that is genesis or there is none.
    pub parent: Option<([u8; 32], SlotNumber)>,
    /// Data progress after it.
    pub data_progress: u64,
    /// Everything blocking.
    pub workshop: Option<Workshop>,
    /// Where blocks and votes go instead of into our own chain, on a node that follows another one.
    pub outlet: Option<Outlet>,
}

impl Author {
    /// Does what it is told until nobody is left to tell it anything.
    ///
    /// # Errors
    /// When the chain cannot be continued.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), DevNodeError> {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Claim(claim) => self.claim(claim).await?,
                Order::Import(block, reply) => self.import_foreign(*block, reply).await?,
                Order::Vote(vote, reply) => self.take_vote(*vote, reply).await?,
            }
        }
        Ok(())
    }

    /// Runs `work` on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Workshop) -> T + Send + 'static,
    ) -> Result<T, DevNodeError> {
        let mut workshop = self.workshop.take().ok_or(DevNodeError::Aborted)?;
        let (workshop, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut workshop);
            (workshop, result)
        })
        .await
        .map_err(|_| DevNodeError::Aborted)?;
        self.workshop = Some(workshop);
        Ok(result)
    }

    async fn claim(&mut self, Claim { slot, solutions }: Claim) -> Result<(), DevNodeError> {
        if slot <= self.state.slot {
            tracing::debug!(slot, head = self.state.slot, "a later slot has a block already");
            return Ok(());
        }
        if let Some(solution) = solutions.last() {
            *self.shared.last_key.lock() = Some(solution.public_key);
        }
        let outputs = {
            let pot = self.pot.lock();
            (pot.output(slot), pot.output(slot + BLOCK_AUTHORING_DELAY))
        };
        let (Some(proof_of_time), Some(future_proof_of_time)) = outputs else {
            return Ok(());
        };
        let state = Arc::clone(&self.state);
        let judgement = self
            .blocking(move |workshop| workshop.judge.judge(&state, slot, proof_of_time, solutions))
            .await?;
        for solution in judgement.votes {
            let vote = Vote::V0 {
                height: self.state.number + 1,
                parent_hash: self.head.hash(),
                slot,
                solution,
                proof_of_time,
                future_proof_of_time,
            };
            match self.sign(vote.hash(), solution.public_key).await {
                Some(signature) => {
                    let vote = SignedVote { vote, signature };
                    self.blocking(move |workshop| workshop.votes.add(vote)).await?;
                    if let Some(outlet) = &self.outlet {
                        outlet.vote(vote).await;
                    }
                }
                None => tracing::warn!(slot, "the farmer did not sign, a vote is lost"),
            }
        }
        match judgement.block {
            Some(solution) => {
                self.build(PreDigest {
                    slot,
                    solution,
                    proof_of_time,
                    future_proof_of_time,
                })
                .await
            }
            None => Ok(()),
        }
    }

    async fn sign(&self, hash: [u8; 32], public_key: PublicKey) -> Option<RewardSignature> {
        let repeat = self.shared.faults.acts(&FaultKind::DoubleSigning);
        let is_valid =
            |signature: &RewardSignature| check_reward_signature(&hash, signature, &public_key).is_ok();
        self.shared
            .signing
            .request(Blake3Hash(hash), public_key, repeat, is_valid)
            .await
    }

    /// Segment headers that the next block must contain: header 0 in block 1, others when their last block has been archived
    /// for one block.
    fn due_segment_headers(&self) -> Vec<SegmentHeader> {
        let number = self.state.number + 1;
        let depth = self.state.parameters().confirmation_depth;
        let mut headers = Vec::new();
        let mut index = self.state.next_segment_index();
        while let Some(header) = self.shared.segments.header(index) {
            let due = match index {
                SegmentIndex::ZERO => 1,
                _ => header
                    .last_archived_block()
                    .number
                    .saturating_add(depth)
                    .saturating_add(1),
            };
            if due > number {
                break;
            }
            headers.push(header);
            index += SegmentIndex::ONE;
        }
        headers
    }

    async fn build(&mut self, pre_digest: PreDigest) -> Result<(), DevNodeError> {
        let slot = pre_digest.slot;
        let parent_slot = (self.state.number > 0).then_some(self.state.slot);
        let Some(justification) = self.pot.lock().justification(parent_slot, slot) else {
            tracing::error!(
                slot,
                "proofs of time for a justification are missing, the block is lost"
            );
            return Ok(());
        };
        let segment_headers = self.due_segment_headers();
        let (state, head, data_progress) = (Arc::clone(&self.state), self.head.clone(), self.data_progress);
        let context = VoteContext {
            number: state.number + 1,
            slot,
            parent: (head.hash(), state.slot),
            grandparent: self.parent,
        };
        let (block, votes) = self
            .blocking(move |workshop| {
                let votes = workshop.votes.take(&workshop.judge, &state, &context, MAX_VOTES);
                let parts = BlockParts {
                    parent: &head,
                    parent_state: &state,
                    pre_digest,
                    justification,
                    segment_headers,
                    votes: votes.clone(),
                    data_progress,
                    milliseconds: milliseconds_now(),
                };
                UnsealedBlock::build(parts, &workshop.data).map(|block| (block, votes))
            })
            .await??;
        let Some(signature) = self.sign(block.pre_hash(), pre_digest.solution.public_key).await else {
            tracing::warn!(slot, "the farmer did not sign, the block is lost");
            // The votes wait for the next block.
            self.blocking(move |workshop| votes.into_iter().for_each(|vote| workshop.votes.add(vote)))
                .await?;
            return Ok(());
        };
        let (state, data_progress) = (block.state.clone(), block.data_progress);
        let block = block.seal(&signature);
        if let Some(outlet) = &self.outlet {
            if !outlet.block(slot, block).await {
                self.blocking(move |workshop| votes.into_iter().for_each(|vote| workshop.votes.add(vote)))
                    .await?;
            }
            return Ok(());
        }
        let solution = pre_digest.solution;
        let own = (
            solution.public_key,
            solution.sector_index,
            solution.piece_offset,
            solution.chunk,
            slot,
        );
        let used: Vec<_> = votes.iter().map(|vote| vote.vote.key()).chain([own]).collect();
        self.import(block, state, data_progress, used).await
    }

    async fn import(
        &mut self,
        block: SignedBlock,
        state: RuntimeState,
        data_progress: u64,
        used: Vec<VoteKey>,
    ) -> Result<(), DevNodeError> {
        let votes = used.len().saturating_sub(1);
        self.blocking(move |workshop| workshop.votes.on_block(used))
            .await?;
        let (number, slot, hash) = (state.number, state.slot, block.header.hash());
        let size: usize = block.extrinsics.iter().map(Vec::len).sum();
        self.parent = (self.state.number > 0).then_some((self.head.hash(), self.state.slot));
        self.head = block.header.clone();
        self.state = Arc::new(state);
        self.data_progress = data_progress;
        // The clock must know before the slot of the change, however long the import takes.
        self.change.send_replace(self.state.pot_change);
        let parent_slot = self.parent.map_or(0, |(_, slot)| slot);
        self.pot.lock().on_block(parent_slot, slot);
        let stall = self.shared.faults.find(|kind| match kind {
            FaultKind::ImportStall(stall) => Some(*stall),
            _ => None,
        });
        if let Some(stall) = stall {
            tokio::time::sleep(stall).await;
        }
        let shared = Arc::clone(&self.shared);
        let headers = self
            .blocking(move |workshop| {
                shared.log.write().append(&block, data_progress)?;
                archive_up_to(&mut workshop.archiver, &shared, number)
            })
            .await??;
        for header in headers {
            self.announce_segment(header).await;
        }
        tracing::info!(number, slot, hash = %Blake3Hash(hash), votes, size, "imported a block");
        self.shared.best.send_replace(BestBlock {
            hash,
            state: Arc::clone(&self.state),
        });
        let _ = self.shared.heads.send(header_to_json(&self.head));
        Ok(())
    }

    /// Hands a new segment to the subscribers and waits for them.
    async fn announce_segment(&self, header: SegmentHeader) {
        let shared = &self.shared;
        let index = header.segment_index();
        if !shared.faults.acts(&FaultKind::HeaderGap) {
            shared.acknowledgements.announce(header, false);
            if shared.faults.acts(&FaultKind::DuplicateHeader) {
                shared.acknowledgements.announce(header, true);
            }
        }
        if !shared.acknowledgements.wait(index, ACKNOWLEDGEMENT_TIMEOUT).await {
            tracing::warn!(segment_index = %index, "not everybody acknowledged the segment in time");
        }
        let reading = Arc::clone(shared);
        let finalized =
            tokio::task::spawn_blocking(move || reading.json_header(reading.finalized_number())).await;
        if let Ok(Ok(Some(finalized))) = finalized
            && finalized.number.0 > 0
        {
            let _ = shared.finalized_heads.send(finalized);
        }
    }
}

fn milliseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Archives what is deep enough under block `number`. Blocking.
///
/// # Errors
/// When a block cannot be read or archiving fails.
pub fn archive_up_to(
    archiver: &mut ChainArchiver,
    shared: &Shared,
    number: u32,
) -> Result<Vec<SegmentHeader>, DevNodeError> {
    let target = number.saturating_sub(shared.parameters.confirmation_depth);
    let mut headers = Vec::new();
    while archiver.next_block()? <= target {
        let next = archiver.next_block()?;
        let encoded = archived_bytes(&shared.log.read(), next)?;
        headers.extend(archiver.add_block(encoded)?);
    }
    Ok(headers)
}

/// Archived bytes of a stored block; those of block 0 fill a whole segment.
///
/// # Errors
/// When the block is not stored or cannot be read.
pub fn archived_bytes(log: &crate::store::block_log::BlockLog, number: u32) -> Result<Vec<u8>, DevNodeError> {
    let missing = || DevNodeError::Inconsistent {
        number,
        reason: "it is not stored".to_string(),
    };
    if number == 0 {
        let genesis = log.block(0)?.ok_or_else(missing)?;
        return Ok(subspace_archiving::encoding::encode_genesis_block(&genesis));
    }
    log.encoded(number)?.ok_or_else(missing)
}

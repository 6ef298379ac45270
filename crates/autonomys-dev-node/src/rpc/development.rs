//! `devNode_*`: what development nodes tell each other and whoever tests with them; no official node has these.

use super::subscriptions::send;
use crate::chain::json::block_from_json;
use crate::consensus::author::Order;
use crate::consensus::signing::SigningStatistics;
use crate::follow::FollowReport;
use crate::parameters::ChainParameters;
use crate::shared::Shared;
use autonomys_node_rpc::chain_types::{HexBytes, HexHash, RpcSignedBlock};
use autonomys_node_rpc::wire::{domain_error, unsafe_error};
use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::core::{RpcResult, SubscriptionResult, async_trait};
use jsonrpsee::proc_macros::rpc;
use parity_scale_codec::{DecodeAll, Encode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::pot::PotCheckpoints;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::{PublicKey, SlotNumber};
use subspace_verification::SignedVote;
use tokio::sync::oneshot;

/// Version of what development nodes say to each other. Nodes of different versions do not follow each other.
pub const FOLLOW_VERSION: u32 = 1;
/// Proofs of time in one answer: 260 KB of text.
pub const MAX_PROOFS_PER_REQUEST: usize = 1000;
/// Longest text of a signed vote: more than its 553 bytes, far less than anything that could hurt.
const MAX_VOTE: usize = 1024;

/// Which chain a node is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainIdentity {
    /// [`FOLLOW_VERSION`] of the node.
    pub version: u32,
    /// Hash of block 0.
    pub genesis_hash: Blake3Hash,
    /// What the chain was made with.
    pub parameters: ChainParameters,
    /// Length of a slot in milliseconds.
    pub slot_duration_ms: u64,
    /// Address of the node that this one follows.
    pub follows: Option<String>,
}

/// A proof of time on its way to a node that follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotProof {
    /// The slot.
    pub slot: SlotNumber,
    /// SCALE of its checkpoints, 128 bytes.
    pub checkpoints: HexBytes,
}

impl SlotProof {
    /// From the proof itself.
    pub fn new(slot: SlotNumber, checkpoints: &PotCheckpoints) -> Self {
        Self {
            slot,
            checkpoints: HexBytes(checkpoints.encode()),
        }
    }

    /// The proof, `None` when it does not decode.
    pub fn checkpoints(&self) -> Option<PotCheckpoints> {
        PotCheckpoints::decode_all(&mut self.checkpoints.0.as_slice()).ok()
    }
}

/// A solution that somebody has submitted to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedSolution {
    /// Slot that it was submitted for.
    pub slot: SlotNumber,
    /// Farmer.
    pub public_key: PublicKey,
    /// Sector.
    pub sector_index: SectorIndex,
    /// Piece in the sector.
    pub piece_offset: PieceOffset,
    /// Whether the sender was told that it is in the mailbox.
    pub taken: bool,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Number of the best block.
    pub best_number: u32,
    /// Its hash.
    pub best_hash: HexHash,
    /// The last slot that was handled.
    pub slot: SlotNumber,
    /// Only of a node that follows another one.
    pub following: Option<FollowReport>,
    /// Reward signing since the start.
    pub signing: SigningStatistics,
    /// Solutions that were submitted since the start.
    pub received_solutions: u64,
}

/// Methods of development nodes.
#[rpc(client, server)]
pub trait DevNodeRpc {
    /// Which chain the node is on.
    #[method(name = "devNode_chain")]
    async fn chain(&self) -> RpcResult<ChainIdentity>;

    /// How the node is.
    #[method(name = "devNode_status")]
    async fn status(&self) -> RpcResult<NodeStatus>;

    /// Solutions that were submitted to the node for `from_slot` and later, of the last 4096.
    #[method(name = "devNode_receivedSolutions")]
    async fn received_solutions(&self, from_slot: SlotNumber) -> RpcResult<Vec<ReceivedSolution>>;

    /// Proofs of time from a slot on, at most 1000; those that no block will need are forgotten.
    #[method(name = "devNode_proofsOfTime")]
    async fn proofs_of_time(&self, from_slot: SlotNumber) -> RpcResult<Vec<SlotProof>>;

    /// Proofs of time as they are made, whatever faults do to the announcement of slots.
    #[subscription(
        name = "devNode_subscribeProofsOfTime" => "devNode_proofOfTime",
        unsubscribe = "devNode_unsubscribeProofsOfTime",
        item = SlotProof,
    )]
    async fn subscribe_proofs_of_time(&self) -> SubscriptionResult;

    /// Hands in a sealed block on top of the best one (unsafe). Answered as soon as it is certain to be imported.
    #[method(name = "devNode_submitBlock")]
    async fn submit_block(&self, block: RpcSignedBlock) -> RpcResult<()>;

    /// Hands in SCALE of a signed vote (unsafe).
    #[method(name = "devNode_submitVote")]
    async fn submit_vote(&self, vote: HexBytes) -> RpcResult<()>;
}

/// The methods of this node.
pub struct DevelopmentApi(pub Arc<Shared>);

impl DevelopmentApi {
    /// Only a node with a chain of its own takes blocks and votes; whoever follows it does the same on its own chain.
    fn require_leader(&self) -> RpcResult<()> {
        if !self.0.behaviour.unsafe_allowed {
            return Err(unsafe_error());
        }
        match self.0.follow_report() {
            None => Ok(()),
            Some(report) => Err(domain_error(format!(
                "this node follows {}; hand it in there",
                report.leader
            ))),
        }
    }

    /// Has the author do something and tells what came of it.
    async fn order<E: std::fmt::Display>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), E>>) -> Order,
    ) -> RpcResult<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || domain_error("the node is stopping");
        self.0.orders.send(order(reply)).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        answer.map_err(|error| domain_error(error.to_string()))
    }
}

#[async_trait]
impl DevNodeRpcServer for DevelopmentApi {
    async fn chain(&self) -> RpcResult<ChainIdentity> {
        let slot_duration = self.0.behaviour.slot_duration;
        Ok(ChainIdentity {
            version: FOLLOW_VERSION,
            genesis_hash: self.0.farmer_app_info().genesis_hash,
            parameters: self.0.parameters.as_ref().clone(),
            slot_duration_ms: u64::try_from(slot_duration.as_millis()).unwrap_or(u64::MAX),
            follows: self.0.follow_report().map(|report| report.leader),
        })
    }

    async fn status(&self) -> RpcResult<NodeStatus> {
        let (best_number, best_hash) = {
            let best = self.0.best.borrow();
            (best.state.number, HexHash(best.hash))
        };
        Ok(NodeStatus {
            best_number,
            best_hash,
            slot: *self.0.slot.borrow(),
            following: self.0.follow_report(),
            signing: self.0.signing.statistics(),
            received_solutions: self.0.received.count.load(Ordering::Relaxed),
        })
    }

    async fn received_solutions(&self, from_slot: SlotNumber) -> RpcResult<Vec<ReceivedSolution>> {
        Ok(self.0.received.since(from_slot))
    }

    async fn proofs_of_time(&self, from_slot: SlotNumber) -> RpcResult<Vec<SlotProof>> {
        let proofs = self.0.pot.lock().proofs_from(from_slot, MAX_PROOFS_PER_REQUEST);
        Ok(proofs
            .iter()
            .map(|(slot, checkpoints)| SlotProof::new(*slot, checkpoints))
            .collect())
    }

    async fn subscribe_proofs_of_time(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        let mut proofs = self.0.proofs.subscribe();
        tokio::spawn(async move {
            let Ok(sink) = pending.accept().await else { return };
            loop {
                let (slot, checkpoints) = tokio::select! {
                    () = sink.closed() => return,
                    proof = proofs.recv() => match proof {
                        Ok(proof) => proof,
                        // The follower sees the gap and asks for what is missing.
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                    },
                };
                if !send(&sink, &SlotProof::new(slot, &checkpoints)).await {
                    return;
                }
            }
        });
        Ok(())
    }

    async fn submit_block(&self, block: RpcSignedBlock) -> RpcResult<()> {
        self.require_leader()?;
        let block = Box::new(block_from_json(block));
        self.order(|reply| Order::Import(block, reply)).await
    }

    async fn submit_vote(&self, vote: HexBytes) -> RpcResult<()> {
        self.require_leader()?;
        let vote = Some(vote.0)
            .filter(|bytes| bytes.len() <= MAX_VOTE)
            .and_then(|bytes| SignedVote::decode_all(&mut bytes.as_slice()).ok())
            .ok_or_else(|| domain_error("the vote does not decode"))?;
        self.order(|reply| Order::Vote(Box::new(vote), reply)).await
    }
}

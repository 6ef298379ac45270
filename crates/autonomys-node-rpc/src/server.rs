//! The traits that a node implements; methods without parameters take any `params`, as official nodes do.

use crate::chain_types::{
    HashOrList, HexHash, NumberOrList, RpcHeader, RpcSignedBlock, SyncState, SystemHealth,
};
use jsonrpsee::core::{RpcResult, SubscriptionResult};
use jsonrpsee::proc_macros::rpc;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::rpc::{FarmerAppInfo, RewardSignatureResponse, SolutionResponse};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

/// `subspace_*`: what farmers use.
#[rpc(server)]
pub trait SubspaceRpc {
    /// Genesis hash, sync state, farming time-out and protocol parameters.
    #[method(name = "subspace_getFarmerAppInfo")]
    async fn get_farmer_app_info(&self) -> RpcResult<FarmerAppInfo>;

    /// Puts a solution into the mailbox of its slot (unsafe).
    #[method(name = "subspace_submitSolutionResponse")]
    async fn submit_solution_response(&self, solution_response: SolutionResponse) -> RpcResult<()>;

    /// Slots with their challenges.
    #[subscription(
        name = "subspace_subscribeSlotInfo" => "subspace_slot_info",
        unsubscribe = "subspace_unsubscribeSlotInfo",
        item = subspace_core_primitives::rpc::SlotInfo,
    )]
    async fn subscribe_slot_info(&self) -> SubscriptionResult;

    /// Hashes to sign (unsafe).
    #[subscription(
        name = "subspace_subscribeRewardSigning" => "subspace_reward_signing",
        unsubscribe = "subspace_unsubscribeRewardSigning",
        item = subspace_core_primitives::rpc::RewardSigningInfo,
    )]
    async fn subscribe_reward_signing(&self) -> SubscriptionResult;

    /// Answers a signing request (unsafe).
    #[method(name = "subspace_submitRewardSignature")]
    async fn submit_reward_signature(&self, response: RewardSignatureResponse) -> RpcResult<()>;

    /// Headers of newly archived segments.
    #[subscription(
        name = "subspace_subscribeArchivedSegmentHeader" => "subspace_archived_segment_header",
        unsubscribe = "subspace_unsubscribeArchivedSegmentHeader",
        item = SegmentHeader,
    )]
    async fn subscribe_archived_segment_header(&self) -> SubscriptionResult;

    /// Releases one subscription that waits for this segment (unsafe).
    #[method(name = "subspace_acknowledgeArchivedSegmentHeader")]
    async fn acknowledge_archived_segment_header(&self, segment_index: SegmentIndex) -> RpcResult<()>;

    /// Segment headers in the order of the indexes, `null` for unknown ones; at most 1000.
    #[method(name = "subspace_segmentHeaders")]
    async fn segment_headers(
        &self,
        segment_indexes: Vec<SegmentIndex>,
    ) -> RpcResult<Vec<Option<SegmentHeader>>>;

    /// The newest segment headers, ascending; at most 1000.
    #[method(name = "subspace_lastSegmentHeaders")]
    async fn last_segment_headers(&self, limit: u32) -> RpcResult<Vec<Option<SegmentHeader>>>;

    /// One piece (unsafe).
    #[method(name = "subspace_piece")]
    async fn piece(&self, piece_index: PieceIndex) -> RpcResult<Option<Piece>>;

    /// All object mappings (unsafe).
    #[subscription(
        name = "subspace_subscribeObjectMappings" => "subspace_object_mappings",
        unsubscribe = "subspace_unsubscribeObjectMappings",
        item = subspace_core_primitives::rpc::ObjectMappingResponse,
    )]
    async fn subscribe_object_mappings(&self) -> SubscriptionResult;

    /// Mappings of chosen objects, at most 1000 hashes (unsafe).
    #[subscription(
        name = "subspace_subscribeFilteredObjectMappings" => "subspace_filtered_object_mappings",
        unsubscribe = "subspace_unsubscribeFilteredObjectMappings",
        item = subspace_core_primitives::rpc::ObjectMappingResponse,
    )]
    async fn subscribe_filtered_object_mappings(&self, hashes: Vec<Blake3Hash>) -> SubscriptionResult;
}

/// `chain_*`: blocks.
#[rpc(server)]
pub trait ChainRpc {
    /// Hash of the best block, of a block by number, or of each number of a list.
    #[method(name = "chain_getBlockHash")]
    async fn get_block_hash(&self, number: Option<NumberOrList>) -> RpcResult<HashOrList>;

    /// Header of the best block or of a block by hash.
    #[method(name = "chain_getHeader")]
    async fn get_header(&self, hash: Option<HexHash>) -> RpcResult<Option<RpcHeader>>;

    /// The best block or a block by hash.
    #[method(name = "chain_getBlock")]
    async fn get_block(&self, hash: Option<HexHash>) -> RpcResult<Option<RpcSignedBlock>>;

    /// Hash of the finalized head.
    #[method(name = "chain_getFinalizedHead")]
    async fn get_finalized_head(&self) -> RpcResult<HexHash>;

    /// Headers of new best blocks, beginning with the current one.
    #[subscription(
        name = "chain_subscribeNewHeads" => "chain_newHead",
        unsubscribe = "chain_unsubscribeNewHeads",
        item = RpcHeader,
    )]
    async fn subscribe_new_heads(&self) -> SubscriptionResult;

    /// Headers of finalized blocks, beginning with the current one.
    #[subscription(
        name = "chain_subscribeFinalizedHeads" => "chain_finalizedHead",
        unsubscribe = "chain_unsubscribeFinalizedHeads",
        item = RpcHeader,
    )]
    async fn subscribe_finalized_heads(&self) -> SubscriptionResult;
}

/// `system_*`: the node itself.
#[rpc(server, namespace = "system")]
pub trait SystemRpc {
    /// Name of the software.
    #[method(name = "name")]
    async fn name(&self) -> RpcResult<String>;

    /// Version of the software.
    #[method(name = "version")]
    async fn version(&self) -> RpcResult<String>;

    /// Name of the chain.
    #[method(name = "chain")]
    async fn chain(&self) -> RpcResult<String>;

    /// Kind of chain.
    #[method(name = "chainType")]
    async fn chain_type(&self) -> RpcResult<serde_json::Value>;

    /// Properties such as the SS58 prefix.
    #[method(name = "properties")]
    async fn properties(&self) -> RpcResult<serde_json::Value>;

    /// Peers and sync in short.
    #[method(name = "health")]
    async fn health(&self) -> RpcResult<SystemHealth>;

    /// Progress of syncing.
    #[method(name = "syncState")]
    async fn sync_state(&self) -> RpcResult<SyncState>;

    /// Peer id of the node.
    #[method(name = "localPeerId")]
    async fn local_peer_id(&self) -> RpcResult<String>;

    /// Roles of the node.
    #[method(name = "nodeRoles")]
    async fn node_roles(&self) -> RpcResult<Vec<String>>;
}

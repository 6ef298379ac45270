//! What the node and the farmer tell each other over RPC.

mod multiaddr;

pub use multiaddr::Multiaddr;

use crate::chain::{BlockNumber, PublicKey, SlotNumber};
use crate::hashes::Blake3Hash;
use crate::objects::GlobalObjectMapping;
use crate::segments::HistorySize;
use crate::solutions::{RewardSignature, Solution, SolutionRange};
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Parameters of the protocol that a farmer needs.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmerProtocolInfo {
    /// Number of segments that the node knows; may be ahead of the runtime.
    pub history_size: HistorySize,
    /// Limit for pieces in a sector.
    pub max_pieces_in_sector: u16,
    /// Number of latest segments that count as recent.
    pub recent_segments: HistorySize,
    /// Fraction of a sector that is taken from recent segments: numerator and denominator.
    pub recent_history_fraction: (HistorySize, HistorySize),
    /// Segments for which a sector lives at least.
    pub min_sector_lifetime: HistorySize,
}

/// Answer of `subspace_getFarmerAppInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmerAppInfo {
    /// Hash of block 0.
    pub genesis_hash: Blake3Hash,
    /// Bootstrap nodes of the storage network.
    pub dsn_bootstrap_nodes: Vec<Multiaddr>,
    /// Whether the node is catching up with the chain.
    pub syncing: bool,
    /// Time from the start of a slot in which a solution must arrive.
    pub farming_timeout: Duration,
    /// Parameters of the protocol.
    pub protocol_info: FarmerProtocolInfo,
}

/// A slot to be farmed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotInfo {
    /// Number of the slot.
    pub slot_number: SlotNumber,
    /// Challenge of the slot.
    pub global_challenge: Blake3Hash,
    /// Range in which a solution makes a block.
    pub solution_range: SolutionRange,
    /// Range in which a solution makes a vote; sectors are audited with this one.
    pub voting_solution_range: SolutionRange,
}

/// A solution for a slot.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SolutionResponse {
    /// Number of the slot.
    pub slot_number: SlotNumber,
    /// The solution.
    pub solution: Solution,
}

/// Request to sign the hash of a block or vote.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewardSigningInfo {
    /// Hash to be signed.
    pub hash: Blake3Hash,
    /// Public key that the block or vote is signed for.
    pub public_key: PublicKey,
}

/// Answer to a [`RewardSigningInfo`].
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewardSignatureResponse {
    /// Hash that was to be signed.
    pub hash: Blake3Hash,
    /// The signature, `None` when the farmer will not sign.
    pub signature: Option<RewardSignature>,
}

/// Item of the object mapping subscriptions; the mapping is part of the object itself (`{"blockNumber":1,"v0":{...}}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMappingResponse {
    /// Block that the objects belong to.
    pub block_number: BlockNumber,
    /// Places of the objects.
    #[serde(flatten)]
    pub objects: GlobalObjectMapping,
}

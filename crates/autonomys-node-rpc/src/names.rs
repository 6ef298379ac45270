//! Names of methods and subscriptions, exactly as they travel.

/// The three names of one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionNames {
    /// Method that opens the subscription; its result is the subscription id.
    pub subscribe: &'static str,
    /// `method` of every notification that carries an item.
    pub item: &'static str,
    /// Method that ends the subscription; its parameter is the id.
    pub unsubscribe: &'static str,
}

/// Farmer app info: genesis hash, syncing, protocol info.
pub const GET_FARMER_APP_INFO: &str = "subspace_getFarmerAppInfo";
/// Puts a solution into the mailbox of its slot (unsafe).
pub const SUBMIT_SOLUTION_RESPONSE: &str = "subspace_submitSolutionResponse";
/// Answers a reward-signing request (unsafe).
pub const SUBMIT_REWARD_SIGNATURE: &str = "subspace_submitRewardSignature";
/// Releases one subscription that waits for a segment to be taken over (unsafe).
pub const ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER: &str = "subspace_acknowledgeArchivedSegmentHeader";
/// Segment headers by index.
pub const SEGMENT_HEADERS: &str = "subspace_segmentHeaders";
/// The newest segment headers, ascending.
pub const LAST_SEGMENT_HEADERS: &str = "subspace_lastSegmentHeaders";
/// One piece by index (unsafe).
pub const PIECE: &str = "subspace_piece";

/// Slots with their challenge and solution ranges.
pub const SLOT_INFO: SubscriptionNames = SubscriptionNames {
    subscribe: "subspace_subscribeSlotInfo",
    item: "subspace_slot_info",
    unsubscribe: "subspace_unsubscribeSlotInfo",
};
/// Hashes to be signed by the winner (unsafe).
pub const REWARD_SIGNING: SubscriptionNames = SubscriptionNames {
    subscribe: "subspace_subscribeRewardSigning",
    item: "subspace_reward_signing",
    unsubscribe: "subspace_unsubscribeRewardSigning",
};
/// Headers of newly archived segments.
pub const ARCHIVED_SEGMENT_HEADER: SubscriptionNames = SubscriptionNames {
    subscribe: "subspace_subscribeArchivedSegmentHeader",
    item: "subspace_archived_segment_header",
    unsubscribe: "subspace_unsubscribeArchivedSegmentHeader",
};
/// All object mappings (unsafe).
pub const OBJECT_MAPPINGS: SubscriptionNames = SubscriptionNames {
    subscribe: "subspace_subscribeObjectMappings",
    item: "subspace_object_mappings",
    unsubscribe: "subspace_unsubscribeObjectMappings",
};
/// Mappings of chosen objects (unsafe).
pub const FILTERED_OBJECT_MAPPINGS: SubscriptionNames = SubscriptionNames {
    subscribe: "subspace_subscribeFilteredObjectMappings",
    item: "subspace_filtered_object_mappings",
    unsubscribe: "subspace_unsubscribeFilteredObjectMappings",
};
/// Headers of new best blocks.
pub const NEW_HEADS: SubscriptionNames = SubscriptionNames {
    subscribe: "chain_subscribeNewHeads",
    item: "chain_newHead",
    unsubscribe: "chain_unsubscribeNewHeads",
};
/// Headers of newly finalized blocks.
pub const FINALIZED_HEADS: SubscriptionNames = SubscriptionNames {
    subscribe: "chain_subscribeFinalizedHeads",
    item: "chain_finalizedHead",
    unsubscribe: "chain_unsubscribeFinalizedHeads",
};

/// Block hash by number, or a list for a list.
pub const CHAIN_GET_BLOCK_HASH: &str = "chain_getBlockHash";
/// Block header by hash.
pub const CHAIN_GET_HEADER: &str = "chain_getHeader";
/// Block with justifications by hash.
pub const CHAIN_GET_BLOCK: &str = "chain_getBlock";
/// Hash of the finalized head.
pub const CHAIN_GET_FINALIZED_HEAD: &str = "chain_getFinalizedHead";
/// Peers and sync state in short.
pub const SYSTEM_HEALTH: &str = "system_health";
/// Name of the node's software.
pub const SYSTEM_NAME: &str = "system_name";
/// Version of the node's software.
pub const SYSTEM_VERSION: &str = "system_version";
/// Name of the chain.
pub const SYSTEM_CHAIN: &str = "system_chain";
/// Type of the chain: live, development, local, or something of its own.
pub const SYSTEM_CHAIN_TYPE: &str = "system_chainType";
/// Free-form properties of the chain.
pub const SYSTEM_PROPERTIES: &str = "system_properties";

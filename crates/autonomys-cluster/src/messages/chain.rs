//! What controllers pass on between their nodes and the farms.

use super::{Broadcast, DirectRequest, QueueRequest, Request};
use crate::codec::{Message, cut};
use crate::ids::ControllerId;
use parity_scale_codec::{Decode, Encode};
use std::time::Duration;
use subspace_core_primitives::rpc::{
    FarmerAppInfo, RewardSignatureResponse, RewardSigningInfo, SlotInfo, SolutionResponse,
};
use subspace_core_primitives::segments::SegmentHeader;

/// A solution is worth nothing once the farming time (4 s) is over; a controller that is silent for longer has an
/// unknown outcome, which is final.
const SUBMIT_SOLUTION_TIMEOUT: Duration = Duration::from_secs(4);
/// The node waits about as long for a signature before it gives the block up.
const SUBMIT_SIGNATURE_TIMEOUT: Duration = Duration::from_secs(4);
/// Controllers answer from memory, or after one call to a node that may be busy importing blocks.
const FARMER_APP_INFO_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a small message: far above every fixed layout here, far below anything that could hurt.
const SMALL: usize = 4 * 1024;
/// Bootstrap nodes make the chain's parameters the only small message of variable length.
const FARMER_APP_INFO_SIZE: usize = 256 * 1024;

/// A slot begins. Every controller announces it; farms take the first one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SlotAnnouncement {
    /// Who announces, and who gets the solutions.
    pub controller: ControllerId,
    /// The slot.
    pub slot_info: SlotInfo,
}

impl Message for SlotAnnouncement {
    const NAME: &'static str = "slot-info";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Broadcast for SlotAnnouncement {}

/// A node asks the farm with this public key to sign a hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RewardSigningAnnouncement {
    /// Whose node asks, and who gets the signature.
    pub controller: ControllerId,
    /// Hash and public key.
    pub info: RewardSigningInfo,
}

impl Message for RewardSigningAnnouncement {
    const NAME: &'static str = "reward-signing";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Broadcast for RewardSigningAnnouncement {}

/// A node has archived a segment. The durable copy of the header is in [`crate::segment_headers`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ArchivedSegmentAnnouncement {
    /// Whose node archived it.
    pub controller: ControllerId,
    /// The new header.
    pub segment_header: SegmentHeader,
}

impl Message for ArchivedSegmentAnnouncement {
    const NAME: &'static str = "archived-segment-header";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Broadcast for ArchivedSegmentAnnouncement {}

/// Asks any controller for the chain's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct FarmerAppInfoRequest;

impl Message for FarmerAppInfoRequest {
    const NAME: &'static str = "farmer-app-info";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Request for FarmerAppInfoRequest {
    type Response = FarmerAppInfoReply;
    const TIMEOUT: Duration = FARMER_APP_INFO_TIMEOUT;
}

impl QueueRequest for FarmerAppInfoRequest {}

/// The chain's parameters as one controller's node sees them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FarmerAppInfoReply {
    /// Who answered.
    pub controller: ControllerId,
    /// What its node said.
    pub info: FarmerAppInfo,
}

impl Message for FarmerAppInfoReply {
    const NAME: &'static str = "farmer-app-info reply";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = FARMER_APP_INFO_SIZE;
}

/// Hands a solution to the one controller it was recorded for (see [`crate::journal`]).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SubmitSolution {
    /// Slot and solution.
    pub response: SolutionResponse,
}

impl Message for SubmitSolution {
    const NAME: &'static str = "submit-solution";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Request for SubmitSolution {
    type Response = NodeReply;
    const TIMEOUT: Duration = SUBMIT_SOLUTION_TIMEOUT;
}

impl DirectRequest for SubmitSolution {}

/// Hands a reward signature to the controller whose node asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SubmitRewardSignature {
    /// Hash and signature.
    pub response: RewardSignatureResponse,
}

impl Message for SubmitRewardSignature {
    const NAME: &'static str = "submit-reward-signature";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl Request for SubmitRewardSignature {
    type Response = NodeReply;
    const TIMEOUT: Duration = SUBMIT_SIGNATURE_TIMEOUT;
}

impl DirectRequest for SubmitRewardSignature {}

/// What became of something that was passed on to a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum NodeReply {
    /// The node took it.
    #[codec(index = 0)]
    Accepted,
    /// The node answered with an error.
    #[codec(index = 1)]
    Refused {
        /// JSON-RPC error code.
        code: i32,
        /// The node's words.
        message: String,
    },
    /// The controller could not pass it on: none of its nodes can be reached. The node has not seen it.
    #[codec(index = 2)]
    NodeUnreachable,
}

impl Message for NodeReply {
    const NAME: &'static str = "node reply";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = SMALL;
}

impl NodeReply {
    /// Longest message of a node that is passed on, in bytes; the rest is cut so that the reply always fits.
    pub const MAX_MESSAGE: usize = 1024;

    /// A refusal whose message is cut to [`Self::MAX_MESSAGE`].
    pub fn refused(code: i32, message: &str) -> Self {
        Self::Refused {
            code,
            message: cut(message, Self::MAX_MESSAGE),
        }
    }
}

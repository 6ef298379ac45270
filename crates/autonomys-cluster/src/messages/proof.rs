//! The proof part of a solution, made by whichever proof-server is free.

use super::{QueueRequest, Request};
use crate::codec::Message;
use crate::ids::InstanceId;
use parity_scale_codec::{Decode, Encode};
use std::time::Duration;

/// A slot's solutions are worth nothing after 4 s; a farm that still waits then is better off proving on its own.
const PROOF_TIMEOUT: Duration = Duration::from_secs(3);
/// The stored chunks of a record (1 MiB), its bitmap (8 KiB) and the rest of the candidate, with room to grow; below
/// the `max_payload` that is checked at start.
const PROOF_REQUEST_SIZE: usize = 1536 * 1024;
/// Chunk, witness and proof of space take 240 bytes.
const PROOF_REPLY_SIZE: usize = 4 * 1024;

/// Everything a proof-server needs, in the encoding of the proving library.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ProofRequest {
    /// Milliseconds, from the moment it is received, after which the proof is worth nothing. No point in time: clocks differ.
    pub within_ms: u32,
    /// Opaque here.
    pub payload: Vec<u8>,
}

impl Message for ProofRequest {
    const NAME: &'static str = "proof";
    /// 2: with the time that is left.
    const VERSION: u8 = 2;
    const MAX_SIZE: usize = PROOF_REQUEST_SIZE;
}

impl Request for ProofRequest {
    type Response = ProofReply;
    const TIMEOUT: Duration = PROOF_TIMEOUT;
}

impl QueueRequest for ProofRequest {}

/// The proof part.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ProofReply {
    /// Who made it.
    pub server: InstanceId,
    /// Opaque here.
    pub payload: Vec<u8>,
}

impl Message for ProofReply {
    const NAME: &'static str = "proof reply";
    /// 2: with the name of the proof-server.
    const VERSION: u8 = 2;
    const MAX_SIZE: usize = PROOF_REPLY_SIZE;
}

//! What an operator's command tells a running instance.

use super::{DirectRequest, Request};
use crate::codec::Message;
use parity_scale_codec::{Decode, Encode};
use std::time::Duration;

/// The instance only flips a flag; more than this means that it hangs.
const SET_DRAINING_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells an instance to stop taking new work, or to take it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SetDraining {
    /// `true` drains, `false` resumes.
    pub draining: bool,
}

impl Message for SetDraining {
    const NAME: &'static str = "set-draining";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 16;
}

impl Request for SetDraining {
    type Response = DrainReply;
    const TIMEOUT: Duration = SET_DRAINING_TIMEOUT;
}

impl DirectRequest for SetDraining {}

/// The state after the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DrainReply {
    /// Whether new work is refused now.
    pub draining: bool,
    /// Pieces of work that are still held; 0 means that the instance may be stopped without losing any.
    pub held: u32,
}

impl Message for DrainReply {
    const NAME: &'static str = "set-draining reply";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 16;
}

//! Error codes and texts of the wire, and the error objects a server answers with.

use jsonrpsee::types::ErrorObjectOwned;

/// All domain errors of `subspace_*`.
pub const DOMAIN_ERROR: i32 = 9001;
/// Domain errors of very old nodes.
pub const LEGACY_DOMAIN_ERROR: i32 = -32001;
/// Unknown method; also an unsafe method that the server does not allow.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// Parameters that cannot be decoded.
pub const INVALID_PARAMS: i32 = -32602;
/// Internal error; also the answer to an unsafe subscription that the server does not allow.
pub const INTERNAL_ERROR: i32 = -32603;
/// The operator disabled batches.
pub const BATCHES_DISABLED: i32 = -32005;
/// Too many subscriptions on one connection.
pub const TOO_MANY_SUBSCRIPTIONS: i32 = -32006;
/// The request is too large.
pub const REQUEST_TOO_LARGE: i32 = -32007;
/// The response would be too large.
pub const RESPONSE_TOO_LARGE: i32 = -32008;
/// The server is busy.
pub const SERVER_BUSY: i32 = -32009;
/// The batch has too many requests.
pub const BATCH_TOO_LONG: i32 = -32010;
/// The responses of a batch are too large together.
pub const BATCH_RESPONSE_TOO_LARGE: i32 = -32011;

/// Text of the answer to an unsafe method on a server that does not allow them.
pub const UNSAFE_MESSAGE: &str = "RPC call is unsafe to be called externally";
/// Text of the answer to a solution whose slot has no mailbox, a full or a closed one.
pub const SOLUTION_IGNORED_MESSAGE: &str = "Solution was ignored";

/// Domain error with a text and no data.
pub fn domain_error(message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(DOMAIN_ERROR, message, None::<()>)
}

/// Refusal of an unsafe method.
pub fn unsafe_error() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(METHOD_NOT_FOUND, UNSAFE_MESSAGE, None::<()>)
}

/// Refusal of a solution that has no mailbox.
pub fn solution_ignored() -> ErrorObjectOwned {
    domain_error(SOLUTION_IGNORED_MESSAGE)
}

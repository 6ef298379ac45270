//! What can go wrong on the data plane, from a bad byte to an absent peer.

use crate::key::{ItemKey, SectorKey};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A frame that cannot be read. Always the end of the connection it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream does not start with our magic.
    #[error(
        "the peer does not speak the data plane protocol: the frame starts with {found:02x?}; check the address and port"
    )]
    BadMagic {
        /// First four bytes found.
        found: [u8; 4],
    },
    /// Another version of the protocol.
    #[error("the peer speaks data plane version {found}, this program speaks version {ours}; upgrade the older side", ours = crate::frame::VERSION)]
    UnsupportedVersion {
        /// Version found in the header.
        found: u16,
    },
    /// Header bytes changed on the way.
    #[error("a frame header fails its checksum; the connection or the peer's memory is faulty")]
    HeaderChecksum,
    /// Payload bytes changed on the way.
    #[error("a frame payload fails its checksum; the connection or the peer's memory is faulty")]
    PayloadChecksum,
    /// A kind this version does not have.
    #[error("unknown frame kind {found}; the peer is not a version 1 member")]
    UnknownKind {
        /// Number found.
        found: u8,
    },
    /// A flag this version does not have.
    #[error("unknown frame flags {found:#04x}; the peer is not a version 1 member")]
    UnknownFlags {
        /// Flags found.
        found: u8,
    },
    /// An item kind this version does not have.
    #[error("unknown item kind {found} in a key; upgrade the older side")]
    UnknownItemKind {
        /// Number found.
        found: u8,
    },
    /// A payload longer than its kind allows; refused before allocation.
    #[error("a {kind} frame of {length} bytes exceeds the limit of {limit}; the connection is closed")]
    TooLarge {
        /// Name of the kind.
        kind: &'static str,
        /// Length announced, bytes.
        length: u32,
        /// Limit of the kind, bytes.
        limit: u32,
    },
    /// The stream ended inside a frame.
    #[error("the connection was cut inside a frame; the request has to be sent again")]
    Truncated,
    /// A payload that breaks the rules of its kind.
    #[error("malformed {kind} frame: {reason}")]
    Malformed {
        /// Name of the kind.
        kind: &'static str,
        /// Rule that was broken.
        reason: &'static str,
    },
    /// A kind that has no place at this point of the conversation.
    #[error("unexpected {kind} frame {during}")]
    Unexpected {
        /// Name of the kind.
        kind: &'static str,
        /// Point of the conversation.
        during: &'static str,
    },
}

/// Code of an `Error` frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The header's version is not spoken here.
    UnsupportedVersion,
    /// The proof of the session key is wrong.
    AuthenticationFailed,
    /// This member does not serve this kind of request.
    NotServed,
    /// More requests open than announced in `Welcome`, or the server is full.
    TooManyRequests,
    /// The frame broke a rule of the protocol.
    Malformed,
    /// Nothing here under this key.
    NotFound,
    /// The range lies outside the sector.
    OutOfRange,
    /// The member failed on its side, for instance its disk.
    Internal,
    /// The member takes no new work at the moment.
    Draining,
    /// The item's bytes do not have the announced hash.
    HashMismatch,
    /// The member refuses the item, for instance because it has no room.
    Refused,
    /// The server takes connections with TLS only.
    TlsRequired,
    /// The server does not use TLS.
    TlsNotSpoken,
    /// A code of a later version.
    Other(u16),
}

impl ErrorCode {
    /// Number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::UnsupportedVersion => 1,
            Self::AuthenticationFailed => 2,
            Self::NotServed => 3,
            Self::TooManyRequests => 4,
            Self::Malformed => 5,
            Self::NotFound => 6,
            Self::OutOfRange => 7,
            Self::Internal => 8,
            Self::Draining => 9,
            Self::HashMismatch => 10,
            Self::Refused => 11,
            Self::TlsRequired => 12,
            Self::TlsNotSpoken => 13,
            Self::Other(number) => number,
        }
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Self {
        match number {
            1 => Self::UnsupportedVersion,
            2 => Self::AuthenticationFailed,
            3 => Self::NotServed,
            4 => Self::TooManyRequests,
            5 => Self::Malformed,
            6 => Self::NotFound,
            7 => Self::OutOfRange,
            8 => Self::Internal,
            9 => Self::Draining,
            10 => Self::HashMismatch,
            11 => Self::Refused,
            12 => Self::TlsRequired,
            13 => Self::TlsNotSpoken,
            other => Self::Other(other),
        }
    }
}

/// A request that a member answered with an error; the connection lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of error.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// This member does not serve such requests.
    pub fn not_served(what: &str) -> Self {
        Self::new(ErrorCode::NotServed, format!("this member does not serve {what}"))
    }

    /// No such sector here.
    pub fn sector_not_found(key: &SectorKey) -> Self {
        Self::new(ErrorCode::NotFound, format!("{key} is not stored here"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Failure of an operation on the data plane. Cheap to clone: one broken connection tells all its requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The operating system refused.
    #[error("{operation} failed: {message}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// Kind of the system error.
        kind: std::io::ErrorKind,
        /// Text of the system error.
        message: String,
    },
    /// A frame could not be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side does not know the session key of the member.
    #[error(
        "authentication failed: the two sides have different session keys; the member may have restarted, look it up again"
    )]
    AuthenticationFailed,
    /// The peer takes connections with TLS only.
    #[error(
        "the peer takes connections with TLS only, and this side does not use it; set TLS the same way on all members"
    )]
    TlsRequired,
    /// The peer does not use TLS.
    #[error("the peer does not use TLS, and this side does; set TLS the same way on all members")]
    TlsNotSpoken,
    /// The peer answered with an error.
    #[error("the peer refused: {0}")]
    Refused(#[from] Refusal),
    /// Something took longer than its bound.
    #[error("{operation} took longer than {limit:?}")]
    TimedOut {
        /// What was being done.
        operation: &'static str,
        /// The bound.
        limit: Duration,
    },
    /// The caller's deadline passed.
    #[error("the deadline of the request passed before the peer answered")]
    DeadlineExceeded,
    /// The connection was closed by the peer.
    #[error("the peer closed the connection; the request has to be sent again")]
    ConnectionClosed,
    /// The pool or the server is shutting down.
    #[error("the data plane of this process is shutting down")]
    ShuttingDown,
    /// The peer failed a moment ago and is not tried again yet.
    #[error("{member} at {address} failed a moment ago and is tried again in {retry_in:?}: {reason}")]
    BackingOff {
        /// Member that failed.
        member: String,
        /// Its address.
        address: SocketAddr,
        /// Until the next attempt.
        retry_in: Duration,
        /// Why the last attempt failed.
        reason: String,
    },
    /// All connections of the pool are in use.
    #[error("all {limit} connections of the pool are busy; use fewer peers at once")]
    TooManyConnections {
        /// Limit of the pool.
        limit: usize,
    },
    /// An item whose bytes do not have the hash the peer announced; other items of the request are not affected.
    #[error("{key} arrived with a wrong hash; it is damaged at the peer and has to be fetched elsewhere")]
    CorruptItem {
        /// Key of the item.
        key: ItemKey,
    },
    /// More keys than this peer takes in one request.
    #[error("the peer takes at most {limit} keys in one request")]
    TooManyKeys {
        /// Its limit.
        limit: usize,
    },
    /// An item that is longer than the caller of `Pool::fetch` expects any to be.
    #[error("{key} has {length} bytes, more than such an item may have; it has to be fetched elsewhere")]
    ItemTooLong {
        /// Key of the item.
        key: ItemKey,
        /// Its length, bytes.
        length: usize,
    },
    /// Something of this process failed that should not.
    #[error("a task of this process failed: {0}")]
    Internal(String),
    /// A request that the protocol cannot carry.
    #[error("bad request: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl TransferError {
    pub(crate) fn io(operation: &'static str, error: &std::io::Error) -> Self {
        Self::Io {
            operation,
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

//! What stops a development node.

use std::path::PathBuf;
use subspace_archiving::encoding::BlockDecodeError;

/// Error that stops a development node or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum DevNodeError {
    /// A switch has a value that cannot work.
    #[error("{0}")]
    Configuration(String),
    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The directory holds a chain made with other parameters.
    #[error("{} holds a chain with {name} {stored}, but {given} was asked for; use the same value or another directory", path.display())]
    OtherChain {
        /// The directory.
        path: PathBuf,
        /// Name of the parameter.
        name: &'static str,
        /// Value of the stored chain.
        stored: String,
        /// Value that was asked for.
        given: String,
    },
    /// Another process uses the directory.
    #[error("{} is used by another process; give each development node its own directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Stored data contradicts itself although its checksums are right.
    #[error(
        "the stored chain is inconsistent at block {number}: {reason}; remove the directory to begin again"
    )]
    Inconsistent {
        /// Block at which this was noticed.
        number: u32,
        /// What is wrong.
        reason: String,
    },
    /// A stored segment is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    DamagedSegment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A stored block does not decode.
    #[error(transparent)]
    Block(#[from] BlockDecodeError),
    /// Archiving failed.
    #[error("archiving failed: {0}")]
    Archiving(String),
    /// The RPC server cannot listen.
    #[error("cannot listen for RPC on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The proof-of-time chain cannot go on.
    #[error("proof of time: {0}")]
    ProofOfTime(String),
    /// The node that was to be followed cannot be.
    #[error("cannot follow the node at {url}: {reason}")]
    Follow {
        /// Its address.
        url: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The node was stopped while it started, or a background computation ended without a result.
    #[error("the development node was stopped before it was ready")]
    Aborted,
}

impl DevNodeError {
    /// Adapter for `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

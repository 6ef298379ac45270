//! What can go wrong: with the whole run, and with one segment.

use crate::exit::Exit;
use autonomys_cache::CacheError;
use autonomys_node_rpc::NodeRpcError;
use std::path::PathBuf;
use subspace_archiving::{ArchiverError, AssemblerError};
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::segments::{LastArchivedBlock, SegmentIndex};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The node does not answer, or not as a node does.
    #[error(transparent)]
    Node(#[from] NodeRpcError),
    /// The first contact with the node failed.
    #[error("the node cannot be used: {0}")]
    NoNode(NodeRpcError),
    /// The node answers but is of no use.
    #[error("the node cannot be used: {0}")]
    Unsuitable(String),
    /// The range of segments makes no sense.
    #[error("{0}")]
    Range(String),
    /// The pieces do not fit.
    #[error(
        "{segments} segments need {} of disk space, {} has {} free; free some space, give another --output, export a part with \
         --from-segment and --to-segment, or begin all the same with --force-space",
        gibibytes(*.needed), path.display(), gibibytes(*.available)
    )]
    NoSpace {
        /// Segments that are missing.
        segments: usize,
        /// Bytes that they take.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// The output directory.
        path: PathBuf,
    },
    /// The output directory.
    #[error(transparent)]
    Store(#[from] CacheError),
    /// The KZG parameters cannot be had.
    #[error("{0}")]
    Parameters(String),
    /// A thread died.
    #[error("a part of the program failed: {0}")]
    Thread(String),
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

impl ExportError {
    /// Exit code that stands for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoNode(NodeRpcError::InvalidUrl { .. }) => Exit::Failed,
            Self::NoNode(_) | Self::Unsuitable(_) => Exit::NodeUnsuitable,
            Self::Store(CacheError::Mismatch { what: "chain", .. }) => Exit::NodeUnsuitable,
            Self::NoSpace { .. } | Self::Store(CacheError::NoSpace { .. }) => Exit::NoSpace,
            _ => Exit::Failed,
        }
    }
}

impl From<tokio::task::JoinError> for ExportError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Thread(error.to_string())
    }
}

/// Why one segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The node does not answer any more, or refuses.
    #[error(transparent)]
    Node(#[from] NodeRpcError),
    /// A block is not there.
    #[error(
        "the node does not have block {0}; it must keep all blocks (--sync full --blocks-pruning archive)"
    )]
    NoBlock(BlockNumber),
    /// A block is not what it says it is.
    #[error("block {number} as the node gives it is wrong: {reason}")]
    WrongBlock {
        /// The block.
        number: BlockNumber,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The blocks do not fit together.
    #[error(transparent)]
    Assembler(#[from] AssemblerError),
    /// The blocks end elsewhere than the header says.
    #[error("its blocks make a segment that ends at {found:?}, the chain's header says {expected:?}")]
    WrongEnd {
        /// As the header has it.
        expected: LastArchivedBlock,
        /// As the blocks have it.
        found: LastArchivedBlock,
    },
    /// There are too few bytes.
    #[error("its blocks do not fill it; the node has lost parts of them")]
    NotFull,
    /// The arithmetic failed.
    #[error(transparent)]
    Archiver(#[from] ArchiverError),
    /// The commitment is another one.
    #[error(
        "the blocks of the node make another segment than the chain's header says ({blocks}); the node has lost parts of its blocks, \
         such as justifications, or its headers are wrong: export it from another node"
    )]
    WrongCommitment {
        /// The same blocks came a second time, or others.
        blocks: &'static str,
    },
    /// A piece that was just made does not belong to its segment.
    #[error(
        "piece {position} that was made does not verify; the memory or the processor of this machine may be faulty"
    )]
    WrongPiece {
        /// Position in the segment.
        position: u32,
    },
    /// The output directory: nothing more can be written.
    #[error(transparent)]
    Store(#[from] CacheError),
    /// A thread died.
    #[error("a part of the program failed: {0}")]
    Thread(String),
}

impl SegmentError {
    /// Whether it concerns all segments: a full disk, a node that is gone.
    pub fn ends_the_run(self) -> Result<Self, ExportError> {
        match self {
            Self::Store(error) => Err(error.into()),
            Self::Thread(error) => Err(ExportError::Thread(error)),
            Self::Node(error)
                if error.is_connection_problem() || matches!(error, NodeRpcError::Timeout { .. }) =>
            {
                Err(error.into())
            }
            other => Ok(other),
        }
    }
}

impl From<tokio::task::JoinError> for SegmentError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Thread(error.to_string())
    }
}

/// A segment that could not be made.
#[derive(Debug)]
pub struct FailedSegment {
    /// Which one.
    pub segment_index: SegmentIndex,
    /// Why.
    pub error: SegmentError,
}

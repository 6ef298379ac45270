//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

/// Failure of a store operation.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another process holds the directory.
    #[error("{path} is in use by another process; stop that process or choose another directory", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{operation} {path} failed: {source}", path = path.display())]
    Io {
        /// What was being done, as the start of a sentence.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file system is full.
    #[error("{path} needs {needed} bytes but the file system has {available} free; free some space or give a smaller size", path = path.display())]
    NoSpace {
        /// File or directory.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// The given or available size holds too little.
    #[error("{path}: {size} bytes are too little, at least {minimum} are needed; give a larger size", path = path.display())]
    TooSmall {
        /// The directory.
        path: PathBuf,
        /// Bytes available to the store.
        size: u64,
        /// Bytes that the smallest store takes.
        minimum: u64,
    },
    /// A file with our name that is not ours, or whose header is damaged.
    #[error("{path} is not a readable store file: {reason}; move it away to start with an empty store", path = path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file to import that cannot be one.
    #[error("{path} is no piece cache of the official farmer: {reason}; give the piece_cache.bin of a farm directory", path = path.display())]
    NotAPieceCache {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of another version.
    #[error("{path} has format version {found}, this program knows version {known}; upgrade the program or move the file away", path = path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version of this program.
        known: u32,
    },
    /// A file made for something else.
    #[error("{path} was made with another {what}; use another directory, or move the file away to start empty", path = path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// An item that does not fit a slot.
    #[error("an item of {length} bytes does not fit the slots of {slot_size} bytes")]
    ItemTooLong {
        /// Bytes of the item.
        length: usize,
        /// Bytes of a slot.
        slot_size: usize,
    },
    /// Parameters that no store can have.
    #[error("bad store parameters: {reason}")]
    BadOptions {
        /// What is wrong.
        reason: &'static str,
    },
    /// All slots are being written at this moment.
    #[error("every slot of the store is being written; try again")]
    Busy,
    /// All paths have been set aside after I/O errors.
    #[error("every path of the store has failed; see the log for the disks and their errors")]
    AllPathsFailed,
    /// A segment that breaks the rules of the archive.
    #[error("segment {segment_index} cannot be stored: {reason}")]
    BadSegment {
        /// The segment.
        segment_index: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl CacheError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// An I/O error of a write that would take `needed` bytes: a full disk is told as such.
    pub(crate) fn write(operation: &'static str, path: &Path, needed: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                let available = crate::capacity::free_bytes(path).unwrap_or(0);
                Self::NoSpace {
                    path: path.to_owned(),
                    needed,
                    available,
                }
            }
            _ => Self::io(operation, path, source),
        }
    }
}

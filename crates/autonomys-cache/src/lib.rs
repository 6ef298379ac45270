//! Piece stores and placement arithmetic of the caches.
//!
//! * [`SlabStore`]: fixed-size slots in preallocated files, one per path; holds the items that placement gives this instance and
//!   evicts by S3-FIFO when they outgrow it.
//! * [`ArchiveStore`]: the whole history or parts of it, one file per segment.
//! * [`OfficialPieceCache`]: pieces that the official farmer has cached, for import.
//! * [`coding`]: a piece as one item, k data shards, or k+m Reed-Solomon shards, and back.
//! * [`placement`]: which member owns which item.
//!
//! Everything here is synchronous and knows neither NATS nor sockets; callers put it on blocking threads. Both stores check a
//! BLAKE3 hash on every read and say [`Lookup::Corrupt`] instead of giving out a wrong byte. File formats: `docs/caches.md`.

mod archive;
mod capacity;
pub mod coding;
mod error;
#[cfg(test)]
mod fake_disk;
mod item;
mod lock;
mod official;
pub mod placement;
mod slab;
mod storage;

pub use archive::{ArchiveOptions, ArchiveRange, ArchiveStore, MAX_SEGMENT_HEADER_LEN};
pub use capacity::{RESERVE_BYTES, RESERVE_DIVISOR, reserve};
pub use error::CacheError;
pub use item::{CacheKey, ItemKind, Lookup, StoredItem};
pub use lock::DirectoryLock;
pub use official::{ImportedSlot, OfficialPieceCache};
pub use slab::{
    MAX_SLOT_SIZE, MIN_SLOTS, PathStats, PutOutcome, SlabOptions, SlabPath, SlabRange, SlabStats, SlabStore,
};
pub use storage::{OsStorage, Storage};

//! The slab store: items in equal slots of preallocated files, several disks under one index.
//!
//! Every slot has a 128-byte record (key, length, epoch, sequence, BLAKE3 of the item) in a table; 1024 records and their slots
//! make an extent, so that a start reads 128 KiB per gigabyte of pieces. A replacement is written to another slot and made
//! durable before the record of the old one is erased: at any moment of death one of the two is whole.

mod contents;
mod eviction;
mod file;
mod format;
mod index;
mod range;
mod stats;
mod store;
#[cfg(test)]
mod tests;

pub use format::MAX_SLOT_SIZE;
pub use range::SlabRange;
pub use stats::{PathStats, SlabStats};
pub use store::{MIN_SLOTS, PutOutcome, SlabOptions, SlabPath, SlabStore};

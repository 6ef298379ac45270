//! The archive store: the whole history or any part of it, one immutable file per segment.
//!
//! A segment file is its 256 pieces back to back and a footer with their BLAKE3 hashes; it appears under its name only whole
//! (written beside, synced, renamed). Segment headers stand in a table of their own, because they are known before and apart
//! from the pieces.

mod format;
mod headers;
mod store;
#[cfg(test)]
mod tests;

pub use headers::MAX_SEGMENT_HEADER_LEN;
pub use store::{ArchiveOptions, ArchiveStore};

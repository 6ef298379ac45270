//! The archive store: the whole history or any part of it, one file per segment.
//!
//! A segment file is the places of its 256 pieces back to back and a footer with one record for each, which holds the piece's
//! BLAKE3 hash or nothing. A whole segment appears under its name only whole (written beside, synced, renamed); single pieces are
//! stored in place, bytes before record, so that at any moment of death a piece is whole or counts as missing or damaged. Segment
//! headers stand in a table of their own, because they are known before and apart from the pieces.

mod contents;
mod file;
mod format;
mod headers;
mod range;
mod store;
#[cfg(test)]
mod tests;

pub use headers::MAX_SEGMENT_HEADER_LEN;
pub use range::ArchiveRange;
pub use store::{ArchiveOptions, ArchiveStore};

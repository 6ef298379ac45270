//! Archiving: segments on disk, their cache, and who must acknowledge them.

pub mod acknowledgements;
pub mod archiver;
pub mod cache;
pub mod segment_file;
pub mod segment_store;

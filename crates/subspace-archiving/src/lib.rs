//! Archiving: blocks to segments and pieces, and back.
//!
//! * [`encoding`]: the bytes of a block as they enter the archive.
//! * [`segment`]: codec of a recorded history segment.
//! * [`assembler`]: the state machine that fills segments with blocks; no cryptography.
//! * [`archiver`]: a raw segment to its header and 256 pieces; [`Archiver`] does both.
//! * [`reconstruction`]: a segment from any half of its pieces, missing pieces, blocks from segments.
//! * [`validation`]: whether pieces belong to a segment.
//!
//! The rules are described in `docs/protocol/archiving.md`. Everything is synchronous; work that can use several cores
//! takes the thread pool to use.

mod objects;
mod segment_polynomial;

pub mod archiver;
pub mod assembler;
pub mod encoding;
pub mod reconstruction;
pub mod segment;
pub mod validation;

pub use archiver::{Archiver, ArchiverError, BlockOutcome, NewArchivedSegment, archive_segment};
pub use assembler::{AssemblerError, RawSegment, SegmentAssembler};
pub use reconstruction::{BlockReconstructor, PiecesReconstructor, reconstruct_segment};
pub use segment::{Segment, SegmentItem};
pub use validation::{is_piece_valid, is_record_commitment_hash_valid};

//! Where an object of a block lies in the global history.
//!
//! Rules: `docs/protocol/archiving.md`, section "Objects".

use subspace_core_primitives::objects::{BlockObject, GlobalObject};
use subspace_core_primitives::pieces::{PieceIndex, RAW_RECORD_SIZE};
use subspace_core_primitives::segments::SegmentIndex;

/// Turns an offset in a part of a block into a piece index and an offset in the raw record of this piece.
///
/// `start` is the offset in the encoded segment of the first byte of that part (behind its length prefix).
pub(crate) fn global_object(segment_index: SegmentIndex, start: usize, object: &BlockObject) -> GlobalObject {
    let offset = start + object.offset as usize;
    let source_position = (offset / RAW_RECORD_SIZE) as u64;
    // Source pieces have the even positions. Nothing overflows below 2^56 segments.
    let piece_index = segment_index
        .first_piece_index()
        .get()
        .saturating_add(2 * source_position);
    GlobalObject {
        hash: object.hash,
        piece_index: PieceIndex::new(piece_index),
        offset: (offset % RAW_RECORD_SIZE) as u32,
    }
}

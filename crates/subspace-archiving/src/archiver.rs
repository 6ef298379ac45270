//! The archiver: blocks in, archived segments out.

mod commit;
#[cfg(test)]
mod tests;

pub use commit::{NewArchivedSegment, archive_segment};

use crate::assembler::{AssemblerError, RawSegment, SegmentAssembler};
use bytes::Bytes;
use rayon::ThreadPool;
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::objects::{BlockObjectMapping, GlobalObject};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Kzg, KzgError};
use thiserror::Error;

/// Why archiving failed.
#[derive(Debug, Error)]
pub enum ArchiverError {
    /// The blocks do not continue the archive.
    #[error(transparent)]
    Assembler(#[from] AssemblerError),
    /// The raw segment does not have the size of one.
    #[error("a raw segment has exactly {expected} bytes, got {given}")]
    SegmentSize {
        /// Size of any raw segment.
        expected: usize,
        /// Size of the one given.
        given: usize,
    },
    /// The commitments could not be computed.
    #[error("cannot commit to the segment: {0}")]
    Kzg(#[from] KzgError),
    /// The records could not be extended.
    #[error("cannot extend the segment: {0}")]
    ErasureCoding(#[from] ErasureCodingError),
}

/// What adding a block gave.
#[derive(Debug, Clone, Default)]
pub struct BlockOutcome {
    /// Segments that are full now: none mostly, several for a huge block.
    pub archived_segments: Vec<NewArchivedSegment>,
    /// Places of the objects of this block (and, once after resuming, of the block that was archived in part).
    pub global_objects: Vec<GlobalObject>,
}

/// Archives a chain: blocks strictly in order, each once, never reverted.
///
/// Memory: at most one segment of blocks (130 MB); 130 MB more and the pieces (268 MB) while a segment is archived.
#[derive(Debug)]
pub struct Archiver {
    kzg: Kzg,
    erasure_coding: ErasureCoding,
    assembler: SegmentAssembler,
}

impl Archiver {
    /// Starts a new history; the first block is genesis (see [`crate::encoding::encode_genesis_block`]).
    pub fn new(kzg: Kzg, erasure_coding: ErasureCoding) -> Self {
        Self {
            kzg,
            erasure_coding,
            assembler: SegmentAssembler::new(),
        }
    }

    /// Continues behind the segment of `header`. When it ends within a block, `encoded_block` is the whole encoding of that
    /// block and `objects` are its objects; otherwise both are ignored.
    pub fn with_initial_state(
        kzg: Kzg,
        erasure_coding: ErasureCoding,
        header: SegmentHeader,
        encoded_block: &[u8],
        objects: BlockObjectMapping,
    ) -> Result<Self, AssemblerError> {
        let assembler = SegmentAssembler::resume(header, encoded_block, objects)?;
        Ok(Self {
            kzg,
            erasure_coding,
            assembler,
        })
    }

    /// Index of the segment that is being filled.
    pub fn segment_index(&self) -> SegmentIndex {
        self.assembler.segment_index()
    }

    /// Number of the block to add next; `None` when numbers are used up.
    pub fn next_block_number(&self) -> Option<BlockNumber> {
        self.assembler.next_block_number()
    }

    /// Adds the next block in its archived encoding. Blocking; a full segment takes tens of core-seconds on `pool`.
    ///
    /// After an error other than a refused block the archiver is of no use any more; resume from the last header.
    pub fn add_block(
        &mut self,
        bytes: impl Into<Bytes>,
        objects: BlockObjectMapping,
        pool: &ThreadPool,
    ) -> Result<BlockOutcome, ArchiverError> {
        self.assembler.push_block(bytes, objects)?;
        let mut outcome = BlockOutcome::default();
        while let Some(raw_segment) = self.assembler.next_segment() {
            let RawSegment {
                segment_index,
                prev_segment_header_hash,
                last_archived_block,
                bytes,
                objects,
            } = raw_segment;
            let archived_segment = archive_segment(
                &bytes,
                segment_index,
                prev_segment_header_hash,
                last_archived_block,
                &self.kzg,
                &self.erasure_coding,
                pool,
            )?;
            self.assembler.accept_header(archived_segment.segment_header)?;
            outcome.global_objects.extend(objects);
            outcome.archived_segments.push(archived_segment);
        }
        outcome
            .global_objects
            .extend(self.assembler.take_object_mappings());
        Ok(outcome)
    }
}

//! Archives blocks of the chain in order and stores the segments that become full.

use super::cache::SegmentCache;
use super::segment_store::SegmentStore;
use crate::error::DevNodeError;
use rayon::ThreadPool;
use std::sync::Arc;
use std::time::Instant;
use subspace_archiving::{RawSegment, SegmentAssembler, archive_segment};
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::objects::BlockObjectMapping;
use subspace_core_primitives::segments::SegmentHeader;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Kzg;

/// What turns raw segments into pieces.
#[derive(Clone)]
pub struct ArchivingTools {
    /// KZG with the chain's parameters.
    pub kzg: Kzg,
    /// Erasure coding.
    pub erasure_coding: ErasureCoding,
    /// Threads that compute.
    pub pool: Arc<ThreadPool>,
    /// Cache for the segments that the chain begins with.
    pub cache: Option<SegmentCache>,
    /// How many those are.
    pub history_segments: u16,
}

/// The archiver of the chain. Blocking throughout.
pub struct ChainArchiver {
    tools: ArchivingTools,
    segments: Arc<SegmentStore>,
    assembler: SegmentAssembler,
}

impl ChainArchiver {
    /// Continues behind the last stored segment. `encoded_block` gives the archived bytes of a block (for block 0, stretched).
    ///
    /// # Errors
    /// When the block at which the last segment ends cannot be read or does not fit.
    pub fn open(
        tools: ArchivingTools,
        segments: Arc<SegmentStore>,
        encoded_block: impl FnOnce(BlockNumber) -> Result<Vec<u8>, DevNodeError>,
    ) -> Result<Self, DevNodeError> {
        let assembler = match segments.last_header() {
            None => SegmentAssembler::new(),
            Some(header) => {
                let last = header.last_archived_block();
                let encoded = match last.partial_archived() {
                    Some(_) => encoded_block(last.number)?,
                    None => Vec::new(),
                };
                SegmentAssembler::resume(header, &encoded, BlockObjectMapping::default())
                    .map_err(|error| DevNodeError::Archiving(error.to_string()))?
            }
        };
        Ok(Self {
            tools,
            segments,
            assembler,
        })
    }

    /// Number of the block to add next.
    ///
    /// # Errors
    /// When block numbers are used up.
    pub fn next_block(&self) -> Result<BlockNumber, DevNodeError> {
        self.assembler
            .next_block_number()
            .ok_or_else(|| DevNodeError::Archiving("block numbers are used up".to_string()))
    }

    /// Adds the next block and stores the segments that it completes; returns their headers.
    ///
    /// # Errors
    /// When archiving or storing fails.
    pub fn add_block(&mut self, encoded: Vec<u8>) -> Result<Vec<SegmentHeader>, DevNodeError> {
        let archiving = |error: &dyn std::fmt::Display| DevNodeError::Archiving(error.to_string());
        self.assembler
            .push_block(encoded, BlockObjectMapping::default())
            .map_err(|error| archiving(&error))?;
        let mut headers = Vec::new();
        while let Some(raw) = self.assembler.next_segment() {
            let header = self.archive(raw)?;
            self.assembler
                .accept_header(header)
                .map_err(|error| archiving(&error))?;
            headers.push(header);
        }
        Ok(headers)
    }

    fn archive(&self, raw: RawSegment) -> Result<SegmentHeader, DevNodeError> {
        let ArchivingTools {
            kzg,
            erasure_coding,
            pool,
            cache,
            history_segments,
        } = &self.tools;
        let started = Instant::now();
        // Only what the node made itself is ever met again: later segments contain signatures, which are random.
        let cache = cache
            .as_ref()
            .filter(|_| raw.segment_index.get() < u64::from(*history_segments));
        if let Some((segment, path)) = cache.and_then(|cache| cache.find(&raw, kzg, pool)) {
            self.segments.push_file(&segment, &path)?;
            tracing::info!(segment_index = %raw.segment_index, took = ?started.elapsed(), "took a segment from the cache");
            return Ok(segment.header());
        }
        tracing::info!(segment_index = %raw.segment_index, "archiving a segment");
        // Without tables each of the 128 commitments takes five times as long as with them.
        match &self.tools.cache {
            Some(cache) => cache.load_tables(kzg, pool),
            None => kzg.precompute(pool),
        }
        let segment = archive_segment(
            &raw.bytes,
            raw.segment_index,
            raw.prev_segment_header_hash,
            raw.last_archived_block,
            kzg,
            erasure_coding,
            pool,
        )
        .map_err(|error| DevNodeError::Archiving(error.to_string()))?;
        self.segments.push(&segment, pool)?;
        if let Some(cache) = cache {
            cache.add(&raw, &segment, kzg, pool);
        }
        tracing::info!(segment_index = %raw.segment_index, took = ?started.elapsed(), "archived a segment");
        Ok(segment.segment_header)
    }
}

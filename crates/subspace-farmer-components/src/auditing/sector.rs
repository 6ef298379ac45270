//! The audit of one sector.

use super::keyed_hash::for_each_audit_word;
use crate::read_at::ReadAt;
use crate::sector::{CHUNK_SIZE, LoadedSector};
use std::io;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::SBucket;
use subspace_core_primitives::sectors::{SectorId, SectorIndex, SectorSlotChallenge};
use subspace_core_primitives::solutions::{SolutionRange, bidirectional_distance, is_within_solution_range};

/// The challenge of a slot and how close to it a chunk must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditChallenge {
    /// Challenge of the slot.
    pub global_challenge: Blake3Hash,
    /// A chunk wins when its distance is at most half of this (rounded down). Farmers use the voting solution range.
    pub solution_range: SolutionRange,
}

/// What to read of one sector in one slot, and how to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorAudit {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Identity of the sector.
    pub sector_id: SectorId,
    /// Challenge of the sector in the slot.
    pub sector_slot_challenge: SectorSlotChallenge,
    /// The s-bucket that is audited.
    pub s_bucket: SBucket,
    /// First byte of the s-bucket in the sector.
    pub offset: u64,
    /// Bytes of the s-bucket, a multiple of 32, never zero.
    pub size: usize,
}

/// A chunk that wins, unless it turns out to be an unencoded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCandidate {
    /// Number of the chunk in its s-bucket.
    pub chunk_offset: u16,
    /// Distance from the challenge.
    pub solution_distance: SolutionRange,
}

/// A sector with at least one winning chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditResult {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Identity of the sector that was audited; when the sector has another one by now, it was plotted again meanwhile.
    pub sector_id: SectorId,
    /// The s-bucket that was audited.
    pub s_bucket: SBucket,
    /// Winning chunks, the nearest first (equally near ones in their order in the s-bucket); never empty.
    pub candidates: Vec<ChunkCandidate>,
}

impl SectorAudit {
    /// The audit of this sector; `None` when the audited s-bucket is empty.
    pub fn new(sector: &LoadedSector, global_challenge: &Blake3Hash) -> Option<Self> {
        let sector_slot_challenge = sector.sector_id.derive_sector_slot_challenge(global_challenge);
        let s_bucket = sector_slot_challenge.s_bucket_audit_index();
        let size = usize::from(sector.s_bucket_sizes.size(s_bucket)) * CHUNK_SIZE;
        (size > 0).then(|| Self {
            sector_index: sector.sector_index,
            sector_id: sector.sector_id,
            sector_slot_challenge,
            s_bucket,
            offset: sector.s_bucket_byte_offset(s_bucket),
            size,
        })
    }

    /// Judges the bytes of the s-bucket; `None` when no chunk wins. Allocates only when one does. Bytes after the last whole
    /// chunk are ignored.
    pub fn judge(&self, s_bucket_bytes: &[u8], challenge: &AuditChallenge) -> Option<AuditResult> {
        let global_word = u64::from_le_bytes(challenge.global_challenge.as_chunks().0[0]);
        let mut candidates = Vec::new();
        for_each_audit_word(
            &self.sector_slot_challenge,
            s_bucket_bytes.as_chunks().0,
            |chunk, word| {
                let solution_distance = bidirectional_distance(global_word, word);
                if is_within_solution_range(solution_distance, challenge.solution_range) {
                    // An s-bucket has at most one chunk of each of at most 65 535 records.
                    let chunk_offset = chunk as u16;
                    candidates.push(ChunkCandidate {
                        chunk_offset,
                        solution_distance,
                    });
                }
            },
        );
        if candidates.is_empty() {
            return None;
        }
        candidates.sort_by_key(|candidate| candidate.solution_distance);
        Some(AuditResult {
            sector_index: self.sector_index,
            sector_id: self.sector_id,
            s_bucket: self.s_bucket,
            candidates,
        })
    }
}

/// Audits one sector. `buffer` is scratch space to be reused from call to call: it grows to the largest s-bucket (2 MiB at
/// most), after which nothing is allocated unless a chunk wins.
///
/// # Errors
/// When the sector cannot be read.
pub fn audit_sector<S: ReadAt + ?Sized>(
    sector: &LoadedSector,
    contents: &S,
    challenge: &AuditChallenge,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<AuditResult>> {
    let Some(audit) = SectorAudit::new(sector, &challenge.global_challenge) else {
        return Ok(None);
    };
    if buffer.len() < audit.size {
        buffer.resize(audit.size, 0);
    }
    let s_bucket_bytes = &mut buffer[..audit.size];
    contents.read_into(audit.offset, s_bucket_bytes)?;
    Ok(audit.judge(s_bucket_bytes, challenge))
}

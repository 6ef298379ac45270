//! When a sector expires, and when it should be plotted again.

use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::segments::{HistorySize, SegmentCommitment, SegmentIndex};

/// The lifetime does not fit 64 bits: the history size of the sector, or the lifetime that the node announces, is nonsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the expiration of a sector with history size {history_size} and a minimum lifetime of {min_sector_lifetime} \
     segments does not fit 64 bits; check the sector metadata and the node"
)]
pub struct ExpirationOverflowError {
    /// History size of the sector.
    pub history_size: HistorySize,
    /// Minimum lifetime in segments.
    pub min_sector_lifetime: HistorySize,
}

/// The segment whose commitment decides when a sector expires. Until it exists the sector cannot be expired.
///
/// # Errors
/// When the arithmetic overflows.
pub fn expiration_check_segment(
    history_size: HistorySize,
    min_sector_lifetime: HistorySize,
) -> Result<SegmentIndex, ExpirationOverflowError> {
    history_size
        .sector_expiration_check(min_sector_lifetime)
        .map(HistorySize::segment_index)
        .ok_or(ExpirationOverflowError {
            history_size,
            min_sector_lifetime,
        })
}

/// When a sector expires; see [`SectorExpiration::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SectorExpiration {
    /// The segment that expires the sector when it is archived.
    pub expires_at: SegmentIndex,
}

impl SectorExpiration {
    /// From the commitment of the segment [`expiration_check_segment`].
    ///
    /// # Errors
    /// When the arithmetic overflows.
    pub fn new(
        sector_id: &SectorId,
        history_size: HistorySize,
        check_segment_commitment: &SegmentCommitment,
        min_sector_lifetime: HistorySize,
    ) -> Result<Self, ExpirationOverflowError> {
        sector_id
            .derive_expiration_history_size(history_size, check_segment_commitment, min_sector_lifetime)
            .map(|expiration| Self {
                expires_at: expiration.segment_index(),
            })
            .ok_or(ExpirationOverflowError {
                history_size,
                min_sector_lifetime,
            })
    }

    /// Whether the network refuses solutions from the sector when `last_archived` is the last archived segment.
    pub fn is_expired(self, last_archived: SegmentIndex) -> bool {
        self.expires_at <= last_archived
    }

    /// Whether to plot the sector again already: it is expired or expires with the next segment.
    pub fn is_replotting_due(self, last_archived: SegmentIndex) -> bool {
        self.expires_at <= last_archived.saturating_add(SegmentIndex::ONE)
    }
}

/// Whether plotting again gives a different sector: only when history has grown since.
pub fn is_replotting_useful(plotted: HistorySize, current: HistorySize) -> bool {
    plotted < current
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::hashes::blake3_hash;

    fn size(segments: u64) -> HistorySize {
        HistorySize::from_segments(segments).unwrap()
    }

    #[test]
    fn expiration_lies_within_the_lifetime() {
        let lifetime = size(4);
        let public_key_hash = blake3_hash(&[7]);
        for segments in [1, 2, 100, 5_000_000] {
            let history_size = size(segments);
            assert_eq!(
                expiration_check_segment(history_size, lifetime),
                Ok(SegmentIndex::new(segments + 3))
            );
            for byte in 0..20 {
                let id = SectorId::new(&public_key_hash, byte.into(), history_size);
                let commitment = SegmentCommitment::from([byte; 48]);
                let expires_at = SectorExpiration::new(&id, history_size, &commitment, lifetime)
                    .unwrap()
                    .expires_at
                    .get();
                assert!(
                    (segments + 3..4 * segments + 3).contains(&expires_at),
                    "{expires_at}"
                );
            }
        }
    }

    #[test]
    fn replotting_starts_one_segment_early() {
        let expiration = SectorExpiration {
            expires_at: SegmentIndex::new(10),
        };
        let states: Vec<_> = (8..=11)
            .map(SegmentIndex::new)
            .map(|last| (expiration.is_replotting_due(last), expiration.is_expired(last)))
            .collect();
        assert_eq!(
            states,
            [(false, false), (true, false), (true, true), (true, true)]
        );
        assert!(expiration.is_replotting_due(SegmentIndex::new(u64::MAX)));
        assert!(is_replotting_useful(size(3), size(4)));
        assert!(!is_replotting_useful(size(3), size(3)));
        assert!(!is_replotting_useful(size(3), size(2)));
    }

    #[test]
    fn nonsense_is_an_error() {
        let huge = size(u64::MAX - 1);
        assert!(expiration_check_segment(huge, size(4)).is_err());
        let id = SectorId::new(&blake3_hash(&[]), 0, huge);
        let error = SectorExpiration::new(&id, huge, &SegmentCommitment::from([0; 48]), size(1)).unwrap_err();
        assert!(error.to_string().contains("does not fit 64 bits"));
    }
}

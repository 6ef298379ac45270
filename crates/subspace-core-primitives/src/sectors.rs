//! Identity of a sector and everything derived from it.

mod layout;

pub use layout::{
    PlottedSector, RECORD_METADATA_SIZE, S_BUCKETS_BITFIELD_SIZE, SectorMetadata, SectorMetadataChecksummed,
    sector_contents_map_size, sector_record_chunks_size, sector_record_metadata_size, sector_size,
};

use crate::hashes::{Blake3Hash, blake3_hash_list, blake3_hash_list_with_key, blake3_hash_with_key};
use crate::pieces::{PieceIndex, PieceOffset, SBucket};
use crate::pos::PosSeed;
use crate::segments::{HistorySize, SegmentCommitment};
use crate::u256::U256;
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// Index of a sector in a farm.
pub type SectorIndex = u16;

/// Identity of a sector: keyed hash of sector index and history size under the hash of the farmer's public key.
#[derive(
    Debug, Default, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SectorId(Blake3Hash);

impl SectorId {
    /// Size in bytes, in memory and in SCALE.
    pub const SIZE: usize = Blake3Hash::SIZE;

    /// Identity of sector `sector_index`, made when the history had `history_size` segments, of the farmer whose public key
    /// has the BLAKE3 hash `public_key_hash`.
    pub fn new(public_key_hash: &Blake3Hash, sector_index: SectorIndex, history_size: HistorySize) -> Self {
        let parts: [&[u8]; 2] = [&sector_index.to_le_bytes(), &history_size.get().to_le_bytes()];
        Self(blake3_hash_list_with_key(public_key_hash, &parts))
    }

    /// Piece that belongs at `piece_offset`.
    ///
    /// `history_size` is the one of the sector (and of its identity), `max_pieces_in_sector` the limit of the protocol, not the
    /// size of a smaller sector. Once the history is long enough, odd offsets below twice the recent fraction of the limit
    /// take pieces of the last `recent_segments` segments only.
    pub fn derive_piece_index(
        &self,
        piece_offset: PieceOffset,
        history_size: HistorySize,
        max_pieces_in_sector: u16,
        recent_segments: HistorySize,
        recent_history_fraction: (HistorySize, HistorySize),
    ) -> PieceIndex {
        let mut key = [0; 32];
        key[..PieceOffset::SIZE].copy_from_slice(&piece_offset.to_bytes());
        let number = U256::from_le_bytes(&blake3_hash_with_key(&key, &*self.0));

        let recent = recent_segments.in_pieces();
        let history = history_size.in_pieces();
        let numerator = u128::from(recent_history_fraction.0.in_pieces().get());
        let denominator = u128::from(recent_history_fraction.1.in_pieces().get());
        let min_history = u128::from(recent.get()) * denominator / numerator;
        // The division comes before the doubling.
        let interleaved = (u128::from(max_pieces_in_sector) * numerator / denominator * 2).max(1);

        let offset = u128::from(piece_offset.get());
        if u128::from(history.get()) > min_history && offset < interleaved && offset % 2 == 1 {
            let start = history.get().saturating_sub(recent.get());
            PieceIndex::new(number.rem_u64(recent).saturating_add(start))
        } else {
            PieceIndex::new(number.rem_u64(history))
        }
    }

    /// Seed of the proof-of-space table that encodes the record at `piece_offset`.
    pub fn derive_evaluation_seed(&self, piece_offset: PieceOffset) -> PosSeed {
        PosSeed(blake3_hash_list(&[&*self.0, &piece_offset.to_bytes()]).0)
    }

    /// Challenge of this sector in a slot: the global challenge XOR the identity.
    pub fn derive_sector_slot_challenge(&self, global_challenge: &Blake3Hash) -> SectorSlotChallenge {
        let mut challenge = *global_challenge;
        for (byte, id_byte) in challenge.iter_mut().zip(*self.0) {
            *byte ^= id_byte;
        }
        SectorSlotChallenge(challenge)
    }

    /// History size at which the sector expires. `segment_commitment` is that of the last segment of the history of size
    /// [`HistorySize::sector_expiration_check`]; before it exists the sector cannot be expired. The sector is expired once the
    /// current history size is at least the result. `None` when a step does not fit 64 bits.
    pub fn derive_expiration_history_size(
        &self,
        history_size: HistorySize,
        segment_commitment: &SegmentCommitment,
        min_sector_lifetime: HistorySize,
    ) -> Option<HistorySize> {
        let check = history_size.sector_expiration_check(min_sector_lifetime)?;
        let last = history_size
            .get()
            .checked_mul(4)?
            .checked_add(min_sector_lifetime.get())?;
        let span = NonZeroU64::new(last.checked_sub(check.get())?)?;
        let number = U256::from_le_bytes(&blake3_hash_list(&[&*self.0, &segment_commitment.0]));
        HistorySize::from_segments(check.get().checked_add(number.rem_u64(span))?)
    }
}

impl std::ops::Deref for SectorId {
    type Target = [u8; Self::SIZE];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl AsRef<[u8]> for SectorId {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}

impl From<Blake3Hash> for SectorId {
    fn from(hash: Blake3Hash) -> Self {
        Self(hash)
    }
}

impl From<[u8; Self::SIZE]> for SectorId {
    fn from(bytes: [u8; Self::SIZE]) -> Self {
        Self(Blake3Hash(bytes))
    }
}

impl fmt::Display for SectorId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Challenge of one sector in one slot.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Hash)]
pub struct SectorSlotChallenge(pub Blake3Hash);

impl SectorSlotChallenge {
    /// S-bucket that is audited: the first two bytes, little-endian.
    pub fn s_bucket_audit_index(&self) -> SBucket {
        SBucket::from_bytes(self.0.as_chunks().0[0])
    }
}

impl std::ops::Deref for SectorSlotChallenge {
    type Target = [u8; Blake3Hash::SIZE];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

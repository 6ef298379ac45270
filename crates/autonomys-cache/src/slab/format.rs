//! Bytes of a slab file: header, slot records, and where everything lies.

use crate::item::{CacheKey, ItemKind};
use subspace_core_primitives::pieces::PieceIndex;

/// First bytes of a slab file.
pub(super) const MAGIC: [u8; 8] = *b"AFSLAB\r\n";

/// Version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes before the first extent; a page, so that slots are page-aligned.
pub(super) const HEADER_SIZE: u64 = 4096;

/// Bytes of the header that mean something.
const HEADER_FIELDS: usize = 8 + 4 + 4 + 4 + 4 + 32 + 32;

/// Bytes of a slot record. Divides 512, so a record never crosses a disk sector.
pub(super) const RECORD_SIZE: usize = 128;

/// Slots behind one table of records.
pub(super) const EXTENT_SLOTS: u64 = 1024;

/// Bytes of one table.
pub(super) const TABLE_SIZE: u64 = EXTENT_SLOTS * RECORD_SIZE as u64;

/// Slots start at multiples of this, which direct I/O needs.
const SLOT_ALIGNMENT: u64 = 4096;

/// Largest slot: items are pieces or parts of pieces.
pub const MAX_SLOT_SIZE: u32 = 16 * 1024 * 1024;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) slot_size: u32,
    pub(super) identity: [u8; 32],
}

impl Header {
    pub(super) fn new(slot_size: u32, identity: [u8; 32]) -> Self {
        Self {
            version: VERSION,
            slot_size,
            identity,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_SIZE as usize] {
        let mut bytes = [0; HEADER_SIZE as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.slot_size.to_le_bytes());
        bytes[16..20].copy_from_slice(&(EXTENT_SLOTS as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&(RECORD_SIZE as u32).to_le_bytes());
        bytes[24..56].copy_from_slice(&self.identity);
        let hash = blake3::hash(&bytes[..56]);
        bytes[56..HEADER_FIELDS].copy_from_slice(hash.as_bytes());
        bytes
    }

    /// The header, or what is wrong with the bytes. Another version is returned as it is, for the caller to refuse by name.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_SIZE as usize]) -> Result<Self, &'static str> {
        if bytes[..8] != MAGIC {
            return Err("it does not start like a slab file");
        }
        let header = Self {
            version: u32_at(bytes, 8),
            slot_size: u32_at(bytes, 12),
            identity: bytes[24..56].try_into().expect("the range has 32 bytes"),
        };
        if header.version != VERSION {
            return Ok(header);
        }
        if *blake3::hash(&bytes[..56]).as_bytes() != bytes[56..HEADER_FIELDS] {
            return Err("its header fails the checksum");
        }
        if u64::from(u32_at(bytes, 16)) != EXTENT_SLOTS || u32_at(bytes, 20) as usize != RECORD_SIZE {
            return Err("its extents have another shape");
        }
        Ok(header)
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(
        bytes[offset..offset + 4]
            .try_into()
            .expect("the range has 4 bytes"),
    )
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(
        bytes[offset..offset + 8]
            .try_into()
            .expect("the range has 8 bytes"),
    )
}

/// What is known about the item in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: CacheKey,
    pub(super) length: u32,
    pub(super) epoch: u64,
    /// Grows with every write of the store: of two records with one key the higher is the newer.
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    /// CRC32C of the item; 0 when it is not known.
    pub(super) crc: u32,
}

impl Record {
    /// The record as it stands in the table; the checksum binds it to its store and its slot.
    pub(super) fn to_bytes(self, identity: &[u8; 32], slot: u64) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        bytes[0] = 1;
        bytes[1] = self.key.kind as u8;
        bytes[2..4].copy_from_slice(&self.key.shard.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.key.piece_index.get().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.hash);
        bytes[64..68].copy_from_slice(&self.crc.to_le_bytes());
        let checksum = record_checksum(&bytes, identity, slot);
        bytes[112..].copy_from_slice(&checksum);
        bytes
    }

    /// The record in these bytes: `Ok(None)` for an empty slot, an error for damage.
    pub(super) fn from_bytes(
        bytes: &[u8; RECORD_SIZE],
        identity: &[u8; 32],
        slot: u64,
    ) -> Result<Option<Self>, &'static str> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if bytes[112..] != record_checksum(bytes, identity, slot) {
            return Err("the record fails its checksum");
        }
        let kind = ItemKind::from_number(bytes[1]).ok_or("the record has an unknown item kind")?;
        Ok(Some(Self {
            key: CacheKey {
                kind,
                piece_index: PieceIndex::new(u64_at(bytes, 8)),
                shard: u16::from_le_bytes([bytes[2], bytes[3]]),
            },
            length: u32_at(bytes, 4),
            epoch: u64_at(bytes, 16),
            sequence: u64_at(bytes, 24),
            hash: bytes[32..64].try_into().expect("the range has 32 bytes"),
            crc: u32_at(bytes, 64),
        }))
    }
}

fn record_checksum(bytes: &[u8; RECORD_SIZE], identity: &[u8; 32], slot: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(identity)
        .update(&slot.to_le_bytes())
        .update(&bytes[..112]);
    hasher.finalize().as_bytes()[..16]
        .try_into()
        .expect("a hash has 32 bytes")
}

/// Where records and slots lie, from the slot size alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    stride: u64,
}

impl Geometry {
    pub(super) fn new(slot_size: u32) -> Self {
        Self {
            stride: u64::from(slot_size).next_multiple_of(SLOT_ALIGNMENT),
        }
    }

    fn extent(self, slot: u64) -> u64 {
        HEADER_SIZE + slot / EXTENT_SLOTS * (TABLE_SIZE + EXTENT_SLOTS * self.stride)
    }

    /// Offset of the table that holds the record of `slot`.
    pub(super) fn table(self, slot: u64) -> u64 {
        self.extent(slot)
    }

    /// Offset of the record of `slot`.
    pub(super) fn record(self, slot: u64) -> u64 {
        self.extent(slot) + slot % EXTENT_SLOTS * RECORD_SIZE as u64
    }

    /// Offset of the bytes of `slot`.
    pub(super) fn payload(self, slot: u64) -> u64 {
        self.extent(slot) + TABLE_SIZE + slot % EXTENT_SLOTS * self.stride
    }

    /// Bytes of a file with this many slots.
    pub(super) fn file_length(self, slots: u64) -> u64 {
        let rest = slots % EXTENT_SLOTS;
        self.extent(slots)
            + if rest == 0 {
                0
            } else {
                TABLE_SIZE + rest * self.stride
            }
    }

    /// Slots of a file with this many bytes, at most what 32 bits can number.
    pub(super) fn slots(self, length: u64) -> u64 {
        let usable = length.saturating_sub(HEADER_SIZE);
        let extent = TABLE_SIZE + EXTENT_SLOTS * self.stride;
        let rest = (usable % extent).saturating_sub(TABLE_SIZE) / self.stride;
        (usable / extent * EXTENT_SLOTS + rest).min(u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_survive_and_notice_any_change(
            index: u64, shard: u16, length: u32, epoch: u64, sequence: u64, hash: [u8; 32], crc: u32, slot: u64, byte in 0..RECORD_SIZE, flip in 1..=255u8,
        ) {
            let key = CacheKey { kind: ItemKind::SplitPiece, piece_index: PieceIndex::new(index), shard };
            let record = Record { key, length, epoch, sequence, hash, crc };
            let mut bytes = record.to_bytes(&[7; 32], slot);
            prop_assert_eq!(Record::from_bytes(&bytes, &[7; 32], slot), Ok(Some(record)));
            prop_assert!(Record::from_bytes(&bytes, &[7; 32], slot ^ 1).is_err());
            prop_assert!(Record::from_bytes(&bytes, &[8; 32], slot).is_err());
            bytes[byte] ^= flip;
            prop_assert!(Record::from_bytes(&bytes, &[7; 32], slot).is_err());
        }

        #[test]
        fn slots_fill_the_file_without_overlap(slot_size in 1..=MAX_SLOT_SIZE, slots in 1..100_000u64) {
            let geometry = Geometry::new(slot_size);
            let length = geometry.file_length(slots);
            prop_assert_eq!(geometry.slots(length), slots);
            prop_assert_eq!(geometry.slots(length - 1), slots - 1);
            prop_assert_eq!(geometry.payload(slots - 1) + geometry.stride, length);
            prop_assert!(geometry.record(slots - 1) + RECORD_SIZE as u64 <= geometry.payload((slots - 1) / EXTENT_SLOTS * EXTENT_SLOTS));
            prop_assert_eq!(geometry.payload(slots - 1) % SLOT_ALIGNMENT, 0);
        }
    }

    #[test]
    fn header_notices_damage() {
        let header = Header::new(1_048_672, [9; 32]);
        let good = header.to_bytes();
        assert_eq!(Header::from_bytes(&good), Ok(header));
        for byte in (0..8).chain(12..HEADER_FIELDS) {
            let mut bad = good;
            bad[byte] ^= 1;
            assert!(Header::from_bytes(&bad).is_err(), "byte {byte}");
        }
    }
}

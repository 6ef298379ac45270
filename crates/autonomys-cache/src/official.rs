//! Pieces out of `piece_cache.bin`, the piece cache that the official farmer keeps in a farm directory.
//!
//! The file is slots of 1 048 712 bytes: piece index (u64, little endian), piece, BLAKE3 over both; a slot of zeros is empty, and
//! what is behind the last whole slot is padding. Checksums find damage, not lies: whether a piece belongs to the chain only its
//! segment's commitment tells.

use crate::error::CacheError;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::pieces::{Piece, PieceIndex};

const INDEX_SIZE: usize = 8;

const CHECKSUM_SIZE: usize = 32;

/// Bytes of a slot.
const SLOT_SIZE: usize = INDEX_SIZE + Piece::SIZE + CHECKSUM_SIZE;

/// The file is padded to whole pages; a rest that is longer is the start of a slot that was cut off.
const PADDING: u64 = 4096;

/// An official piece cache, open for reading.
#[derive(Debug)]
pub struct OfficialPieceCache {
    path: PathBuf,
    file: File,
    slots: u64,
}

/// What is in a slot that is not empty.
#[derive(Clone, PartialEq, Eq)]
pub enum ImportedSlot {
    /// A piece whose checksum is right.
    Piece {
        /// Number of the slot.
        slot: u64,
        /// Its index in history, as the file says.
        piece_index: PieceIndex,
        /// The piece.
        bytes: Bytes,
    },
    /// A slot that cannot be used.
    Damaged {
        /// Number of the slot.
        slot: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl std::fmt::Debug for ImportedSlot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Piece {
                slot, piece_index, ..
            } => write!(formatter, "Piece({piece_index} in slot {slot})"),
            Self::Damaged { slot, reason } => write!(formatter, "Damaged(slot {slot}: {reason})"),
        }
    }
}

impl OfficialPieceCache {
    /// Opens a file for reading; it is never changed.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no regular file, or is too short for a slot.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::io("Opening", path, error);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let unfit = |reason| CacheError::NotAPieceCache {
            path: path.to_owned(),
            reason,
        };
        // Asked before opening: opening a pipe would wait for its other end.
        if !metadata.is_file() {
            return Err(unfit("it is no regular file"));
        }
        let file = File::open(path).map_err(failed)?;
        let slots = metadata.len() / SLOT_SIZE as u64;
        if slots == 0 {
            return Err(unfit("it is shorter than one slot of 1048712 bytes"));
        }
        if metadata.len() % SLOT_SIZE as u64 >= PADDING {
            tracing::warn!(path = %path.display(), "the last slot of the piece cache is cut off");
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            slots,
        })
    }

    /// Slots of the file, also empty ones.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// What the slots hold in their order, without the empty ones. Each is read when it is asked for: 1 MiB of memory in all.
    pub fn iter(&self) -> impl Iterator<Item = ImportedSlot> + '_ {
        (0..self.slots).filter_map(|slot| self.read(slot))
    }

    /// What a slot holds; `None` when it is empty.
    pub fn read(&self, slot: u64) -> Option<ImportedSlot> {
        let damaged = |reason: String| Some(ImportedSlot::Damaged { slot, reason });
        if slot >= self.slots {
            return damaged(format!("{} has {} slots", self.path.display(), self.slots));
        }
        let mut bytes = vec![0; SLOT_SIZE];
        match self.file.read_exact_at(&mut bytes, slot * SLOT_SIZE as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return damaged("the file has become shorter".to_owned());
            }
            Err(error) => return damaged(error.to_string()),
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return None;
        }
        let (content, checksum) = bytes.split_at(INDEX_SIZE + Piece::SIZE);
        if blake3::hash(content).as_bytes() != checksum {
            return damaged("it fails its checksum".to_owned());
        }
        let index = content[..INDEX_SIZE].try_into().expect("the range has 8 bytes");
        let piece_index = PieceIndex::new(u64::from_le_bytes(index));
        Some(ImportedSlot::Piece {
            slot,
            piece_index,
            bytes: Bytes::from(bytes).slice(INDEX_SIZE..INDEX_SIZE + Piece::SIZE),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(index: u64, fill: u8) -> Vec<u8> {
        let mut bytes = index.to_le_bytes().to_vec();
        bytes.resize(INDEX_SIZE + Piece::SIZE, fill);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Slots 0: piece 7, 1: empty, 2: piece 0 of zeros, 3: piece of the highest index; then padding.
    fn file(directory: &Path) -> (PathBuf, Vec<u8>) {
        let mut bytes = slot(7, 1);
        bytes.extend(vec![0; SLOT_SIZE]);
        bytes.extend(slot(0, 0));
        bytes.extend(slot(u64::MAX, 9));
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        let path = directory.join("piece_cache.bin");
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }

    fn indexes(cache: &OfficialPieceCache) -> Vec<Result<u64, u64>> {
        cache
            .iter()
            .map(|found| match found {
                ImportedSlot::Piece {
                    piece_index, bytes, ..
                } => {
                    assert_eq!(bytes.len(), Piece::SIZE);
                    Ok(piece_index.get())
                }
                ImportedSlot::Damaged { slot, .. } => Err(slot),
            })
            .collect()
    }

    #[test]
    fn good_slots_come_in_order_and_empty_ones_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _) = file(directory.path());
        let cache = OfficialPieceCache::open(&path).unwrap();
        assert_eq!(cache.slots(), 4);
        assert_eq!(indexes(&cache), [Ok(7), Ok(0), Ok(u64::MAX)]);
        assert!(matches!(cache.read(4), Some(ImportedSlot::Damaged { .. })));
    }

    #[test]
    fn what_is_no_piece_cache_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            OfficialPieceCache::open(&directory.path().join("nothing")),
            Err(CacheError::Io { .. })
        ));
        let short = directory.path().join("short");
        std::fs::write(&short, vec![1; SLOT_SIZE - 1]).unwrap();
        for path in [directory.path(), &short, Path::new("/dev/zero")] {
            let error = OfficialPieceCache::open(path).unwrap_err();
            assert!(matches!(error, CacheError::NotAPieceCache { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_slots() {
        let directory = tempfile::tempdir().unwrap();
        let (path, bytes) = file(directory.path());
        for length in [SLOT_SIZE, SLOT_SIZE + 5000, 3 * SLOT_SIZE - 1, 3 * SLOT_SIZE] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let cache = OfficialPieceCache::open(&path).unwrap();
            assert_eq!(cache.slots(), (length / SLOT_SIZE) as u64);
            assert_eq!(indexes(&cache).len(), if length == 3 * SLOT_SIZE { 2 } else { 1 });
            // Cut while it is read.
            std::fs::write(&path, &bytes[..100]).unwrap();
            assert_eq!(indexes(&cache)[0], Err(0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn a_flipped_bit_anywhere_is_noticed(position: prop::sample::Index, bit in 0..8u8) {
            let directory = tempfile::tempdir().unwrap();
            let (path, mut bytes) = file(directory.path());
            let byte = position.index(4 * SLOT_SIZE);
            bytes[byte] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let cache = OfficialPieceCache::open(&path).unwrap();
            let mut expected = vec![Ok(7), Ok(0), Ok(u64::MAX)];
            match byte / SLOT_SIZE {
                0 => expected[0] = Err(0),
                // The empty slot is no longer empty.
                1 => expected.insert(1, Err(1)),
                2 => expected[1] = Err(2),
                _ => expected[2] = Err(3),
            }
            prop_assert_eq!(indexes(&cache), expected);
        }
    }
}

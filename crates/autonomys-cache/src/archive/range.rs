//! Pieces as ranges of their segment's file, for a kernel that sends them without a copy.

use super::format::{Record, piece_offset};
use super::store::ArchiveStore;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

/// Where a piece lies. Nothing is held: replaced or damaged, it has other bytes, which whoever gets them notices by both checksums.
#[derive(Debug, Clone)]
pub struct ArchiveRange {
    /// The file of the segment, open for reading.
    pub file: Arc<File>,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes of the piece.
    pub length: u32,
    /// BLAKE3 of the piece.
    pub hash: [u8; 32],
    /// CRC32C of the piece.
    pub crc: u32,
}

/// CRC32C of the pieces that have been read since the start: the files do not have them. 2 KiB a segment.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<BTreeMap<SegmentIndex, Arc<SegmentSums>>>);

/// Above the sum stands whether it is known.
#[derive(Debug)]
struct SegmentSums([AtomicU64; NUM_PIECES_IN_SEGMENT]);

const KNOWN: u64 = 1 << 32;

impl Sums {
    /// Notes the sum of a piece whose bytes are right, whatever was known before.
    pub(super) fn learn(&self, piece_index: PieceIndex, bytes: &[u8]) {
        let sums = {
            let mut segments = self.0.lock();
            let none = || Arc::new(SegmentSums(std::array::from_fn(|_| AtomicU64::new(0))));
            Arc::clone(segments.entry(piece_index.segment_index()).or_insert_with(none))
        };
        let sum = KNOWN | u64::from(crc_fast::crc32_iscsi(bytes));
        sums.0[piece_index.position() as usize].store(sum, Ordering::Relaxed);
    }

    /// A segment gets other bytes, or goes.
    pub(super) fn forget(&self, segment_index: SegmentIndex) {
        self.0.lock().remove(&segment_index);
    }

    fn get(&self, piece_index: PieceIndex) -> Option<u32> {
        let sums = self.0.lock().get(&piece_index.segment_index()).cloned()?;
        let sum = sums.0[piece_index.position() as usize].load(Ordering::Relaxed);
        (sum & KNOWN != 0).then_some(sum as u32)
    }
}

impl ArchiveStore {
    /// Where a piece lies that has been read since the start, without reading it; `None` also when only
    /// [`get`](Self::get) can give it. Opens the file of its segment.
    pub fn range(&self, piece_index: PieceIndex) -> Option<ArchiveRange> {
        let (segment_index, position) = (piece_index.segment_index(), piece_index.position() as usize);
        let segment = self.segments.read().get(&segment_index).cloned()?;
        // Held, so that the sum is that of the record.
        let footer = segment.read();
        let Record::Held(hash) = footer.records[position] else {
            return None;
        };
        let crc = self.sums.get(piece_index)?;
        Some(ArchiveRange {
            file: Arc::new(File::open(self.path(segment_index)).ok()?),
            offset: piece_offset(self.options.piece_size, position),
            length: self.options.piece_size,
            hash,
            crc,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::store::ArchiveOptions;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_piece_can_be_sent_from_the_file_once_it_was_read_and_until_it_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let options = ArchiveOptions {
            identity: [1; 32],
            piece_size: 1000,
        };
        let store = ArchiveStore::open(directory.path(), options).unwrap();
        let pieces: Vec<_> = (0..=255_u8).map(|number| vec![number; 1000]).collect();
        store.put_segment(SegmentIndex::ONE, &pieces).unwrap();
        let index = PieceIndex::new(256 + 7);
        assert!(store.range(index).is_none() && store.range(PieceIndex::ZERO).is_none());
        let item = store.get(index).hit().unwrap();
        let range = store.range(index).unwrap();
        let mut bytes = vec![0; range.length as usize];
        range.file.read_exact_at(&mut bytes, range.offset).unwrap();
        assert_eq!((&bytes, range.hash), (&pieces[7], item.hash));
        assert_eq!(range.crc, crc_fast::crc32_iscsi(&bytes));
        assert!(store.range(PieceIndex::new(256 + 8)).is_none());

        // Other bytes have another sum, which only reading them tells.
        store.put_piece(index, &[200; 1000]).unwrap();
        assert!(store.range(index).is_none());
        store.get(index).hit().unwrap();
        assert_eq!(
            store.range(index).unwrap().crc,
            crc_fast::crc32_iscsi(&[200; 1000])
        );
        store.put_segment(SegmentIndex::ONE, &pieces).unwrap();
        assert!(store.range(index).is_none());
        store.get(index).hit().unwrap();
        assert!(store.remove_segment(SegmentIndex::ONE).unwrap() && store.range(index).is_none());
    }
}

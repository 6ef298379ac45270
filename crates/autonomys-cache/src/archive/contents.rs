//! What an archive holds: lists, scrubs, and segment headers.

use super::file::read_footer;
use super::format::Record;
use super::store::ArchiveStore;
use crate::error::CacheError;
use crate::item::Lookup;
use crate::storage::{OsStorage, Storage};
use std::fs::File;
use std::ops::Bound;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

impl ArchiveStore {
    /// Segments of which all pieces are held, ascending.
    pub fn segments(&self) -> Vec<SegmentIndex> {
        self.with_pieces(|held| held == NUM_PIECES_IN_SEGMENT)
    }

    /// Segments of which some pieces are held and some are not, ascending.
    pub fn partial_segments(&self) -> Vec<SegmentIndex> {
        self.with_pieces(|held| held > 0 && held < NUM_PIECES_IN_SEGMENT)
    }

    fn with_pieces(&self, wanted: impl Fn(usize) -> bool) -> Vec<SegmentIndex> {
        let segments = self.segments.read();
        segments
            .iter()
            .filter(|(_, footer)| wanted(held(&footer.read().records)))
            .map(|(segment_index, _)| *segment_index)
            .collect()
    }

    /// Whether all pieces of a segment are held.
    pub fn contains(&self, segment_index: SegmentIndex) -> bool {
        self.held(segment_index) == NUM_PIECES_IN_SEGMENT
    }

    /// Pieces of a segment that are held; what their bytes are worth only reading them tells.
    pub fn held(&self, segment_index: SegmentIndex) -> usize {
        let segments = self.segments.read();
        segments
            .get(&segment_index)
            .map_or(0, |footer| held(&footer.read().records))
    }

    /// Pieces of a segment that are not held, all of them when nothing of it is.
    pub fn missing_pieces(&self, segment_index: SegmentIndex) -> Vec<PieceIndex> {
        let segments = self.segments.read();
        let footer = segments.get(&segment_index).map(|footer| footer.read());
        let is_held = |position: usize| {
            footer
                .as_ref()
                .is_some_and(|footer| matches!(footer.records[position], Record::Held(_)))
        };
        segment_index
            .segment_piece_indexes()
            .enumerate()
            .filter(|(position, _)| !is_held(*position))
            .map(|(_, piece_index)| piece_index)
            .collect()
    }

    /// Reads a whole segment and gives the pieces that are damaged or not held.
    pub fn verify_segment(&self, segment_index: SegmentIndex) -> Vec<PieceIndex> {
        segment_index
            .segment_piece_indexes()
            .filter(|&piece_index| !matches!(self.get(piece_index), Lookup::Hit(_)))
            .collect()
    }

    /// Verifies every piece held from a segment on, ascending: its index, and whether it and its record on the disk are good.
    /// [`Self::put_piece`] repairs what is not. Bytes come from the disk rather than from the page cache and are not left in it.
    pub fn scrub(&self, from: SegmentIndex) -> impl Iterator<Item = (PieceIndex, bool)> + '_ {
        let mut next = Bound::Included(from);
        let segments = std::iter::from_fn(move || {
            let segment_index = *self.segments.read().range((next, Bound::Unbounded)).next()?.0;
            next = Bound::Excluded(segment_index);
            Some(segment_index)
        });
        segments.flat_map(move |segment_index| self.scrub_segment(segment_index))
    }

    fn scrub_segment(&self, segment_index: SegmentIndex) -> impl Iterator<Item = (PieceIndex, bool)> + '_ {
        let path = self.path(segment_index);
        if let Ok(file) = File::open(&path) {
            OsStorage::from(file).forget_cached();
        }
        let on_disk = read_footer(&path, segment_index, &self.options).ok().flatten();
        segment_index
            .segment_piece_indexes()
            .filter_map(move |piece_index| {
                let position = piece_index.position() as usize;
                let in_memory = self.segments.read().get(&segment_index)?.read().records[position];
                if in_memory == Record::Absent {
                    return None;
                }
                // A piece that was stored since the footer was read is of no interest here: its record differs but not its bytes.
                let recorded = on_disk
                    .as_ref()
                    .is_some_and(|footer| footer.records[position] == in_memory);
                let lookup = self.read(piece_index, |file, buffer, offset| {
                    let result = file.read_exact_at(buffer, offset);
                    file.forget_cached();
                    result
                });
                Some((piece_index, recorded && matches!(lookup, Lookup::Hit(_))))
            })
    }

    /// Stores the SCALE bytes of a segment header, whether the segment is held or not; returns once they are durable.
    ///
    /// # Errors
    ///
    /// When the header is too long or the disk refuses.
    pub fn put_segment_header(&self, segment_index: SegmentIndex, header: &[u8]) -> Result<(), CacheError> {
        self.headers.put(segment_index, header)
    }

    /// The bytes of a segment header; `None` when it was never stored or is damaged.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn segment_header(&self, segment_index: SegmentIndex) -> Result<Option<Vec<u8>>, CacheError> {
        self.headers.get(segment_index)
    }
}

fn held(records: &[Record]) -> usize {
    records
        .iter()
        .filter(|record| matches!(record, Record::Held(_)))
        .count()
}

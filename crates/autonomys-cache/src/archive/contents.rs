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

    /// Verifies every piece held from a segment on, ascending: see [`Self::scrub_next`].
    pub fn scrub(&self, from: SegmentIndex) -> impl Iterator<Item = (PieceIndex, bool)> + '_ {
        let mut after = u64::from(from.first_piece_index())
            .checked_sub(1)
            .map(PieceIndex::new);
        std::iter::from_fn(move || {
            let found = self.scrub_next(after)?;
            after = Some(found.0);
            Some(found)
        })
    }

    /// Verifies the first piece held behind `after`: its index, and whether it and its record on the disk are good.
    /// [`Self::put_piece`] repairs what is not. Bytes come from the disk rather than from the page cache and are not left in it.
    pub fn scrub_next(&self, after: Option<PieceIndex>) -> Option<(PieceIndex, bool)> {
        let (piece_index, in_memory) = self.next_held(after)?;
        let segment_index = piece_index.segment_index();
        let path = self.path(segment_index);
        let is_first = after.is_none_or(|after| after.segment_index() != segment_index);
        if is_first && let Ok(file) = File::open(&path) {
            OsStorage::from(file).forget_cached();
        }
        // A piece that is stored while this looks is of no interest here: its record differs but not its bytes.
        let footer = read_footer(&path, segment_index, &self.options).ok().flatten();
        let recorded =
            footer.is_some_and(|footer| footer.records[piece_index.position() as usize] == in_memory);
        let lookup = self.read(piece_index, |file, buffer, offset| {
            file.forget_range(offset, buffer.len());
            let result = file.read_exact_at(buffer, offset);
            file.forget_range(offset, buffer.len());
            result
        });
        Some((piece_index, recorded && matches!(lookup, Lookup::Hit(_))))
    }

    /// The first piece behind `after` that is held, or whose record is damaged.
    fn next_held(&self, after: Option<PieceIndex>) -> Option<(PieceIndex, Record)> {
        let first = after.map_or(Some(0), |after| u64::from(after).checked_add(1))?;
        let first = PieceIndex::new(first);
        let segments = self.segments.read();
        let range = (Bound::Included(first.segment_index()), Bound::Unbounded);
        segments.range(range).find_map(|(segment_index, footer)| {
            let footer = footer.read();
            let mut pieces = segment_index.segment_piece_indexes().zip(&footer.records);
            let found = pieces.find(|(index, record)| *index >= first && **record != Record::Absent);
            found.map(|(index, record)| (index, *record))
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

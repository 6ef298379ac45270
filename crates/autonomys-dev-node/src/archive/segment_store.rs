//! All segments of the chain on disk, with their headers in memory.

use super::segment_file::{self, SegmentFile};
use crate::error::DevNodeError;
use parking_lot::RwLock;
use rayon::ThreadPool;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_archiving::NewArchivedSegment;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{HistorySize, SegmentHeader, SegmentIndex};

/// Segments 0.. without gaps. One open file for each.
#[derive(Debug)]
pub struct SegmentStore {
    directory: PathBuf,
    segments: RwLock<Vec<Arc<SegmentFile>>>,
}

fn file_name(directory: &Path, segment_index: u64) -> PathBuf {
    directory.join(format!("{segment_index:08}.segment"))
}

impl SegmentStore {
    /// Opens the segments of a directory and checks that their headers form a chain.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn open(directory: &Path) -> Result<Self, DevNodeError> {
        let mut segments: Vec<Arc<SegmentFile>> = Vec::new();
        loop {
            let path = file_name(directory, segments.len() as u64);
            if !path.exists() {
                break;
            }
            let segment = SegmentFile::open(&path)?;
            let previous = segments
                .last()
                .map(|previous| previous.header().hash())
                .unwrap_or_default();
            let header = segment.header();
            if header.segment_index().get() != segments.len() as u64
                || header.prev_segment_header_hash() != previous
            {
                let reason = "its header does not continue the segment before it".to_string();
                return Err(DevNodeError::DamagedSegment { path, reason });
            }
            segments.push(Arc::new(segment));
        }
        Ok(Self {
            directory: directory.to_path_buf(),
            segments: RwLock::new(segments),
        })
    }

    /// Stores the next segment. Blocking: 268 MB.
    ///
    /// # Errors
    /// When it cannot be written or is not the next one.
    pub fn push(&self, segment: &NewArchivedSegment, pool: &ThreadPool) -> Result<(), DevNodeError> {
        let path = self.next_path(segment.segment_header)?;
        segment_file::write(&path, segment, pool)?;
        self.adopt(&path)
    }

    /// Stores the next segment from a file of the same form: by a hard link, else by a copy.
    ///
    /// # Errors
    /// When it cannot be written or is not the next one.
    pub fn push_file(&self, segment: &SegmentFile, file: &Path) -> Result<(), DevNodeError> {
        let path = self.next_path(segment.header())?;
        if std::fs::hard_link(file, &path).is_err() {
            let temporary = path.with_extension("new");
            std::fs::copy(file, &temporary).map_err(DevNodeError::io("copy", file))?;
            segment_file::publish(&temporary, &path)?;
        }
        self.adopt(&path)
    }

    fn next_path(&self, header: SegmentHeader) -> Result<PathBuf, DevNodeError> {
        let next = self.segments.read().len() as u64;
        if header.segment_index().get() != next {
            return Err(DevNodeError::Archiving(format!(
                "segment {} was archived while {next} was expected",
                header.segment_index()
            )));
        }
        Ok(file_name(&self.directory, next))
    }

    fn adopt(&self, path: &Path) -> Result<(), DevNodeError> {
        let segment = Arc::new(SegmentFile::open(path)?);
        self.segments.write().push(segment);
        Ok(())
    }

    /// Number of segments, `None` while there is none.
    pub fn history_size(&self) -> Option<HistorySize> {
        HistorySize::from_segments(self.segments.read().len() as u64)
    }

    /// Header of a segment.
    pub fn header(&self, segment_index: SegmentIndex) -> Option<SegmentHeader> {
        let index = usize::try_from(segment_index.get()).ok()?;
        self.segments.read().get(index).map(|segment| segment.header())
    }

    /// The newest headers, ascending.
    pub fn last_headers(&self, limit: usize) -> Vec<SegmentHeader> {
        let segments = self.segments.read();
        segments[segments.len().saturating_sub(limit)..]
            .iter()
            .map(|segment| segment.header())
            .collect()
    }

    /// The newest header.
    pub fn last_header(&self) -> Option<SegmentHeader> {
        self.segments.read().last().map(|segment| segment.header())
    }

    /// A piece, `None` when its segment does not exist. Blocking: 1 MiB.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn piece(&self, piece_index: PieceIndex) -> Result<Option<Piece>, DevNodeError> {
        let segment = usize::try_from(piece_index.segment_index().get())
            .ok()
            .and_then(|index| self.segments.read().get(index).cloned());
        segment
            .map(|segment| segment.piece(piece_index.position()))
            .transpose()
    }
}

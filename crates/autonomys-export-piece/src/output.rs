//! The output directory: an archive store of the chain.

use crate::commit::{Arithmetic, random_position};
use crate::error::ExportError;
use crate::headers::HeaderChain;
use autonomys_cache::{ArchiveOptions, ArchiveStore, CacheError, Lookup};
use nix::sys::statvfs::statvfs;
use parity_scale_codec::Encode;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentHeader, SegmentIndex};

/// The directory, locked for this process. Everything blocks.
pub struct Output {
    store: ArchiveStore,
    directory: PathBuf,
}

impl Output {
    /// Opens or creates the directory for this chain, and removes what an earlier run left unfinished.
    ///
    /// # Errors
    /// When it is in use, is of another chain, or cannot be written.
    pub fn open(directory: &Path, genesis_hash: Blake3Hash) -> Result<Self, CacheError> {
        let options = ArchiveOptions {
            identity: *genesis_hash,
            piece_size: PIECE_SIZE as u32,
        };
        Ok(Self {
            store: ArchiveStore::open(directory, options)?,
            directory: directory.to_owned(),
        })
    }

    /// Segments that are whole.
    pub fn done(&self) -> BTreeSet<SegmentIndex> {
        self.store.segments().into_iter().collect()
    }

    /// Writes the headers that are not there yet.
    ///
    /// # Errors
    /// When one that is there is another one: then the directory and the node are of different histories.
    pub fn put_headers(&self, headers: &HeaderChain) -> Result<(), ExportError> {
        for header in headers.as_slice() {
            let segment_index = header.segment_index();
            match self.store.segment_header(segment_index)? {
                None => self.store.put_segment_header(segment_index, &header.encode())?,
                Some(stored) if stored == header.encode() => {}
                Some(_) => {
                    return Err(ExportError::Unsuitable(format!(
                        "its header of segment {segment_index} is not the one in {}; one of the two histories is wrong",
                        self.directory.display()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether the segment in the directory is the one of the header: all of its pieces, or one picked at random.
    pub fn check(&self, header: &SegmentHeader, all: bool, arithmetic: &Arithmetic) -> bool {
        let first = header.segment_index().first_piece_index().get();
        let read = |position: u32| match self.store.get((first + u64::from(position)).into()) {
            Lookup::Hit(item) => Piece::from_bytes(item.bytes).ok().map(|piece| (position, piece)),
            _ => None,
        };
        if all {
            let pieces: Option<Vec<_>> = (0..NUM_PIECES_IN_SEGMENT as u32).map(read).collect();
            pieces.is_some_and(|pieces| arithmetic.are_valid(header, pieces))
        } else {
            read(random_position())
                .is_some_and(|(position, piece)| arithmetic.is_valid(header, position, &piece))
        }
    }

    /// Stores a segment; once this returns it survives anything.
    ///
    /// # Errors
    /// When the disk refuses; the directory is as it was.
    pub fn put(&self, segment_index: SegmentIndex, pieces: &[Piece]) -> Result<(), CacheError> {
        self.store.put_segment(segment_index, pieces)
    }

    /// Bytes that a segment takes.
    pub fn segment_size(&self) -> u64 {
        self.store.segment_file_size()
    }

    /// Fails unless there is room for this many segments more.
    ///
    /// # Errors
    /// [`ExportError::NoSpace`] with the figures.
    pub fn check_space(&self, segments: usize) -> Result<(), ExportError> {
        let needed = (segments as u64).saturating_mul(self.segment_size());
        // A file system that cannot be asked says so when it is written.
        let available = statvfs(&self.directory).map_or(u64::MAX, |disk| {
            disk.blocks_available().saturating_mul(disk.fragment_size())
        });
        if needed <= available {
            return Ok(());
        }
        Err(ExportError::NoSpace {
            segments,
            needed,
            available,
            path: self.directory.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_told_with_the_figures() {
        let directory = tempfile::tempdir().unwrap();
        let output = Output::open(directory.path(), Blake3Hash([7; 32])).unwrap();
        assert_eq!(output.segment_size(), 268_460_032 + 16_512);
        output.check_space(0).unwrap();
        let error = output.check_space(1 << 32).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::NoSpace);
        let text = error.to_string();
        assert!(
            text.contains("4294967296 segments need ") && text.contains("--force-space"),
            "{text}"
        );
        // Another chain has no business here.
        drop(output);
        let error = Output::open(directory.path(), Blake3Hash([8; 32]))
            .map(drop)
            .unwrap_err();
        assert_eq!(ExportError::from(error).exit(), crate::Exit::NodeUnsuitable);
    }
}

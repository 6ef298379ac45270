//! File of one archived segment: 256 pieces, then a trailer with their hashes and the segment header.
//!
//! | bytes | content |
//! |---|---|
//! | 256 x 1 048 672 | pieces in position order |
//! | 256 x 32 | BLAKE3 of each piece |
//! | 1 + 98 | length of the SCALE segment header, the header, zeros |
//! | 32 | BLAKE3 of the hashes, the length and the header |

use crate::error::DevNodeError;
use bytes::Bytes;
use parity_scale_codec::{Decode, Encode};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_archiving::NewArchivedSegment;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece};
use subspace_core_primitives::segments::{
    ARCHIVED_HISTORY_SEGMENT_SIZE, NUM_PIECES_IN_SEGMENT, SegmentHeader,
};

const HASHES_SIZE: usize = NUM_PIECES_IN_SEGMENT * 32;
const MAX_HEADER_SIZE: usize = 98;
const TRAILER_SIZE: usize = HASHES_SIZE + 1 + MAX_HEADER_SIZE + 32;
const FILE_SIZE: u64 = (ARCHIVED_HISTORY_SEGMENT_SIZE + TRAILER_SIZE) as u64;

/// A segment on disk whose trailer was checked.
#[derive(Debug)]
pub struct SegmentFile {
    path: PathBuf,
    file: File,
    header: SegmentHeader,
    piece_hashes: Vec<Blake3Hash>,
}

/// Writes a segment under a temporary name, syncs it, and gives it its name.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, segment: &NewArchivedSegment, pool: &ThreadPool) -> Result<(), DevNodeError> {
    let temporary = path.with_extension("new");
    let io = |action| DevNodeError::io(action, &temporary);
    let hashes: Vec<Blake3Hash> = pool.install(|| {
        segment
            .pieces
            .par_iter()
            .map(|piece| blake3_hash(piece.as_ref()))
            .collect()
    });
    let mut trailer = Vec::with_capacity(TRAILER_SIZE);
    for hash in &hashes {
        trailer.extend_from_slice(hash.as_ref());
    }
    let header = segment.segment_header.encode();
    trailer.push(header.len() as u8);
    trailer.extend_from_slice(&header);
    trailer.resize(HASHES_SIZE + 1 + MAX_HEADER_SIZE, 0);
    let checksum = blake3_hash(&trailer);
    trailer.extend_from_slice(checksum.as_ref());
    let mut file = BufWriter::new(File::create(&temporary).map_err(io("create"))?);
    for piece in &segment.pieces {
        file.write_all(piece.as_ref()).map_err(io("write"))?;
    }
    file.write_all(&trailer).map_err(io("write"))?;
    let file = file
        .into_inner()
        .map_err(|error| io("write")(error.into_error()))?;
    file.sync_all().map_err(io("sync"))?;
    publish(&temporary, path)
}

/// Renames and makes the new name durable.
pub(super) fn publish(temporary: &Path, path: &Path) -> Result<(), DevNodeError> {
    std::fs::rename(temporary, path).map_err(DevNodeError::io("rename", temporary))?;
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(DevNodeError::io("sync", parent))?;
    }
    Ok(())
}

impl SegmentFile {
    /// Opens a file and checks its size and trailer, not the pieces.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, DevNodeError> {
        let io = |action| DevNodeError::io(action, path);
        let damaged = |reason: &str| DevNodeError::DamagedSegment {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let file = File::open(path).map_err(io("open"))?;
        if file.metadata().map_err(io("inspect"))?.len() != FILE_SIZE {
            return Err(damaged("it has the wrong size"));
        }
        let mut trailer = vec![0; TRAILER_SIZE];
        file.read_exact_at(&mut trailer, ARCHIVED_HISTORY_SEGMENT_SIZE as u64)
            .map_err(io("read"))?;
        let (content, checksum) = trailer.split_at(TRAILER_SIZE - 32);
        if blake3_hash(content).as_ref() != checksum {
            return Err(damaged("its trailer has the wrong checksum"));
        }
        let (hashes, header) = content.split_at(HASHES_SIZE);
        let header = header
            .get(1..=usize::from(header[0]))
            .and_then(|mut header| SegmentHeader::decode(&mut header).ok())
            .ok_or_else(|| damaged("its segment header cannot be decoded"))?;
        let piece_hashes = hashes
            .as_chunks::<32>()
            .0
            .iter()
            .copied()
            .map(Blake3Hash)
            .collect();
        Ok(Self {
            path: path.to_path_buf(),
            file,
            header,
            piece_hashes,
        })
    }

    /// The segment header.
    pub fn header(&self) -> SegmentHeader {
        self.header
    }

    /// The piece at `position` (0..=255), checked against its hash.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn piece(&self, position: u32) -> Result<Piece, DevNodeError> {
        let damaged = |reason: String| DevNodeError::DamagedSegment {
            path: self.path.clone(),
            reason,
        };
        let hash = self
            .piece_hashes
            .get(position as usize)
            .ok_or_else(|| damaged(format!("there is no piece at position {position}")))?;
        let mut bytes = vec![0; PIECE_SIZE];
        self.file
            .read_exact_at(&mut bytes, u64::from(position) * PIECE_SIZE as u64)
            .map_err(DevNodeError::io("read", &self.path))?;
        if blake3_hash(&bytes) != *hash {
            return Err(damaged(format!(
                "the piece at position {position} has the wrong hash"
            )));
        }
        Piece::from_bytes(Bytes::from(bytes)).map_err(|error| damaged(error.to_string()))
    }

    /// Checks all pieces against their hashes.
    ///
    /// # Errors
    /// When one cannot be read or is damaged.
    pub fn check_pieces(&self, pool: &ThreadPool) -> Result<(), DevNodeError> {
        pool.install(|| {
            (0..NUM_PIECES_IN_SEGMENT as u32)
                .into_par_iter()
                .try_for_each(|position| self.piece(position).map(drop))
        })
    }
}

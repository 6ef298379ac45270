//! The store over the segment files of a directory.

use super::format::{EXTENSION, FOOTER_SIZE, Footer, FooterError, VERSION, file_name, parse_file_name};
use super::headers::HeaderTable;
use crate::error::CacheError;
use crate::item::{Lookup, StoredItem};
use crate::lock::DirectoryLock;
use crate::storage::{OsStorage, Storage};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use tracing::{info, warn};

/// Ending of files that are being written.
const TEMPORARY: &str = "tmp";

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// Whom the content belongs to, for instance the genesis hash; files of another identity are refused.
    pub identity: [u8; 32],
    /// Bytes of every piece.
    pub piece_size: u32,
}

/// Segments on one disk. Shared between threads by reference; every method may block on the disk.
#[derive(Debug)]
pub struct ArchiveStore {
    directory: PathBuf,
    options: ArchiveOptions,
    // 8 KiB of hashes a segment, 32 MiB for a terabyte of pieces.
    segments: RwLock<BTreeMap<SegmentIndex, Arc<Footer>>>,
    headers: HeaderTable,
    _lock: DirectoryLock,
}

impl ArchiveStore {
    /// Opens an archive: locks the directory, removes what an earlier run left unfinished, reads the footers. Segments may be
    /// absent in any pattern; damaged ones count as absent and are reported.
    ///
    /// # Errors
    ///
    /// When the directory is in use or cannot be read, or a file is of another version, identity or piece size.
    pub fn open(directory: &Path, options: ArchiveOptions) -> Result<Self, CacheError> {
        if options.piece_size == 0 || options.piece_size > crate::slab::MAX_SLOT_SIZE {
            return Err(CacheError::BadOptions {
                reason: "the piece size must be 1 byte to 16 MiB",
            });
        }
        let lock = DirectoryLock::acquire(directory)?;
        let headers = HeaderTable::open(directory, options.identity)?;
        let mut segments = BTreeMap::new();
        let listing = |error| CacheError::io("Listing", directory, error);
        for entry in std::fs::read_dir(directory).map_err(listing)? {
            let path = entry.map_err(listing)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if let Some(finished) = name
                .strip_suffix(TEMPORARY)
                .and_then(|name| name.strip_suffix('.'))
                && parse_file_name(finished).is_some()
            {
                warn!(path = %path.display(), "removing an unfinished segment");
                std::fs::remove_file(&path).map_err(|error| CacheError::io("Removing", &path, error))?;
            } else if let Some(segment_index) = parse_file_name(name)
                && let Some(footer) = read_footer(&path, segment_index, &options)?
            {
                segments.insert(segment_index, Arc::new(footer));
            }
        }
        info!(directory = %directory.display(), segments = segments.len(), "archive opened");
        Ok(Self {
            directory: directory.to_owned(),
            options,
            segments: RwLock::new(segments),
            headers,
            _lock: lock,
        })
    }

    /// Segments held, ascending.
    pub fn segments(&self) -> Vec<SegmentIndex> {
        self.segments.read().keys().copied().collect()
    }

    /// Whether a segment is held.
    pub fn contains(&self, segment_index: SegmentIndex) -> bool {
        self.segments.read().contains_key(&segment_index)
    }

    /// Bytes that one segment takes on the disk.
    pub fn segment_file_size(&self) -> u64 {
        NUM_PIECES_IN_SEGMENT as u64 * u64::from(self.options.piece_size) + FOOTER_SIZE as u64
    }

    /// Reads a piece and checks it. A damaged piece, or one that the disk cannot read, is [`Lookup::Corrupt`] and reported; the
    /// other pieces of its segment stay available until [`Self::put_segment`] repairs it.
    pub fn get(&self, piece_index: PieceIndex) -> Lookup {
        let segment_index = piece_index.segment_index();
        let Some(footer) = self.segments.read().get(&segment_index).cloned() else {
            return Lookup::Missing;
        };
        let path = self.path(segment_index);
        let position = piece_index.position();
        let mut bytes = vec![0; self.options.piece_size as usize];
        let offset = u64::from(position) * u64::from(self.options.piece_size);
        let read = File::open(&path).and_then(|file| OsStorage::from(file).read_exact_at(&mut bytes, offset));
        if let Err(error) = read {
            warn!(path = %path.display(), %piece_index, %error, "a piece cannot be read");
            return Lookup::Corrupt;
        }
        let hash = footer.hashes[position as usize];
        if *blake3::hash(&bytes).as_bytes() != hash {
            warn!(path = %path.display(), %piece_index, "a piece is damaged");
            return Lookup::Corrupt;
        }
        Lookup::Hit(StoredItem {
            bytes: Bytes::from(bytes),
            hash,
            epoch: 0,
        })
    }

    /// Stores a segment, or replaces a damaged one; returns once it is durable.
    ///
    /// # Errors
    ///
    /// When the pieces are not 256 of the right size, or the disk refuses; the directory is then as it was.
    pub fn put_segment<P: AsRef<[u8]>>(
        &self,
        segment_index: SegmentIndex,
        pieces: &[P],
    ) -> Result<(), CacheError> {
        let bad = |reason| CacheError::BadSegment {
            segment_index: segment_index.get(),
            reason,
        };
        if pieces.len() != NUM_PIECES_IN_SEGMENT {
            return Err(bad("a segment has 256 pieces"));
        }
        if pieces
            .iter()
            .any(|piece| piece.as_ref().len() != self.options.piece_size as usize)
        {
            return Err(bad("a piece has another size than the pieces of this archive"));
        }
        let footer = Footer {
            piece_size: self.options.piece_size,
            segment_index,
            identity: self.options.identity,
            hashes: pieces
                .iter()
                .map(|piece| *blake3::hash(piece.as_ref()).as_bytes())
                .collect(),
        };
        let path = self.path(segment_index);
        let temporary = path.with_extension(format!("{EXTENSION}.{TEMPORARY}"));
        let write = || -> io::Result<()> {
            let file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&temporary)?;
            let storage = OsStorage::from(file);
            write_segment(&storage, pieces, &footer)?;
            std::fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        if let Err(error) = write() {
            // The space is worth more than the evidence; failing to remove it changes nothing about the error.
            let _ = std::fs::remove_file(&temporary);
            return Err(CacheError::write(
                "Writing",
                &path,
                self.segment_file_size(),
                error,
            ));
        }
        self.segments.write().insert(segment_index, Arc::new(footer));
        Ok(())
    }

    /// Deletes a segment; `true` when it was held.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn remove_segment(&self, segment_index: SegmentIndex) -> Result<bool, CacheError> {
        if self.segments.write().remove(&segment_index).is_none() {
            return Ok(false);
        }
        let path = self.path(segment_index);
        std::fs::remove_file(&path).map_err(|error| CacheError::io("Removing", &path, error))?;
        Ok(true)
    }

    /// Reads a whole segment and gives the pieces that are damaged; all of them when it is not held.
    pub fn verify_segment(&self, segment_index: SegmentIndex) -> Vec<PieceIndex> {
        segment_index
            .segment_piece_indexes()
            .filter(|&piece_index| !matches!(self.get(piece_index), Lookup::Hit(_)))
            .collect()
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

    fn path(&self, segment_index: SegmentIndex) -> PathBuf {
        self.directory.join(file_name(segment_index))
    }
}

/// Writes a segment file and makes it durable. Space is reserved first, so that a full disk shows before any work.
pub(super) fn write_segment<P: AsRef<[u8]>>(
    storage: &dyn Storage,
    pieces: &[P],
    footer: &Footer,
) -> io::Result<()> {
    let piece_size = u64::from(footer.piece_size);
    storage.resize(piece_size * pieces.len() as u64 + FOOTER_SIZE as u64)?;
    for (position, piece) in (0u64..).zip(pieces) {
        storage.write_all_at(piece.as_ref(), position * piece_size)?;
    }
    storage.write_all_at(&footer.to_bytes(), piece_size * pieces.len() as u64)?;
    storage.sync()
}

/// The footer of a segment file; `None`, with a report, when the file is damaged.
fn read_footer(
    path: &Path,
    segment_index: SegmentIndex,
    options: &ArchiveOptions,
) -> Result<Option<Footer>, CacheError> {
    let failed = |error| CacheError::io("Reading", path, error);
    let storage = OsStorage::from(File::open(path).map_err(failed)?);
    let length = storage.length().map_err(failed)?;
    let damaged = |reason: &str| {
        warn!(path = %path.display(), reason, "a segment is damaged and counts as absent");
        Ok(None)
    };
    let Some(start) = length.checked_sub(FOOTER_SIZE as u64) else {
        return damaged("it is too short");
    };
    let mut bytes = [0; FOOTER_SIZE];
    if let Err(error) = storage.read_exact_at(&mut bytes, start) {
        return damaged(&error.to_string());
    }
    let footer = match Footer::from_bytes(&bytes) {
        Ok(footer) => footer,
        Err(FooterError::Damaged(reason)) => return damaged(reason),
        Err(FooterError::Version(found)) => {
            return Err(CacheError::UnsupportedVersion {
                path: path.to_owned(),
                found,
                known: VERSION,
            });
        }
    };
    let differs = |what| {
        Err(CacheError::Mismatch {
            path: path.to_owned(),
            what,
        })
    };
    if footer.identity != options.identity {
        return differs("chain");
    }
    if footer.piece_size != options.piece_size {
        return differs("piece size");
    }
    if footer.segment_index != segment_index
        || start != u64::from(footer.piece_size) * NUM_PIECES_IN_SEGMENT as u64
    {
        return damaged("its name or length does not fit its footer");
    }
    Ok(Some(footer))
}

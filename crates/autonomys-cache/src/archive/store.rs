//! The store over the segment files of a directory.

use super::file::{TEMPORARY, create, path_of, read_footer, write_piece};
use super::format::{Footer, Record, file_length, parse_file_name, piece_offset};
use super::headers::HeaderTable;
use super::range::Sums;
use crate::error::CacheError;
use crate::item::{Lookup, StoredItem};
use crate::lock::DirectoryLock;
use crate::storage::{OsStorage, Storage};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use tracing::{info, warn};

/// Segments that can be written at the same time without waiting for each other.
const WRITERS: usize = 16;

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// Whom the content belongs to, for instance the genesis hash; files of another identity are refused.
    pub identity: [u8; 32],
    /// Bytes of every piece.
    pub piece_size: u32,
}

/// Segments on one disk, whole or in part. Shared between threads by reference; every method may block on the disk.
#[derive(Debug)]
pub struct ArchiveStore {
    directory: PathBuf,
    pub(super) options: ArchiveOptions,
    // 8 KiB of hashes a segment, 32 MiB for a terabyte of pieces. A segment's lock is held for reading while one of its pieces is
    // read, and for writing while one is replaced.
    pub(super) segments: RwLock<BTreeMap<SegmentIndex, Arc<RwLock<Footer>>>>,
    /// Changes of a segment happen one after the other; its number modulo [`WRITERS`] says which lock.
    writers: [Mutex<()>; WRITERS],
    pub(super) headers: HeaderTable,
    pub(super) sums: Sums,
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
                segments.insert(segment_index, Arc::new(RwLock::new(footer)));
            }
        }
        info!(directory = %directory.display(), segments = segments.len(), "archive opened");
        Ok(Self {
            directory: directory.to_owned(),
            options,
            segments: RwLock::new(segments),
            writers: std::array::from_fn(|_| Mutex::new(())),
            headers,
            sums: Sums::default(),
            _lock: lock,
        })
    }

    /// Bytes that one segment takes on the disk.
    pub fn segment_file_size(&self) -> u64 {
        file_length(self.options.piece_size)
    }

    /// Reads a piece and checks it. A damaged piece, or one that the disk cannot read, is [`Lookup::Corrupt`] and reported; the
    /// other pieces of its segment stay available, and [`Self::put_piece`] repairs it.
    pub fn get(&self, piece_index: PieceIndex) -> Lookup {
        self.read(piece_index, |file, buffer, offset| {
            file.read_exact_at(buffer, offset)
        })
    }

    pub(super) fn read(
        &self,
        piece_index: PieceIndex,
        read: impl Fn(&OsStorage, &mut [u8], u64) -> io::Result<()>,
    ) -> Lookup {
        let segment_index = piece_index.segment_index();
        let position = piece_index.position() as usize;
        let Some(segment) = self.segments.read().get(&segment_index).cloned() else {
            return Lookup::Missing;
        };
        let footer = segment.read();
        let hash = match footer.records[position] {
            Record::Absent => return Lookup::Missing,
            Record::Damaged => return Lookup::Corrupt,
            Record::Held(hash) => hash,
        };
        let path = self.path(segment_index);
        let mut bytes = vec![0; self.options.piece_size as usize];
        let result = File::open(&path).and_then(|file| {
            read(
                &OsStorage::from(file),
                &mut bytes,
                piece_offset(self.options.piece_size, position),
            )
        });
        if let Err(error) = result {
            warn!(path = %path.display(), %piece_index, %error, "a piece cannot be read");
            return Lookup::Corrupt;
        }
        if *blake3::hash(&bytes).as_bytes() != hash {
            warn!(path = %path.display(), %piece_index, "a piece is damaged");
            return Lookup::Corrupt;
        }
        // Still under the lock of the segment: nobody has replaced the piece.
        self.sums.learn(piece_index, &bytes);
        Lookup::Hit(StoredItem {
            bytes: Bytes::from(bytes),
            hash,
            epoch: 0,
        })
    }

    /// Stores a whole segment, or replaces one that is damaged or in part; returns once it is durable.
    ///
    /// # Errors
    ///
    /// When the pieces are not 256 of the right size, or the disk refuses; the directory is then as it was.
    pub fn put_segment<P: AsRef<[u8]>>(
        &self,
        segment_index: SegmentIndex,
        pieces: &[P],
    ) -> Result<(), CacheError> {
        if pieces.len() != NUM_PIECES_IN_SEGMENT {
            return Err(bad_segment(segment_index, "a segment has 256 pieces"));
        }
        for piece in pieces {
            self.check_size(segment_index, piece.as_ref())?;
        }
        let mut footer = Footer::empty(&self.options, segment_index);
        for (record, piece) in footer.records.iter_mut().zip(pieces) {
            *record = Record::Held(*blake3::hash(piece.as_ref()).as_bytes());
        }
        let _writer = self.writer(segment_index).lock();
        create(&self.directory, &footer, pieces)?;
        let mut segments = self.segments.write();
        self.sums.forget(segment_index);
        segments.insert(segment_index, Arc::new(RwLock::new(footer)));
        drop(segments);
        Ok(())
    }

    /// Stores one piece, whether its segment is there or not, and whether the piece was damaged, missing or another; returns once
    /// it is durable. The caller has checked it against the segment's commitment.
    ///
    /// # Errors
    ///
    /// When the piece has another size, or the disk refuses: the piece may then be gone, the others are as they were.
    pub fn put_piece(&self, piece_index: PieceIndex, bytes: &[u8]) -> Result<(), CacheError> {
        let segment_index = piece_index.segment_index();
        self.check_size(segment_index, bytes)?;
        let _writer = self.writer(segment_index).lock();
        let path = self.path(segment_index);
        let failed = |error| CacheError::write("Writing", &path, bytes.len() as u64, error);
        let known = self.segments.read().get(&segment_index).cloned();
        let segment = match known.filter(|_| path.exists()) {
            Some(segment) => segment,
            None => {
                // A file with a damaged footer is replaced as well: nothing says what its bytes are.
                let footer = Footer::empty(&self.options, segment_index);
                create::<&[u8]>(&self.directory, &footer, &[])?;
                let segment = Arc::new(RwLock::new(footer));
                self.segments.write().insert(segment_index, Arc::clone(&segment));
                segment
            }
        };
        let mut footer = segment.write();
        self.sums.forget(segment_index);
        let hash = *blake3::hash(bytes).as_bytes();
        let position = piece_index.position() as usize;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let written = write_piece(&OsStorage::from(file), &footer, position, bytes, &hash);
        footer.records[position] = match written {
            Ok(()) => Record::Held(hash),
            Err(_) => Record::Damaged,
        };
        written.map_err(failed)
    }

    /// Deletes a segment, whole or in part; `true` when there was one.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn remove_segment(&self, segment_index: SegmentIndex) -> Result<bool, CacheError> {
        let _writer = self.writer(segment_index).lock();
        if self.segments.write().remove(&segment_index).is_none() {
            return Ok(false);
        }
        self.sums.forget(segment_index);
        let path = self.path(segment_index);
        std::fs::remove_file(&path).map_err(|error| CacheError::io("Removing", &path, error))?;
        Ok(true)
    }

    fn writer(&self, segment_index: SegmentIndex) -> &Mutex<()> {
        &self.writers[(segment_index.get() % WRITERS as u64) as usize]
    }

    fn check_size(&self, segment_index: SegmentIndex, piece: &[u8]) -> Result<(), CacheError> {
        match piece.len() == self.options.piece_size as usize {
            true => Ok(()),
            false => Err(bad_segment(
                segment_index,
                "a piece has another size than the pieces of this archive",
            )),
        }
    }

    pub(super) fn path(&self, segment_index: SegmentIndex) -> PathBuf {
        path_of(&self.directory, segment_index)
    }
}

fn bad_segment(segment_index: SegmentIndex, reason: &'static str) -> CacheError {
    CacheError::BadSegment {
        segment_index: segment_index.get(),
        reason,
    }
}

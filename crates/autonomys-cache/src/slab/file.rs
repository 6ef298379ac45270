//! One slab file: creation, growth, the scan at start, and slots one by one.

use super::format::{EXTENT_SLOTS, Geometry, HEADER_SIZE, Header, RECORD_SIZE, Record, TABLE_SIZE, VERSION};
use crate::error::CacheError;
use crate::storage::{OsStorage, Storage};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// Name of the slab file in a directory of the store.
pub(super) const FILE_NAME: &str = "slab.bin";

/// An open slab file.
pub(super) struct SlabFile {
    path: PathBuf,
    storage: Box<dyn Storage>,
    identity: [u8; 32],
    geometry: Geometry,
    slots: u64,
}

/// What a scan found.
pub(super) struct Scan {
    pub(super) records: Vec<(u32, Record)>,
    /// Slots without a usable record.
    pub(super) free: Vec<u32>,
}

/// What stands in a directory before the file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Nothing,
    /// A file for these items.
    Same,
    /// A file for items of another size.
    OtherSize,
}

/// Looks at the file of a directory and changes nothing.
///
/// # Errors
///
/// When it is no slab file, or of another version or identity.
pub(super) fn inspect(directory: &Path, header: Header) -> Result<Found, CacheError> {
    let path = directory.join(FILE_NAME);
    match OpenOptions::new().read(true).open(&path) {
        Ok(file) => {
            let found = read_header(&path, &OsStorage::from(file), header.identity)?;
            Ok(match found.slot_size == header.slot_size {
                true => Found::Same,
                false => Found::OtherSize,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(CacheError::io("Opening", &path, error)),
    }
}

fn read_header(path: &Path, storage: &dyn Storage, identity: [u8; 32]) -> Result<Header, CacheError> {
    let mut bytes = [0; HEADER_SIZE as usize];
    let not_a_store = |reason| CacheError::NotAStore {
        path: path.to_owned(),
        reason,
    };
    match storage.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(not_a_store("it is shorter than a header"));
        }
        Err(error) => return Err(CacheError::io("Reading", path, error)),
    }
    let found = Header::from_bytes(&bytes).map_err(not_a_store)?;
    if found.version != VERSION {
        return Err(CacheError::UnsupportedVersion {
            path: path.to_owned(),
            found: found.version,
            known: VERSION,
        });
    }
    if found.identity != identity {
        return Err(CacheError::Mismatch {
            path: path.to_owned(),
            what: "chain or cluster",
        });
    }
    Ok(found)
}

/// Removes the file of a directory, and what an interrupted creation left, so that their space can be used.
pub(super) fn remove(directory: &Path) -> Result<(), CacheError> {
    let path = directory.join(FILE_NAME);
    // Somebody who still sends items of it would hold its space.
    let file = OpenOptions::new().write(true).open(&path).ok();
    for path in [&path, &temporary(&path)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CacheError::io("Removing", path, error));
            }
            _ => {}
        }
    }
    match file.map(|file| file.set_len(0)) {
        Some(Err(error)) => Err(CacheError::io("Removing", &path, error)),
        _ => Ok(()),
    }
}

/// Removes what an interrupted creation left.
pub(super) fn remove_unfinished(directory: &Path) {
    // When it cannot be removed, creating the file says why.
    let _ = std::fs::remove_file(temporary(&directory.join(FILE_NAME)));
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

impl SlabFile {
    /// Opens the file of a directory with `slots` slots, creating, growing or shortening it as needed.
    pub(super) fn open(directory: &Path, header: Header, slots: u64) -> Result<Self, CacheError> {
        let path = directory.join(FILE_NAME);
        if !path.exists() {
            create(directory, &path, header, slots)?;
        }
        let storage = OsStorage::open(&path).map_err(|error| CacheError::io("Opening", &path, error))?;
        Self::with_storage(path, Box::new(storage), header, slots)
    }

    /// The same for a file that exists and has a header.
    pub(super) fn with_storage(
        path: PathBuf,
        storage: Box<dyn Storage>,
        header: Header,
        slots: u64,
    ) -> Result<Self, CacheError> {
        let found = read_header(&path, &*storage, header.identity)?;
        if found.slot_size != header.slot_size {
            return Err(CacheError::Mismatch {
                path,
                what: "item size",
            });
        }
        let geometry = Geometry::new(header.slot_size);
        let length = storage
            .length()
            .map_err(|error| CacheError::io("Reading the length of", &path, error))?;
        let mut file = Self {
            path,
            storage,
            identity: header.identity,
            geometry,
            slots: geometry.slots(length),
        };
        file.resize(length, slots)?;
        Ok(file)
    }

    fn resize(&mut self, length: u64, slots: u64) -> Result<(), CacheError> {
        // Records of slots that go must not come back with slots that are added later.
        for slot in slots..self.slots.min(slots.next_multiple_of(EXTENT_SLOTS)) {
            self.clear_record(slot as u32)?;
        }
        let wanted = self.geometry.file_length(slots);
        if wanted != length {
            let needed = wanted.saturating_sub(length);
            self.storage
                .resize(wanted)
                .map_err(|error| CacheError::write("Resizing", &self.path, needed, error))?;
            self.sync()?;
        }
        self.slots = slots;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// Reads all records. Damaged ones are reported and their slots are free.
    pub(super) fn scan(&self) -> Result<Scan, CacheError> {
        let mut scan = Scan {
            records: Vec::new(),
            free: Vec::new(),
        };
        let mut table = vec![0; TABLE_SIZE as usize];
        for first in (0..self.slots).step_by(EXTENT_SLOTS as usize) {
            self.storage
                .read_exact_at(&mut table, self.geometry.table(first))
                .map_err(|error| CacheError::io("Reading", &self.path, error))?;
            for (slot, bytes) in (first..self.slots).zip(table.as_chunks::<RECORD_SIZE>().0) {
                match Record::from_bytes(bytes, &self.identity, slot) {
                    Ok(Some(record)) => scan.records.push((slot as u32, record)),
                    Ok(None) => scan.free.push(slot as u32),
                    Err(reason) => {
                        warn!(path = %self.path.display(), slot, reason, "dropped a slot");
                        scan.free.push(slot as u32);
                    }
                }
            }
        }
        // Low slots are taken first, which keeps a young file dense.
        scan.free.reverse();
        Ok(scan)
    }

    /// The bytes in a slot, not checked.
    pub(super) fn read(&self, slot: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.storage
            .read_exact_at(&mut bytes, self.geometry.payload(slot.into()))?;
        Ok(bytes)
    }

    /// The same from the medium, past the page cache.
    pub(super) fn read_uncached(&self, slot: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.storage
            .read_uncached_at(&mut bytes, self.geometry.payload(slot.into()))?;
        Ok(bytes)
    }

    /// The file, and where the bytes of a slot begin in it; `None` where there is no file.
    pub(super) fn place(&self, slot: u32) -> Option<(Arc<File>, u64)> {
        Some((
            Arc::clone(self.storage.file()?),
            self.geometry.payload(slot.into()),
        ))
    }

    /// Fills a slot whose record is clear: bytes first, record last. The bytes go past the page cache, so that a cache that
    /// fills does not push out what is read.
    pub(super) fn write(&self, slot: u32, record: Record, bytes: &[u8]) -> Result<(), CacheError> {
        let failed = |error| CacheError::write("Writing", &self.path, bytes.len() as u64, error);
        self.storage
            .write_uncached_at(bytes, self.geometry.payload(slot.into()))
            .map_err(failed)?;
        let record = record.to_bytes(&self.identity, slot.into());
        self.storage
            .write_all_at(&record, self.geometry.record(slot.into()))
            .map_err(failed)
    }

    /// Makes a slot empty.
    pub(super) fn clear_record(&self, slot: u32) -> Result<(), CacheError> {
        self.storage
            .write_all_at(&[0; RECORD_SIZE], self.geometry.record(slot.into()))
            .map_err(|error| CacheError::write("Writing", &self.path, RECORD_SIZE as u64, error))
    }

    /// Returns once everything written is on the medium.
    pub(super) fn sync(&self) -> Result<(), CacheError> {
        self.storage
            .sync()
            .map_err(|error| CacheError::io("Syncing", &self.path, error))
    }
}

/// Makes an empty file under another name first, so that a file of the right name always has a whole header.
fn create(directory: &Path, path: &Path, header: Header, slots: u64) -> Result<(), CacheError> {
    let temporary = temporary(path);
    let length = Geometry::new(header.slot_size).file_length(slots);
    let write = || -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&temporary)?;
        let storage = OsStorage::from(file);
        storage.resize(length)?;
        storage.write_all_at(&header.to_bytes(), 0)?;
        storage.sync()?;
        std::fs::rename(&temporary, path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        // The space is worth more than the evidence; failing to remove it changes nothing about the error.
        let _ = std::fs::remove_file(&temporary);
        CacheError::write("Creating", path, length, error)
    })
}

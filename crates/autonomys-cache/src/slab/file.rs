//! One slab file: creation, growth, the scan at start, and slots one by one.

use super::format::{EXTENT_SLOTS, Geometry, HEADER_SIZE, Header, RECORD_SIZE, Record, TABLE_SIZE, VERSION};
use crate::error::CacheError;
use crate::storage::{OsStorage, Storage};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
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

impl SlabFile {
    /// Opens the file of a directory with `slots` slots, creating, growing or shortening it as needed.
    pub(super) fn open(directory: &Path, header: Header, slots: u64) -> Result<Self, CacheError> {
        let path = directory.join(FILE_NAME);
        if !path.exists() {
            create(directory, &path, header, slots)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| CacheError::io("Opening", &path, error))?;
        Self::with_storage(path, Box::new(OsStorage::from(file)), header, slots)
    }

    /// The same for a file that exists and has a header.
    pub(super) fn with_storage(
        path: PathBuf,
        storage: Box<dyn Storage>,
        header: Header,
        slots: u64,
    ) -> Result<Self, CacheError> {
        let mut bytes = [0; HEADER_SIZE as usize];
        storage
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| CacheError::io("Reading", &path, error))?;
        let found = Header::from_bytes(&bytes).map_err(|reason| CacheError::NotAStore {
            path: path.clone(),
            reason,
        })?;
        if found.version != VERSION {
            return Err(CacheError::UnsupportedVersion {
                path,
                found: found.version,
                known: VERSION,
            });
        }
        let differs = |what| CacheError::Mismatch {
            path: path.clone(),
            what,
        };
        if found.identity != header.identity {
            return Err(differs("chain or cluster"));
        }
        if found.slot_size != header.slot_size {
            return Err(differs("item size"));
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

    /// Fills a slot whose record is clear: bytes first, record last.
    pub(super) fn write(&self, slot: u32, record: Record, bytes: &[u8]) -> Result<(), CacheError> {
        let failed = |error| CacheError::write("Writing", &self.path, bytes.len() as u64, error);
        self.storage
            .write_all_at(bytes, self.geometry.payload(slot.into()))
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
    let temporary = path.with_extension("tmp");
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

//! The store over all its paths: get, put, remove, and what happens when a disk fails.

use super::file::{FILE_NAME, Found, SlabFile, inspect, remove, remove_unfinished};
use super::format::{Geometry, Header, MAX_SLOT_SIZE, Record};
use super::index::{Entry, Index, Lane, Place};
use super::stats::{Counters, count};
use crate::capacity;
use crate::error::CacheError;
use crate::item::{CacheKey, Lookup, StoredItem};
use crate::lock::DirectoryLock;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use tracing::{error, info, warn};

/// Fewest slots of a path: a replacement needs a slot beside the one it replaces, also while several are written at once.
pub const MIN_SLOTS: u64 = 8;

/// After this many I/O errors a path is set aside: single bad spots of a disk cost one slot each, a dying disk costs itself only.
const MAX_IO_ERRORS: u32 = 16;

/// One directory of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabPath {
    /// The directory; created when missing.
    pub directory: PathBuf,
    /// Most bytes that the file may have; `None`: what the file system has free, less [`capacity::reserve`].
    pub size: Option<u64>,
}

/// What all paths of a store have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabOptions {
    /// Whom the content belongs to, for instance a hash over genesis and cluster name; a file of another identity is refused.
    pub identity: [u8; 32],
    /// Longest item in bytes.
    pub slot_size: u32,
    /// What happens to a file of the same identity with slots of another size, which another item type leaves: `true` empties
    /// it and lays it out anew, `false` refuses it by name.
    pub reformat: bool,
}

/// What a [`SlabStore::put`] did beside storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    /// The item that had to leave.
    pub evicted: Option<CacheKey>,
    /// Whether an older item of the same key was replaced.
    pub replaced: bool,
}

/// Items in slots. Shared between threads by reference; every method may block on the disk.
pub struct SlabStore {
    pub(super) files: Vec<SlabFile>,
    _locks: Vec<DirectoryLock>,
    slot_size: u32,
    pub(super) index: Mutex<Index>,
    pub(super) counters: Counters,
}

impl std::fmt::Debug for SlabStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SlabStore")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl SlabStore {
    /// Opens the store in its directories: locks them, preallocates the files to their sizes, reads all records.
    ///
    /// # Errors
    ///
    /// When a directory is in use, a file is of another version, identity or item size (see [`SlabOptions::reformat`]), or the
    /// space does not suffice; then no file has been changed, unless the space ran out while they were laid out.
    pub fn open(paths: &[SlabPath], options: SlabOptions) -> Result<Self, CacheError> {
        if options.slot_size == 0 || options.slot_size > MAX_SLOT_SIZE {
            return Err(CacheError::BadOptions {
                reason: "the item size must be 1 byte to 16 MiB",
            });
        }
        let header = Header::new(options.slot_size, options.identity);
        let mut locks = Vec::new();
        let mut plans = Vec::new();
        // Everything is looked at before anything is changed: a wrong path must not cost the content of the others.
        for path in paths {
            locks.push(DirectoryLock::acquire(&path.directory)?);
            let found = inspect(&path.directory, header)?;
            if found == Found::OtherSize && !options.reformat {
                return Err(CacheError::Mismatch {
                    path: path.directory.join(FILE_NAME),
                    what: "item size",
                });
            }
            remove_unfinished(&path.directory);
            slots_of(path, options.slot_size)?;
            plans.push((path, found));
        }
        let mut files = Vec::new();
        for (path, found) in plans {
            if found == Found::OtherSize {
                info!(directory = %path.directory.display(), "emptying the slab file for items of another size");
                remove(&path.directory)?;
            }
            // Asked again: the paths before may have taken space of the same file system.
            let slots = slots_of(path, options.slot_size)?;
            files.push(SlabFile::open(&path.directory, header, slots)?);
        }
        Self::with_files(files, locks, options)
    }

    pub(super) fn with_files(
        files: Vec<SlabFile>,
        locks: Vec<DirectoryLock>,
        options: SlabOptions,
    ) -> Result<Self, CacheError> {
        if files.is_empty() || files.len() > usize::from(u16::MAX) {
            return Err(CacheError::BadOptions {
                reason: "a store needs 1 to 65535 paths",
            });
        }
        let mut lanes = Vec::new();
        let mut found = Vec::new();
        for (number, file) in (0..).zip(&files) {
            let scan = file.scan()?;
            lanes.push(Lane {
                free: scan.free,
                slots: file.slots(),
                items: 0,
                io_errors: 0,
                failed: false,
            });
            found.extend(scan.records.into_iter().map(|(slot, record)| Entry {
                place: Place { file: number, slot },
                record,
            }));
        }
        let store = Self {
            files,
            _locks: locks,
            slot_size: options.slot_size,
            index: Mutex::new(Index::new(lanes)),
            counters: Counters::default(),
        };
        store.rebuild(found);
        Ok(store)
    }

    /// Fills the index from the records found. Two records of one key are what a death in the middle of a replacement leaves:
    /// the newer wins if its bytes are whole.
    fn rebuild(&self, mut found: Vec<Entry>) {
        found.sort_by_key(|entry| entry.record.sequence);
        let items = found.len();
        for entry in found {
            let older = self.index.lock().entries.get(&entry.record.key).copied();
            let too_long = entry.record.length > self.slot_size;
            if too_long || (older.is_some() && self.read_checked(&entry).is_none()) {
                warn!(key = %entry.record.key, "dropped a damaged item");
                self.free(entry.place);
                continue;
            }
            let mut index = self.index.lock();
            index.insert(entry);
            index.eviction.restore(entry.record.key);
            drop(index);
            if let Some(older) = older {
                self.free(older.place);
            }
        }
        info!(items, paths = self.files.len(), "slab store opened");
    }

    fn read_checked(&self, entry: &Entry) -> Option<Vec<u8>> {
        let bytes = self.files[usize::from(entry.place.file)]
            .read(entry.place.slot, entry.record.length)
            .ok()?;
        (*blake3::hash(&bytes).as_bytes() == entry.record.hash).then_some(bytes)
    }

    /// Erases the record of a slot that nothing refers to, then lets it be used again. A slot whose record cannot be erased is
    /// retired: its old item must not come back.
    pub(super) fn free(&self, place: Place) {
        match self.files[usize::from(place.file)].clear_record(place.slot) {
            Ok(()) => self.index.lock().release(place),
            Err(error) => self.io_failed(place.file, &error),
        }
    }

    /// Counts an I/O error of a path; past the limit the path is set aside.
    fn io_failed(&self, file: u16, cause: &dyn std::fmt::Display) {
        let path = self.files[usize::from(file)].path().display();
        warn!(%path, %cause, "slab I/O error");
        let mut index = self.index.lock();
        let lane = &mut index.lanes[usize::from(file)];
        lane.io_errors += 1;
        if lane.io_errors >= MAX_IO_ERRORS && !lane.failed {
            let lost = index.fail_lane(file);
            error!(%path, lost, "slab file set aside after repeated I/O errors; check the disk and restart");
        }
    }

    /// Looks an item up and checks its bytes.
    pub fn get(&self, key: &CacheKey) -> Lookup {
        let lookup = self.read(key, SlabFile::read);
        match &lookup {
            Lookup::Hit(_) => {
                count(&self.counters.hits);
                self.index.lock().eviction.touch(key);
            }
            Lookup::Missing => count(&self.counters.misses),
            Lookup::Corrupt => {}
        }
        lookup
    }

    /// The same for a scrub: the bytes come from the medium, not from the page cache, and neither statistics of use nor eviction
    /// notice it.
    pub fn verify(&self, key: &CacheKey) -> Lookup {
        self.read(key, SlabFile::read_uncached)
    }

    /// The same for a reader who says that the item came damaged: the bytes come from where readers get them, and only an item that
    /// really is bad is dropped.
    pub fn recheck(&self, key: &CacheKey) -> Lookup {
        self.read(key, SlabFile::read)
    }

    fn read(&self, key: &CacheKey, read: impl Fn(&SlabFile, u32, u32) -> io::Result<Vec<u8>>) -> Lookup {
        loop {
            let Some(entry) = self.index.lock().entries.get(key).copied() else {
                return Lookup::Missing;
            };
            let Place { file, slot } = entry.place;
            let read = read(&self.files[usize::from(file)], slot, entry.record.length);
            let Record {
                hash,
                epoch,
                sequence,
                ..
            } = entry.record;
            let io_error = match read {
                Ok(bytes) if *blake3::hash(&bytes).as_bytes() == hash => {
                    return Lookup::Hit(StoredItem {
                        bytes: Bytes::from(bytes),
                        hash,
                        epoch,
                    });
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            let mut index = self.index.lock();
            // The slot may have been given to another item while it was read; then this says nothing about ours.
            if index
                .entries
                .get(key)
                .is_none_or(|now| now.record.sequence != sequence)
            {
                continue;
            }
            index.remove(key);
            drop(index);
            count(&self.counters.corrupt);
            match io_error {
                // The slot is retired until the next start.
                Some(error) => self.io_failed(file, &error),
                None => {
                    warn!(%key, path = %self.files[usize::from(file)].path().display(), slot, "dropped a damaged item");
                    self.free(entry.place);
                }
            }
            return Lookup::Corrupt;
        }
    }

    /// Stores an item, replacing one of the same key, evicting another when the store is full.
    ///
    /// # Errors
    ///
    /// When the item is too long or the disk refuses; an older item of the key is then still there.
    pub fn put(&self, key: CacheKey, epoch: u64, bytes: &[u8]) -> Result<PutOutcome, CacheError> {
        self.put_hashed(key, epoch, bytes, *blake3::hash(bytes).as_bytes())
    }

    /// The same with the BLAKE3 hash of the bytes, which the caller has checked.
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn put_hashed(
        &self,
        key: CacheKey,
        epoch: u64,
        bytes: &[u8],
        hash: [u8; 32],
    ) -> Result<PutOutcome, CacheError> {
        let length = match u32::try_from(bytes.len()) {
            Ok(length) if length <= self.slot_size => length,
            _ => {
                return Err(CacheError::ItemTooLong {
                    length: bytes.len(),
                    slot_size: self.slot_size as usize,
                });
            }
        };
        let taken = {
            let mut index = self.index.lock();
            if index.lanes.iter().all(|lane| lane.failed) {
                return Err(CacheError::AllPathsFailed);
            }
            index.take(&key).ok_or(CacheError::Busy)?
        };
        let file = &self.files[usize::from(taken.place.file)];
        let record = Record {
            key,
            length,
            epoch,
            sequence: taken.sequence,
            hash,
            crc: crc_fast::crc32_iscsi(bytes),
        };
        let replaces = self.index.lock().entries.contains_key(&key);
        let write = || {
            if taken.evicted.is_some() {
                count(&self.counters.evictions);
                file.clear_record(taken.place.slot)?;
            }
            file.write(taken.place.slot, record, bytes)?;
            if replaces { file.sync() } else { Ok(()) }
        };
        if let Err(error) = write() {
            self.io_failed(taken.place.file, &error);
            self.free(taken.place);
            return Err(error);
        }
        let older = {
            let mut index = self.index.lock();
            if index.lanes[usize::from(taken.place.file)].failed {
                return Err(CacheError::Busy);
            }
            let older = index.insert(Entry {
                place: taken.place,
                record,
            });
            index.eviction.insert(key);
            older
        };
        if let Some(older) = older {
            self.free(older.place);
        }
        count(&self.counters.puts);
        Ok(PutOutcome {
            evicted: taken.evicted,
            replaced: older.is_some(),
        })
    }

    /// Returns once everything stored is on the disks.
    ///
    /// # Errors
    ///
    /// When a disk refuses.
    pub fn sync(&self) -> Result<(), CacheError> {
        self.files.iter().try_for_each(SlabFile::sync)
    }
}

/// Slots that a path has room for.
fn slots_of(path: &SlabPath, slot_size: u32) -> Result<u64, CacheError> {
    let file_path = path.directory.join(FILE_NAME);
    let own_bytes = std::fs::metadata(&file_path).map_or(0, |metadata| metadata.len());
    let size = capacity::budget(&path.directory, path.size, own_bytes)
        .map_err(|error| CacheError::io("Reading the free space of", &path.directory, error))?;
    let geometry = Geometry::new(slot_size);
    let slots = geometry.slots(size);
    if slots < MIN_SLOTS {
        return Err(CacheError::TooSmall {
            path: path.directory.clone(),
            size,
            minimum: geometry.file_length(MIN_SLOTS),
        });
    }
    Ok(slots)
}

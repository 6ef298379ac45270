//! Counters and sizes of a slab store.

use super::file::SlabFile;
use super::index::Lane;
use super::store::SlabStore;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// State of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStats {
    /// The slab file.
    pub path: PathBuf,
    /// Its slots.
    pub slots: u64,
    /// Slots in use.
    pub items: u64,
    /// I/O errors since the start.
    pub io_errors: u32,
    /// Set aside because of them.
    pub failed: bool,
}

/// State of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabStats {
    /// Lookups that found the item.
    pub hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Items dropped because they were damaged.
    pub corrupt: u64,
    /// Items stored.
    pub puts: u64,
    /// Items that left for others.
    pub evictions: u64,
    /// Items held.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Items among them that are marked to leave first.
    pub released: u64,
    /// Slots of all paths.
    pub slots: u64,
    /// Each path.
    pub paths: Vec<PathStats>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) puts: AtomicU64,
    pub(super) evictions: AtomicU64,
}

/// Counts one event.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl SlabStore {
    /// Lookups that found the item so far: grows while somebody reads.
    pub fn hits(&self) -> u64 {
        self.counters.hits.load(Ordering::Relaxed)
    }

    /// Counters and sizes.
    pub fn stats(&self) -> SlabStats {
        let index = self.index.lock();
        let path_stats = |(file, lane): (&SlabFile, &Lane)| PathStats {
            path: file.path().to_owned(),
            slots: lane.slots,
            items: lane.items,
            io_errors: lane.io_errors,
            failed: lane.failed,
        };
        SlabStats {
            hits: self.counters.hits.load(Ordering::Relaxed),
            misses: self.counters.misses.load(Ordering::Relaxed),
            corrupt: self.counters.corrupt.load(Ordering::Relaxed),
            puts: self.counters.puts.load(Ordering::Relaxed),
            evictions: self.counters.evictions.load(Ordering::Relaxed),
            items: index.entries.len() as u64,
            bytes: index.bytes,
            released: index.eviction.released() as u64,
            slots: index.lanes.iter().map(|lane| lane.slots).sum(),
            paths: self.files.iter().zip(&index.lanes).map(path_stats).collect(),
        }
    }
}

//! What a slab store keeps in memory: where each item lies, which slots are free, and who leaves next.

use super::eviction::S3Fifo;
use super::format::Record;
use crate::item::CacheKey;
use std::collections::BTreeMap;

/// Place of an item: number of the file and slot in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u16,
    pub(super) slot: u32,
}

/// One indexed item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) record: Record,
}

/// State of one file.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) free: Vec<u32>,
    pub(super) slots: u64,
    pub(super) items: u64,
    pub(super) io_errors: u32,
    pub(super) failed: bool,
}

/// The index: one entry an item, and its key twice more in the queues and ghosts of the eviction.
#[derive(Debug)]
pub(super) struct Index {
    /// Sorted, so that inventories and scrubs can go on where they were.
    pub(super) entries: BTreeMap<CacheKey, Entry>,
    pub(super) lanes: Vec<Lane>,
    pub(super) eviction: S3Fifo<CacheKey>,
    pub(super) next_sequence: u64,
    pub(super) bytes: u64,
}

/// A slot taken for a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) place: Place,
    /// The item that left for it; its record is still on the disk.
    pub(super) evicted: Option<CacheKey>,
    pub(super) sequence: u64,
}

impl Index {
    pub(super) fn new(lanes: Vec<Lane>) -> Self {
        let slots: u64 = lanes.iter().map(|lane| lane.slots).sum();
        Self {
            entries: BTreeMap::new(),
            lanes,
            eviction: S3Fifo::new(slots as usize),
            next_sequence: 1,
            bytes: 0,
        }
    }

    /// Puts an item in the index and gives back the one it replaces.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let old = self.entries.insert(entry.record.key, entry);
        self.bytes += u64::from(entry.record.length);
        self.lanes[usize::from(entry.place.file)].items += 1;
        self.next_sequence = self.next_sequence.max(entry.record.sequence.saturating_add(1));
        if let Some(old) = &old {
            self.forget(old);
        }
        old
    }

    /// Takes an item out. Its slot is not free until [`Self::release`].
    pub(super) fn remove(&mut self, key: &CacheKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.eviction.remove(key);
        self.forget(&entry);
        Some(entry)
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= u64::from(entry.record.length);
        self.lanes[usize::from(entry.place.file)].items -= 1;
    }

    /// Takes a slot to write `key` into: a free one of the emptiest file, else that of the item that leaves.
    pub(super) fn take(&mut self, key: &CacheKey) -> Option<Taken> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let emptiest = (0..)
            .zip(&self.lanes)
            .filter(|(_, lane)| !lane.failed && !lane.free.is_empty())
            // Shares compared crosswise: free slots of one against slots of the other.
            .max_by(|(_, a), (_, b)| (a.free.len() as u64 * b.slots).cmp(&(b.free.len() as u64 * a.slots)))
            .map(|(file, _)| file);
        if let Some(file) = emptiest {
            let slot = self.lanes[usize::from(file)].free.pop()?;
            return Some(Taken {
                place: Place { file, slot },
                evicted: None,
                sequence,
            });
        }
        // The item that is being replaced stays until its successor is durable.
        let mut own = false;
        let victim = loop {
            match self.eviction.evict() {
                Some(victim) if victim == *key => own = true,
                victim => break victim,
            }
        };
        if own {
            self.eviction.restore(*key);
        }
        let entry = self.remove(&victim?)?;
        Some(Taken {
            place: entry.place,
            evicted: Some(entry.record.key),
            sequence,
        })
    }

    /// Makes a slot free.
    pub(super) fn release(&mut self, place: Place) {
        let lane = &mut self.lanes[usize::from(place.file)];
        if !lane.failed {
            lane.free.push(place.slot);
        }
    }

    /// Sets a file aside: its items are gone for now, its slots are not used.
    pub(super) fn fail_lane(&mut self, file: u16) -> usize {
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.place.file == file)
            .map(|(key, _)| *key)
            .collect();
        keys.iter().for_each(|key| {
            self.remove(key);
        });
        let lane = &mut self.lanes[usize::from(file)];
        lane.failed = true;
        lane.free = Vec::new();
        keys.len()
    }
}

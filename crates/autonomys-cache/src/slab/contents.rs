//! What a store holds: inventories, scrubs, and what may leave.

use super::store::SlabStore;
use crate::item::{CacheKey, Lookup};
use std::ops::Bound;

impl SlabStore {
    /// All keys with their epochs, ascending.
    pub fn keys(&self) -> Vec<(CacheKey, u64)> {
        self.keys_after(None, usize::MAX)
    }

    /// The first `limit` keys behind `after`, ascending, with their epochs: one page of an inventory.
    pub fn keys_after(&self, after: Option<CacheKey>, limit: usize) -> Vec<(CacheKey, u64)> {
        self.index
            .lock()
            .entries
            .range((start(after), Bound::Unbounded))
            .take(limit)
            .map(|(key, entry)| (*key, entry.record.epoch))
            .collect()
    }

    /// Verifies every item behind `after`, ascending: see [`Self::scrub_next`]. Items that come while the scrub runs are met if their
    /// keys are still ahead.
    pub fn scrub(&self, after: Option<CacheKey>) -> impl Iterator<Item = (CacheKey, bool)> + '_ {
        let mut after = after;
        std::iter::from_fn(move || {
            let found = self.scrub_next(after)?;
            after = Some(found.0);
            Some(found)
        })
    }

    /// Verifies the first item behind `after`: the key, and whether it is good. What is damaged has been dropped when it is reported.
    pub fn scrub_next(&self, after: Option<CacheKey>) -> Option<(CacheKey, bool)> {
        let mut after = after;
        loop {
            let (key, _) = *self.keys_after(after, 1).first()?;
            after = Some(key);
            match self.verify(&key) {
                Lookup::Hit(_) => return Some((key, true)),
                Lookup::Corrupt => return Some((key, false)),
                // It left in between.
                Lookup::Missing => {}
            }
        }
    }

    /// Marks items that this instance need not hold any longer: when space is needed they leave before all others. Until then
    /// they can be read. Storing an item again, or [`Self::claim`], takes its mark away. How many were marked.
    pub fn release(&self, keys: &[CacheKey]) -> usize {
        let mut index = self.index.lock();
        keys.iter().filter(|key| index.eviction.release(key)).count()
    }

    /// Takes the mark of [`Self::release`] away: these items are wanted again.
    pub fn claim(&self, keys: &[CacheKey]) {
        let mut index = self.index.lock();
        keys.iter().for_each(|key| index.eviction.claim(key));
    }

    /// Marks all items that are not wanted and takes the marks of all that are, after the owners have changed. How many are
    /// marked then. Marks are not kept on disk, so this is due after opening as well.
    pub fn release_unless(&self, wanted: impl Fn(&CacheKey) -> bool) -> usize {
        // In pages, so that reads are not held up by the whole list.
        const PAGE: usize = 4096;
        let mut after = None;
        loop {
            let keys = self.keys_after(after, PAGE);
            let Some((last, _)) = keys.last() else { break };
            after = Some(*last);
            let mut index = self.index.lock();
            for (key, _) in &keys {
                match wanted(key) {
                    true => index.eviction.claim(key),
                    false => drop(index.eviction.release(key)),
                }
            }
        }
        self.index.lock().eviction.released()
    }

    /// Whether an item is indexed; its bytes are not read.
    pub fn contains(&self, key: &CacheKey) -> bool {
        self.index.lock().entries.contains_key(key)
    }

    /// Cache epoch of an item.
    pub fn epoch(&self, key: &CacheKey) -> Option<u64> {
        Some(self.index.lock().entries.get(key)?.record.epoch)
    }

    /// Slots of all working paths: what placement takes as the weight of this instance.
    pub fn capacity(&self) -> u64 {
        self.index
            .lock()
            .lanes
            .iter()
            .filter(|lane| !lane.failed)
            .map(|lane| lane.slots)
            .sum()
    }

    /// Drops an item; `true` when there was one.
    pub fn remove(&self, key: &CacheKey) -> bool {
        let removed = self.index.lock().remove(key);
        if let Some(entry) = removed {
            self.free(entry.place);
        }
        removed.is_some()
    }
}

fn start(after: Option<CacheKey>) -> Bound<CacheKey> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

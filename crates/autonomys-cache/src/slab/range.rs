//! Items as ranges of the slab file, for a kernel that sends them without a copy.

use super::stats::count;
use super::store::SlabStore;
use crate::item::CacheKey;
use std::fs::File;
use std::sync::Arc;

/// Where an item lies. Its slot is not held: given to another item, or damaged, it has other bytes, which whoever gets them notices
/// by both checksums.
#[derive(Debug, Clone)]
pub struct SlabRange {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// Where the item begins.
    pub offset: u64,
    /// Bytes of the item.
    pub length: u32,
    /// BLAKE3 of the item.
    pub hash: [u8; 32],
    /// CRC32C of the item.
    pub crc: u32,
    /// Cache epoch it was stored in.
    pub epoch: u64,
}

impl SlabStore {
    /// Looks an item up without reading it; counts as a use. `None` also when only [`get`](Self::get) can give it. Does not block on
    /// the disk.
    pub fn range(&self, key: &CacheKey) -> Option<SlabRange> {
        let mut index = self.index.lock();
        let entry = *index.entries.get(key)?;
        let (place, record) = (entry.place, entry.record);
        if record.crc == 0 {
            return None;
        }
        let (file, offset) = self.files[usize::from(place.file)].place(place.slot)?;
        index.eviction.touch(key);
        drop(index);
        count(&self.counters.hits);
        Some(SlabRange {
            file,
            offset,
            length: record.length,
            hash: record.hash,
            crc: record.crc,
            epoch: record.epoch,
        })
    }
}

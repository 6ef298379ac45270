//! The slab of a sharded cache as epochs change it: what it holds, in which layout, and how it is laid out anew.

use crate::roles::checked_epoch::CheckedEpoch;
use crate::roles::scrub::{Looked, Scrubbed};
use crate::roles::store_items;
use anyhow::{Context, Result};
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::{CacheError, CacheKey, ItemKind, Lookup, SlabOptions, SlabPath, SlabStore, StoredItem};
use autonomys_cluster::settings::CacheSettings;
use autonomys_transfer::{FileRange, Item, ItemKey};
use bytes::Bytes;
use parking_lot::RwLock;
use rand::Rng;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::PIECE_SIZE;
use tokio::sync::Notify;

/// Readers of the old slab end within the time of a disk read.
const READERS_PAUSE: Duration = Duration::from_millis(20);

/// The slab in one layout.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) settings: CacheSettings,
    pub(super) coding: ItemCoding,
    pub(super) slab: Arc<SlabStore>,
}

impl Layout {
    /// Bytes of every item.
    pub(super) fn item_len(&self) -> usize {
        self.coding.item_len(PIECE_SIZE)
    }

    /// Items that are kept at most; one slot stays free for replacements.
    pub(super) fn room(&self) -> u64 {
        self.slab.capacity().saturating_sub(1)
    }

    pub(super) fn is_here(&self, key: &CacheKey) -> bool {
        self.slab.contains(key)
    }

    /// Stores items; a spot of a disk that fails costs its item only, which is fetched again.
    ///
    /// # Errors
    /// When no disk of the cache works any more.
    pub(super) fn put(&self, key: CacheKey, bytes: &Bytes) -> Result<bool> {
        if bytes.len() != self.item_len() {
            tracing::warn!(%key, bytes = bytes.len(), "an item has another length than its item type says");
            return Ok(false);
        }
        match self.slab.put(key, self.settings.epoch, bytes) {
            Ok(_) => Ok(true),
            Err(error @ CacheError::AllPathsFailed) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%key, "an item could not be stored: {error}");
                Ok(false)
            }
        }
    }
}

/// The slab, whatever its layout at the moment.
pub(super) struct Store {
    paths: Vec<SlabPath>,
    identity: [u8; 32],
    /// `None` only while the slab is laid out anew.
    layout: RwLock<Option<Arc<Layout>>>,
    /// Rung when an item was found damaged and dropped.
    pub(super) damaged: Notify,
    pub(super) checked_epoch: CheckedEpoch,
}

impl Store {
    /// Opens the slab for these settings; what was stored in another layout is dropped. Blocking.
    pub(super) fn open(paths: Vec<SlabPath>, identity: [u8; 32], settings: CacheSettings) -> Result<Self> {
        let layout = open(&paths, identity, settings)?;
        let directory = paths.first().map_or(Path::new("."), |path| &path.directory);
        Ok(Self {
            checked_epoch: CheckedEpoch::of(directory),
            paths,
            identity,
            layout: RwLock::new(Some(Arc::new(layout))),
            damaged: Notify::new(),
        })
    }

    /// The slab as it is now; `None` while it is laid out anew.
    pub(super) fn layout(&self) -> Option<Arc<Layout>> {
        self.layout.read().clone()
    }

    /// Goes to these settings. Items that stay the same stay; in another layout the slab is emptied. Blocking.
    pub(super) fn change(&self, settings: CacheSettings) -> Result<Arc<Layout>> {
        let before = self.layout.write().take().context("one change at a time")?;
        let slab = Arc::clone(&before.slab);
        let layout = if before.settings.layout == settings.layout {
            Layout {
                coding: before.coding,
                settings,
                slab,
            }
        } else {
            drop(before);
            slab.sync()?;
            // Readers hold the slab, and with it the lock of the directory, for the length of a read.
            while Arc::strong_count(&slab) > 1 {
                std::thread::sleep(READERS_PAUSE);
            }
            drop(slab);
            open(&self.paths, self.identity, settings)?
        };
        let layout = Arc::new(layout);
        *self.layout.write() = Some(Arc::clone(&layout));
        Ok(layout)
    }

    /// Answers a reader; damage is dropped and fetched again. Blocking.
    pub(super) fn look_up(&self, key: ItemKey) -> Option<Item> {
        let (layout, key) = self.known(key)?;
        self.get(&layout, &key).map(store_items::stored)
    }

    /// Where an item lies for a connection that sends it from the file; its bytes are not looked at. `None` also when only
    /// [`look_up`](Self::look_up) can tell. Does not block on the disk.
    pub(super) fn range(&self, key: ItemKey) -> Option<FileRange> {
        let (layout, key) = self.known(key)?;
        let range = layout.slab.range(&key)?;
        Some(FileRange {
            file: range.file,
            offset: range.offset,
            length: range.length as usize,
            hash: range.hash,
            crc: range.crc,
        })
    }

    /// Looks at an item that a reader calls damaged: if it is, it is dropped and rings. Blocking.
    pub(super) fn recheck(&self, key: ItemKey) {
        if let Some((layout, key)) = self.known(key)
            && matches!(layout.slab.recheck(&key), Lookup::Corrupt)
        {
            self.damaged.notify_one();
        }
    }

    /// The name of an item in the slab as it is laid out now; `None` for items of other layouts.
    pub(super) fn known(&self, key: ItemKey) -> Option<(Arc<Layout>, CacheKey)> {
        let layout = self.layout()?;
        // Items of epochs with the same layout are the same bytes; whole pieces are so in every layout.
        let same = key.epoch == layout.settings.layout || layout.coding.kind() == ItemKind::Piece;
        let key = store_items::cache_key(key);
        if !same || key.kind != layout.coding.kind() {
            return None;
        }
        Some((layout, key))
    }

    /// An item that is right; damage is dropped and rings. Blocking.
    pub(super) fn get(&self, layout: &Layout, key: &CacheKey) -> Option<StoredItem> {
        match layout.slab.get(key) {
            Lookup::Hit(item) => Some(item),
            Lookup::Missing => None,
            Lookup::Corrupt => {
                self.damaged.notify_one();
                None
            }
        }
    }
}

impl Scrubbed for Store {
    type Key = CacheKey;

    fn look_after(&self, after: Option<CacheKey>) -> Option<Looked<CacheKey>> {
        let layout = self.layout()?;
        let (key, good) = layout.slab.scrub_next(after)?;
        if !good {
            self.damaged.notify_one();
        }
        Some(Looked {
            key,
            bytes: layout.item_len() as u64,
            good,
        })
    }

    fn items(&self) -> u64 {
        self.layout().map_or(0, |layout| layout.slab.stats().items)
    }

    fn somewhere(&self) -> Option<CacheKey> {
        let keys = self.layout()?.slab.keys();
        let number = rand::rng().random_range(0..keys.len().max(1));
        keys.get(number).map(|(key, _)| *key)
    }

    fn reads(&self) -> u64 {
        self.layout().map_or(0, |layout| layout.slab.hits())
    }
}

fn open(paths: &[SlabPath], identity: [u8; 32], settings: CacheSettings) -> Result<Layout> {
    let coding: ItemCoding = settings.item_type.parse()?;
    let options = SlabOptions {
        identity,
        slot_size: u32::try_from(coding.item_len(PIECE_SIZE))?,
        // The cluster's item type has changed, maybe while this cache was away: what lies there is of no use.
        reformat: true,
    };
    let slab = SlabStore::open(paths, options)?;
    let mut dropped = 0_u64;
    for (key, epoch) in slab.keys() {
        // Parts of another item type may have the same length, and be other bytes under the same number.
        let other_layout = key.kind != ItemKind::Piece && epoch < settings.layout;
        if key.kind != coding.kind() || other_layout {
            slab.remove(&key);
            dropped += 1;
        }
    }
    if dropped > 0 {
        tracing::info!(
            dropped,
            item_type = settings.item_type,
            "items of another item type are dropped"
        );
    }
    Ok(Layout {
        settings,
        coding,
        slab: Arc::new(slab),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_transfer::ItemKey;
    use subspace_core_primitives::pieces::PieceIndex;

    fn settings(item_type: &str, epoch: u64, layout: u64) -> CacheSettings {
        CacheSettings {
            item_type: item_type.to_owned(),
            epoch,
            layout,
        }
    }

    fn put(layout: &Layout, index: u64, part: u16) -> ItemKey {
        let key = layout.coding.key(PieceIndex::from(index), part);
        let bytes = Bytes::from(vec![part as u8 + 1; layout.item_len()]);
        assert!(layout.put(key, &bytes).unwrap());
        store_items::key_of(key, layout.settings.layout)
    }

    #[test]
    fn items_live_as_long_as_their_layout() {
        let directory = tempfile::tempdir().unwrap();
        let paths = || {
            vec![SlabPath {
                directory: directory.path().to_owned(),
                size: Some(40 * 1024 * 1024),
            }]
        };
        let store = Store::open(paths(), [7; 32], settings("piece", 0, 0)).unwrap();
        let layout = store.layout().unwrap();
        let piece = put(&layout, 5, 0);
        assert!(
            !layout
                .put(
                    layout.coding.key(PieceIndex::from(6), 0),
                    &Bytes::from_static(b"short")
                )
                .unwrap()
        );
        assert!(store.look_up(piece).is_some());
        let pieces = layout.slab.capacity();
        drop(layout);

        // Another epoch, the same items; keys of whole pieces fit every layout.
        store.change(settings("piece", 1, 0)).unwrap();
        assert!(store.look_up(piece).is_some());
        assert!(store.look_up(ItemKey { epoch: 9, ..piece }).is_some());

        let layout = store.change(settings("split-piece:4", 2, 2)).unwrap();
        assert!(layout.slab.capacity() > 3 * pieces, "smaller items, more of them");
        assert!(store.look_up(piece).is_none());
        let part = put(&layout, 5, 3);
        assert!(store.look_up(part).is_some());
        assert!(
            store.look_up(ItemKey { epoch: 0, ..part }).is_none(),
            "of another layout"
        );
        drop(layout);

        // The same length and kind, but other bytes under the same numbers.
        let layout = store.change(settings("split-parity-piece:4+2", 3, 3)).unwrap();
        assert_eq!(layout.slab.stats().items, 0);
        let parity = put(&layout, 5, 3);
        drop(layout);
        let layout = store.change(settings("split-parity-piece:4+3", 4, 4)).unwrap();
        assert_eq!(layout.slab.stats().items, 0);
        assert!(store.look_up(ItemKey { epoch: 4, ..parity }).is_none());
        let kept = put(&layout, 6, 1);
        drop((layout, store));

        // Away while the cluster went on.
        let store = Store::open(paths(), [7; 32], settings("split-parity-piece:4+3", 5, 4)).unwrap();
        assert!(store.look_up(kept).is_some());
        drop(store);
        let store = Store::open(paths(), [7; 32], settings("piece", 6, 6)).unwrap();
        assert_eq!(store.layout().unwrap().slab.stats().items, 0);
    }
}

//! Inventory and repair of a sharded cache.

use super::fill::Filler;
use super::store::Store;
use crate::roles::cache_control::{Contents, page_of};
use crate::roles::placement::PlacementReceiver;
use crate::roles::store_items::{cache_item, cache_key, item_key};
use anyhow::{Context, Result};
use autonomys_cluster::messages::CacheItem;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::Arc;

/// What the requests are answered from.
pub(super) struct Control {
    store: Arc<Store>,
    filler: Filler,
    placement: PlacementReceiver,
    /// The listing whose pages are being asked for: 16 bytes an item, from the first page to the last.
    listing: Mutex<Option<Arc<Vec<CacheItem>>>>,
}

impl Control {
    pub(super) fn new(store: Arc<Store>, filler: Filler, placement: PlacementReceiver) -> Self {
        Self {
            store,
            filler,
            placement,
            listing: Mutex::default(),
        }
    }

    fn list(&self) -> Arc<Vec<CacheItem>> {
        let keys = self.store.layout().map(|layout| layout.slab.keys());
        let mut items: Vec<_> = keys
            .unwrap_or_default()
            .into_iter()
            .map(|(key, _)| cache_item(key))
            .collect();
        items.sort_unstable();
        Arc::new(items)
    }
}

impl Contents for Control {
    fn epoch(&self) -> (u64, u64) {
        self.store
            .layout()
            .map_or((0, 0), |layout| (layout.settings.epoch, layout.settings.layout))
    }

    fn page(&self, after: Option<CacheItem>, limit: usize) -> (Vec<CacheItem>, bool) {
        let kept = self.listing.lock().take().filter(|_| after.is_some());
        let listing = kept.unwrap_or_else(|| self.list());
        let (items, more) = page_of(&listing, after, limit);
        if more {
            *self.listing.lock() = Some(listing);
        }
        (items, more)
    }

    fn repair(self: Arc<Self>, items: Vec<CacheItem>) -> BoxFuture<'static, Result<Vec<CacheItem>>> {
        async move {
            let layout = self.store.layout().context("the cache is being laid out anew")?;
            let placement = self.placement.borrow().clone();
            let placement = placement.context("there is no shard map yet")?;
            let keys: Vec<_> = items
                .iter()
                .filter_map(|item| Some(cache_key(item_key(*item, layout.settings.layout)?)))
                .filter(|key| key.kind == layout.coding.kind() && key.shard < layout.coding.parts())
                .collect();
            let (slab, dropped) = (Arc::clone(&layout.slab), keys.clone());
            let drop_all = move || dropped.iter().filter(|key| slab.remove(key)).count();
            tokio::task::spawn_blocking(drop_all).await?;
            self.filler.fill(&layout, &placement, keys).await?;
            let store = Arc::clone(&self.store);
            let good = move || {
                let is_good = |item: &CacheItem| {
                    let key = item_key(*item, layout.settings.layout).map(cache_key);
                    key.is_some_and(|key| store.get(&layout, &key).is_some())
                };
                items.into_iter().filter(is_good).collect()
            };
            Ok(tokio::task::spawn_blocking(good).await?)
        }
        .boxed()
    }
}

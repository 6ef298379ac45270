//! Inventory and repair of a sharded cache.

use super::fill::Filler;
use super::store::Store;
use crate::roles::cache_control::Contents;
use crate::roles::placement::PlacementReceiver;
use crate::roles::store_items::{cache_item, cache_key, item_key};
use anyhow::{Context, Result};
use autonomys_cache::{CacheKey, ItemKind};
use autonomys_cluster::messages::CacheItem;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::cmp::Ordering;
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;

/// What the requests are answered from.
pub(super) struct Control {
    store: Arc<Store>,
    filler: Filler,
    placement: PlacementReceiver,
}

impl Control {
    pub(super) fn new(store: Arc<Store>, filler: Filler, placement: PlacementReceiver) -> Self {
        Self {
            store,
            filler,
            placement,
        }
    }
}

/// The last key of a kind that is not behind a name; `None` when all are.
fn key_at(name: CacheItem, kind: ItemKind) -> Option<CacheKey> {
    let last_of = |piece_index: u64| CacheKey {
        kind,
        piece_index: PieceIndex::new(piece_index),
        shard: u16::MAX,
    };
    match name.kind.cmp(&(kind as u8)) {
        Ordering::Less => name.piece_index.checked_sub(1).map(last_of),
        Ordering::Equal => Some(CacheKey {
            shard: name.shard,
            ..last_of(name.piece_index)
        }),
        Ordering::Greater => Some(last_of(name.piece_index)),
    }
}

impl Contents for Control {
    fn epoch(&self) -> (u64, u64) {
        self.store
            .layout()
            .map_or((0, 0), |layout| (layout.settings.epoch, layout.settings.layout))
    }

    fn page(&self, after: Option<CacheItem>, limit: usize) -> (Vec<CacheItem>, bool) {
        let Some(layout) = self.store.layout() else {
            return (Vec::new(), false);
        };
        // A slab holds items of one kind only, which its index has in the order of their names.
        let after = after.and_then(|after| key_at(after, layout.coding.kind()));
        let mut keys = layout.slab.keys_after(after, limit + 1);
        let more = keys.len() > limit;
        keys.truncate(limit);
        (keys.into_iter().map(|(key, _)| cache_item(key)).collect(), more)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_say_where_a_listing_goes_on() {
        let name = |piece_index, kind, shard| CacheItem {
            piece_index,
            kind,
            shard,
        };
        let kind = ItemKind::SplitPiece;
        let key = |piece_index: u64, shard| CacheKey {
            kind,
            piece_index: piece_index.into(),
            shard,
        };
        assert_eq!(key_at(name(7, 2, 3), kind), Some(key(7, 3)));
        assert_eq!(key_at(name(7, 1, 3), kind), Some(key(6, u16::MAX)));
        assert_eq!(key_at(name(7, 3, 0), kind), Some(key(7, u16::MAX)));
        assert_eq!(key_at(name(0, 1, 9), kind), None);
        // Whatever is behind the name is behind the key, and nothing else.
        for (piece, shard) in [(5, 9), (6, 0), (6, u16::MAX), (7, 0), (7, 3), (7, 4), (8, 0)] {
            for after in [name(7, 1, 3), name(7, 2, 3), name(7, 3, 0), name(6, 2, u16::MAX)] {
                let item = cache_item(key(piece, shard));
                assert_eq!(
                    item > after,
                    key_at(after, kind) < Some(key(piece, shard)),
                    "{item:?} {after:?}"
                );
            }
        }
    }
}

//! Items that a cache is given instead of fetching them, by an import: taken if they are of its share and there is room.

use super::store::Store;
use crate::roles::placement::PlacementReceiver;
use autonomys_transfer::{ErrorCode, Item, ItemKey, ItemSink, Refusal};
use futures::future::BoxFuture;
use std::sync::Arc;

/// Where given items go. Whoever gives them has checked them against the chain, as the members do that caches fetch from.
pub(super) struct SlabSink {
    pub(super) store: Arc<Store>,
    pub(super) placement: PlacementReceiver,
    pub(super) own_id: String,
}

impl ItemSink for SlabSink {
    fn put(&self, key: ItemKey, item: Item) -> BoxFuture<'static, Result<(), Refusal>> {
        let (store, placement, own_id) = (
            Arc::clone(&self.store),
            self.placement.clone(),
            self.own_id.clone(),
        );
        Box::pin(async move {
            let work = move || take(&store, &placement, &own_id, key, &item);
            tokio::task::spawn_blocking(work)
                .await
                .unwrap_or_else(|_| Err(Refusal::new(ErrorCode::Internal, "storing the item failed")))
        })
    }
}

/// Stores an item, unless it is here. Blocking.
fn take(
    store: &Store,
    placement: &PlacementReceiver,
    own_id: &str,
    key: ItemKey,
    item: &Item,
) -> Result<(), Refusal> {
    let refused = |reason: &str| Err(Refusal::new(ErrorCode::Refused, format!("{key}: {reason}")));
    let Some((layout, key_here)) = store.known(key) else {
        return refused("the caches of this cluster hold items of another type");
    };
    let is_ours = placement.borrow().as_ref().is_some_and(|placement| {
        let mut owners = placement.current().owners(key_here.piece_index);
        owners.any(|(part, owner)| part == key_here.shard && owner.id == own_id)
    });
    if !is_ours {
        return refused("it is not of this cache's share");
    }
    if layout.is_here(&key_here) {
        return Ok(());
    }
    // What is here was chosen by its age: it does not leave for what happens to be given.
    if layout.slab.stats().items >= layout.room() {
        return refused("this cache has no room for it");
    }
    match layout.put(key_here, item.bytes()) {
        Ok(true) => Ok(()),
        Ok(false) => refused("it has another length than items of this type, or the disk has failed"),
        Err(error) => Err(Refusal::new(ErrorCode::Internal, format!("{error:#}"))),
    }
}

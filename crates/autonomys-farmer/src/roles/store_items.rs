//! Pieces of a store as the data plane sees them.

use autonomys_cache::StoredItem;
use autonomys_transfer::{Item, ItemKey, ItemKind, ItemSource};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;

/// Pieces read from the disk side by side for one reader.
const READS_IN_FLIGHT: usize = 4;

/// Looks pieces up with a function that may block; it gives only pieces whose hash was right.
pub(crate) struct StoreItems<F>(Arc<F>);

impl<F: Fn(PieceIndex) -> Option<StoredItem> + Send + Sync + 'static> StoreItems<F> {
    pub(crate) fn new(look_up: F) -> Self {
        Self(Arc::new(look_up))
    }
}

impl<F: Fn(PieceIndex) -> Option<StoredItem> + Send + Sync + 'static> ItemSource for StoreItems<F> {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let reads: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let look_up = Arc::clone(&self.0);
                async move {
                    if key.kind != ItemKind::Piece {
                        return (key, None);
                    }
                    let read = move || look_up(PieceIndex::from(key.piece_index));
                    let found = tokio::task::spawn_blocking(read).await.ok().flatten();
                    (key, found.map(|item| Item::with_hash(item.bytes, item.hash)))
                }
            })
            .collect();
        futures::stream::iter(reads)
            .buffer_unordered(READS_IN_FLIGHT)
            .boxed()
    }
}

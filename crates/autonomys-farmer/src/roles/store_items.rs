//! Items of a cache as the data plane sees them, and the names they go by on either side.

use super::placement::PlacementReceiver;
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::{CacheKey, StoredItem};
use autonomys_cluster::messages::CacheItem;
use autonomys_transfer::{Item, ItemKey, ItemKind, ItemSource};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;

/// Items read from the disk side by side for one reader.
pub(crate) const READS_IN_FLIGHT: usize = 4;

/// Looks items up with a function that may block; it gives only items whose hash was right.
pub(crate) struct StoreItems<F>(Arc<F>);

impl<F: Fn(ItemKey) -> Option<Item> + Send + Sync + 'static> StoreItems<F> {
    pub(crate) fn new(look_up: F) -> Self {
        Self(Arc::new(look_up))
    }
}

impl<F: Fn(ItemKey) -> Option<Item> + Send + Sync + 'static> ItemSource for StoreItems<F> {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let reads: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let look_up = Arc::clone(&self.0);
                async move {
                    let found = tokio::task::spawn_blocking(move || look_up(key)).await;
                    (key, found.ok().flatten())
                }
            })
            .collect();
        futures::stream::iter(reads)
            .buffer_unordered(READS_IN_FLIGHT)
            .boxed()
    }
}

/// An item with the hash that its store keeps.
pub(crate) fn stored(item: StoredItem) -> Item {
    Item::with_hash(item.bytes, item.hash)
}

/// What somebody who holds whole pieces gives for a key: the piece, or a part of it in the item type that the cluster uses now.
/// Computes; not for the runtime.
pub(crate) fn from_whole(
    key: ItemKey,
    placement: &PlacementReceiver,
    piece: impl FnOnce(PieceIndex) -> Option<Item>,
) -> Option<Item> {
    let index = PieceIndex::from(key.piece_index);
    if key.kind == ItemKind::Piece {
        return piece(index);
    }
    let coding = {
        let placement = placement.borrow();
        let placement = placement.as_ref()?;
        (placement.layout() == key.epoch).then(|| placement.coding())?
    };
    if coding.kind() != key.kind {
        return None;
    }
    let item = piece(index)?;
    // The piece comes from a disk: its hash has to be right before another is computed.
    if blake3::hash(item.bytes()).as_bytes() != item.hash() {
        return None;
    }
    part(&coding, item.bytes(), key.shard).map(Item::new)
}

/// One part of a piece.
pub(crate) fn part(coding: &ItemCoding, piece: &[u8], part: u16) -> Option<Bytes> {
    let parts = coding
        .encode(piece)
        .inspect_err(|error| tracing::warn!(%error, "a piece cannot be coded"))
        .ok()?;
    parts.into_iter().nth(usize::from(part))
}

/// The key under which an item of an inventory is asked for; `None` for a kind that this release does not know.
pub(crate) fn item_key(item: CacheItem, layout: u64) -> Option<ItemKey> {
    let kind = ItemKind::from_number(item.kind)?;
    Some(ItemKey {
        kind,
        // Whole pieces are the same in every layout.
        epoch: if kind == ItemKind::Piece { 0 } else { layout },
        piece_index: item.piece_index,
        shard: item.shard,
    })
}

/// The data plane's key of a stored item.
pub(crate) fn key_of(key: CacheKey, layout: u64) -> ItemKey {
    ItemKey {
        kind: key.kind,
        epoch: if key.kind == ItemKind::Piece { 0 } else { layout },
        piece_index: u64::from(key.piece_index),
        shard: key.shard,
    }
}

/// The store's key of an item of the data plane.
pub(crate) fn cache_key(key: ItemKey) -> CacheKey {
    CacheKey {
        kind: key.kind,
        piece_index: PieceIndex::from(key.piece_index),
        shard: key.shard,
    }
}

/// The name of a stored item in messages.
pub(crate) fn cache_item(key: CacheKey) -> CacheItem {
    CacheItem {
        piece_index: u64::from(key.piece_index),
        kind: key.kind as u8,
        shard: key.shard,
    }
}

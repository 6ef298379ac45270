//! What a full-piece cache serves: pieces as ranges of their segment's file once they have been read and checked here, which the kernel
//! sends; what is asked for the first time, and parts of pieces, from memory.

use super::archive::Archive;
use crate::roles::placement::PlacementReceiver;
use crate::roles::store_items::{READS_IN_FLIGHT, StoreItems, from_whole};
use autonomys_transfer::{FileRange, Item, ItemKey, ItemKind, ItemSource, Served};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;

/// The pieces of an archive, and parts of them in the item type that the cluster uses now.
#[derive(Clone)]
pub(super) struct ArchiveItems {
    pub(super) archive: Arc<Archive>,
    pub(super) placement: PlacementReceiver,
}

impl ArchiveItems {
    /// Reads, checks and may compute; blocking.
    fn item(&self, key: ItemKey) -> Option<Item> {
        from_whole(key, &self.placement, |index| self.archive.get(index))
    }

    /// The same; opens a file or reads, blocking.
    fn served(&self, key: ItemKey) -> Option<Served> {
        let range =
            (key.kind == ItemKind::Piece).then(|| self.archive.range(PieceIndex::from(key.piece_index)));
        match range.flatten() {
            Some(range) => Some(Served::Range(FileRange {
                file: range.file,
                offset: range.offset,
                length: range.length as usize,
                hash: range.hash,
                crc: range.crc,
            })),
            None => self.item(key).map(Served::Item),
        }
    }
}

impl ItemSource for ArchiveItems {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let this = self.clone();
        StoreItems::new(move |key| this.item(key)).get(keys)
    }

    fn serve(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Served>)> {
        let reads: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let this = self.clone();
                async move {
                    let found = tokio::task::spawn_blocking(move || this.served(key)).await;
                    (key, found.ok().flatten())
                }
            })
            .collect();
        futures::stream::iter(reads)
            .buffer_unordered(READS_IN_FLIGHT)
            .boxed()
    }

    fn damaged(&self, key: ItemKey) -> BoxFuture<'static, ()> {
        let this = self.clone();
        Box::pin(async move {
            // Reading notes damage for repair; a lie costs the read. A panic has been reported by its thread.
            let look = move || drop(this.archive.get(PieceIndex::from(key.piece_index)));
            let _ = tokio::task::spawn_blocking(look).await;
        })
    }
}

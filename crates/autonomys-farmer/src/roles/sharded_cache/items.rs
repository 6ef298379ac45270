//! What a sharded cache serves: ranges of its slab file where the kernel can send them, else bytes that it has checked itself.

use super::store::Store;
use crate::roles::store_items::{READS_IN_FLIGHT, StoreItems};
use autonomys_transfer::{Item, ItemKey, ItemSource, Served};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::sync::Arc;

/// The items of a cache's slab.
pub(super) struct SlabItems(pub(super) Arc<Store>);

impl ItemSource for SlabItems {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let store = Arc::clone(&self.0);
        StoreItems::new(move |key| store.look_up(key)).get(keys)
    }

    fn serve(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Served>)> {
        let reads: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let store = Arc::clone(&self.0);
                async move {
                    if let Some(range) = store.range(key) {
                        return (key, Some(Served::Range(range)));
                    }
                    let found = tokio::task::spawn_blocking(move || store.look_up(key)).await;
                    (key, found.ok().flatten().map(Served::Item))
                }
            })
            .collect();
        futures::stream::iter(reads)
            .buffer_unordered(READS_IN_FLIGHT)
            .boxed()
    }

    fn damaged(&self, key: ItemKey) -> BoxFuture<'static, ()> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            // A panic has been reported by its thread; the item stays as it is.
            let _ = tokio::task::spawn_blocking(move || store.recheck(key)).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cache::SlabPath;
    use autonomys_cluster::settings::CacheSettings;
    use autonomys_transfer::{Handlers, Peer, Pool, PoolOptions, Server, SessionKey, TransferError};
    use bytes::Bytes;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;
    use subspace_core_primitives::pieces::PieceIndex;
    use tokio::time::{Instant, timeout};
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_bit_that_flips_in_the_slab_reaches_nobody_and_the_item_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = SlabPath {
            directory: directory.path().to_owned(),
            size: Some(20 * 1024 * 1024),
        };
        let settings = CacheSettings {
            item_type: "piece".to_owned(),
            epoch: 0,
            layout: 0,
        };
        let store = Arc::new(Store::open(vec![path], [7; 32], settings).unwrap());
        let layout = store.layout().unwrap();
        let pieces = (0..3).map(|index| {
            let bytes = Bytes::from(vec![index as u8 + 1; layout.item_len()]);
            let key = layout.coding.key(PieceIndex::from(index), 0);
            assert!(layout.put(key, &bytes).unwrap());
            (ItemKey::piece(0, index), bytes)
        });
        let pieces: Vec<_> = pieces.collect();
        let key = SessionKey::random();
        let handlers = Handlers {
            items: Arc::new(SlabItems(Arc::clone(&store))),
            ..Handlers::default()
        };
        let cancel = CancellationToken::new();
        let server = Server::bind("127.0.0.1:0", key, handlers, cancel.clone())
            .await
            .unwrap();
        let peer = Peer {
            member: "cache".to_owned(),
            address: server.local_addr(),
            session_key: key,
        };
        let pool = Pool::new(PoolOptions::default(), cancel);
        let get = async || -> Vec<_> {
            let keys = pieces.iter().map(|(key, _)| *key).collect();
            let deadline = Instant::now() + Duration::from_secs(20);
            let mut got: Vec<_> = pool.get(&peer, keys, deadline).await.unwrap().collect().await;
            // Answers come in any order.
            got.sort_by_key(|answer| match answer {
                Ok((key, _)) | Err(TransferError::CorruptItem { key }) => key.piece_index,
                Err(_) => u64::MAX,
            });
            got
        };
        let good = |index: usize| Ok((pieces[index].0, Some(pieces[index].1.clone())));
        assert!(get().await.into_iter().eq((0..3).map(good)));

        let bad = pieces[1].0;
        // A lie drops nothing.
        store.recheck(bad);
        let range = store.range(bad).unwrap();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(directory.path().join("slab.bin"))
            .unwrap();
        file.write_all_at(&[0xff], range.offset + 500_000).unwrap();
        let got = get().await;
        assert!(
            got.into_iter()
                .eq([good(0), Err(TransferError::CorruptItem { key: bad }), good(2)])
        );
        // The cache was told, looked for itself, and would fetch the item again.
        timeout(Duration::from_secs(20), store.damaged.notified())
            .await
            .unwrap();
        assert_eq!(layout.slab.stats().items, 2);
        assert!(get().await.into_iter().eq([good(0), Ok((bad, None)), good(2)]));
        server.shutdown().await;
    }
}

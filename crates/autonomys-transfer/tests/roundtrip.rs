//! Whole conversations over real sockets: items, sectors, refusals, concurrency, restarts.

mod common;

use autonomys_transfer::limits::MAX_ITEM_LEN;
use autonomys_transfer::{
    ErrorCode, Handlers, Item, ItemKey, ItemKind, ItemSource, Peer, Refusal, SectorChunk, SessionKey,
    TransferError,
};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[tokio::test]
async fn items_travel_both_ways() {
    let memory = Memory::with_pieces(40, 1_048_672);
    let server = serve(memory.handlers()).await;
    let (pool, peer) = (pool(), peer(&server));
    let keys: Vec<_> = (0..45).map(|index| ItemKey::piece(1, index)).collect();
    let items: HashMap<_, _> = pool
        .get(&peer, keys.clone(), deadline())
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(items.len(), 45);
    for key in keys {
        let expected = (key.piece_index < 40).then(|| content(key.piece_index, 1_048_672));
        assert_eq!(items[&key], expected, "{key}");
    }
    let key = ItemKey {
        kind: ItemKind::SplitParityPiece,
        epoch: 2,
        piece_index: 5,
        shard: 3,
    };
    for length in [8, MAX_ITEM_LEN] {
        pool.put(&peer, key, Item::new(content(5, length)), deadline())
            .await
            .unwrap();
        let got: Vec<_> = pool
            .get(&peer, vec![key], deadline())
            .await
            .unwrap()
            .collect()
            .await;
        assert_eq!(got, [Ok((key, Some(content(5, length))))]);
    }
    let stats = pool.stats("member", server.local_addr()).unwrap();
    assert_eq!((stats.requests, stats.answers, stats.failures), (5, 42, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn a_sector_travels_in_ranges_and_is_acknowledged() {
    let memory = Memory::with_pieces(0, 0);
    let sector: Bytes = (0..20_000_003u32).map(|number| (number / 7) as u8).collect();
    memory
        .sectors
        .lock()
        .unwrap()
        .insert(sector_key(1), sector.clone());
    let server = serve(memory.handlers()).await;
    let (pool, peer) = (pool(), peer(&server));
    for (offset, length) in [
        (0, u64::MAX),
        (5, 3_000_000),
        (19_999_999, 4),
        (19_999_999, 400),
        (20_000_003, 10),
        (7, 0),
    ] {
        let chunks = pool
            .get_sector_range(&peer, sector_key(1), offset, length, deadline())
            .await
            .unwrap();
        let mut next = offset;
        let mut bytes = Vec::new();
        let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
        for SectorChunk {
            offset,
            sector_len,
            data,
        } in chunks
        {
            assert_eq!((offset, sector_len), (next, 20_000_003));
            next += data.len() as u64;
            bytes.extend_from_slice(&data);
        }
        let end = offset.saturating_add(length).min(20_000_003) as usize;
        assert!(bytes == sector[offset as usize..end], "range {offset}, {length}");
    }
    let code = async |index, offset| {
        let mut stream = pool
            .get_sector_range(&peer, sector_key(index), offset, 1, deadline())
            .await
            .unwrap();
        match stream.next().await.unwrap() {
            Err(TransferError::Refused(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code(1, 20_000_004).await, ErrorCode::OutOfRange);
    assert_eq!(code(2, 0).await, ErrorCode::NotFound);
    pool.ack(&peer, sector_key(1), deadline()).await.unwrap();
    pool.ack(&peer, sector_key(1), deadline()).await.unwrap();
    assert_eq!(code(1, 0).await, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_a_role_does_not_serve_is_refused_by_name() {
    let server = serve(Handlers::default()).await;
    let (pool, peer) = (pool(), peer(&server));
    let refused = |error| {
        matches!(
            error,
            TransferError::Refused(Refusal {
                code: ErrorCode::NotServed,
                ..
            })
        )
    };
    let mut items = pool
        .get(&peer, vec![ItemKey::piece(0, 0)], deadline())
        .await
        .unwrap();
    assert!(refused(items.next().await.unwrap().unwrap_err()));
    assert!(items.next().await.is_none());
    let item = Item::new(content(1, 10));
    assert!(refused(
        pool.put(&peer, ItemKey::piece(0, 0), item, deadline())
            .await
            .unwrap_err()
    ));
    assert!(refused(
        pool.ack(&peer, sector_key(0), deadline()).await.unwrap_err()
    ));
    let mut chunks = pool
        .get_sector_range(&peer, sector_key(0), 0, 1, deadline())
        .await
        .unwrap();
    assert!(refused(chunks.next().await.unwrap().unwrap_err()));
    for keys in [
        vec![],
        vec![ItemKey::piece(0, 0); 2],
        (0..257).map(|index| ItemKey::piece(0, index)).collect(),
    ] {
        assert!(matches!(
            pool.get(&peer, keys, deadline()).await,
            Err(TransferError::BadRequest { .. })
        ));
    }
}

/// Holds back odd pieces until told; panics on piece 13, gives a wrong hash for 14, strange and too long answers for 15 and 16.
struct Odd {
    release: Arc<Notify>,
    dropped: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl ItemSource for Odd {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let release = self.release.clone();
        let alive = CountDrop(self.dropped.clone());
        stream::iter(keys)
            .then(move |key| {
                let (release, _alive) = (release.clone(), &alive);
                async move {
                    match key.piece_index {
                        13 => panic!("a bug in a source"),
                        14 => (key, Some(Item::with_hash(content(14, 100), [0; 32]))),
                        15 => (ItemKey::piece(99, 99), None),
                        16 => (key, Some(Item::new(vec![0; MAX_ITEM_LEN + 1].into()))),
                        odd if odd % 2 == 1 => {
                            release.notified().await;
                            (key, Some(Item::new(content(odd, 100))))
                        }
                        even => (key, Some(Item::new(content(even, 100)))),
                    }
                }
            })
            .boxed()
    }
}

fn odd() -> (Arc<Notify>, Arc<AtomicUsize>, Handlers) {
    let (release, dropped) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let source = Odd {
        release: release.clone(),
        dropped: dropped.clone(),
    };
    (
        release,
        dropped,
        Handlers {
            items: Arc::new(source),
            ..Handlers::default()
        },
    )
}

#[tokio::test]
async fn answers_come_in_any_order_on_one_connection() {
    let (release, _, handlers) = odd();
    let server = serve(handlers).await;
    let (pool, peer) = (pool(), peer(&server));
    let mut slow = pool
        .get(&peer, vec![ItemKey::piece(1, 1)], deadline())
        .await
        .unwrap();
    for even in (0..12).step_by(2) {
        let key = ItemKey::piece(1, even);
        let got: Vec<_> = pool
            .get(&peer, vec![key], deadline())
            .await
            .unwrap()
            .collect()
            .await;
        assert_eq!(got, [Ok((key, Some(content(even, 100))))]);
    }
    assert!(futures::poll!(slow.next()).is_pending());
    release.notify_one();
    assert_eq!(slow.next().await.unwrap().unwrap().1, Some(content(1, 100)));
    assert_eq!(pool.len(), 1);
}

#[tokio::test]
async fn a_faulty_source_fails_its_own_items_only() {
    let (_, _, handlers) = odd();
    let server = serve(handlers).await;
    let (pool, peer) = (pool(), peer(&server));
    let get = async |indexes: &[u64]| -> Vec<_> {
        let keys = indexes.iter().map(|&index| ItemKey::piece(1, index)).collect();
        pool.get(&peer, keys, deadline()).await.unwrap().collect().await
    };
    let (twelve, fourteen, fifteen, sixteen) = (
        ItemKey::piece(1, 12),
        ItemKey::piece(1, 14),
        ItemKey::piece(1, 15),
        ItemKey::piece(1, 16),
    );
    assert_eq!(
        get(&[14, 12, 15, 16]).await,
        [
            Err(TransferError::CorruptItem { key: fourteen }),
            Ok((twelve, Some(content(12, 100)))),
            Ok((sixteen, None)),
            Ok((fifteen, None)),
        ]
    );
    let panicked = get(&[12, 13]).await;
    assert!(
        matches!(&panicked[1], Err(TransferError::Refused(refusal)) if refusal.code == ErrorCode::Internal)
    );
    assert_eq!(get(&[12]).await, [Ok((twelve, Some(content(12, 100))))]);
    assert_eq!(
        pool.stats("member", server.local_addr()).unwrap().failures,
        0,
        "one connection served it all"
    );
}

#[tokio::test]
async fn deadlines_and_dropped_streams_cancel_at_the_server() {
    let (_, dropped, handlers) = odd();
    let server = serve(handlers).await;
    let (pool, peer) = (pool(), peer(&server));
    let soon = Instant::now() + Duration::from_millis(50);
    let mut items = pool.get(&peer, vec![ItemKey::piece(1, 1)], soon).await.unwrap();
    assert_eq!(items.next().await, Some(Err(TransferError::DeadlineExceeded)));
    assert!(items.next().await.is_none());
    eventually("the first cancellation", || dropped.load(Ordering::SeqCst) == 1).await;
    // Far more than the connection allows at once: each cancellation has to free its place.
    for round in 0..200 {
        let items = pool
            .get(&peer, vec![ItemKey::piece(1, 2 * round + 21)], deadline())
            .await
            .unwrap();
        drop(items);
    }
    let got: Vec<_> = pool
        .get(&peer, vec![ItemKey::piece(1, 2)], deadline())
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(got.len(), 1);
    eventually("everything cancelled", || Arc::strong_count(&dropped) == 2).await;
    assert_eq!(pool.stats("member", server.local_addr()).unwrap().failures, 0);
}

#[tokio::test]
async fn many_requests_share_credit_without_stalling() {
    let memory = Memory::with_pieces(64, 700_000);
    let server = serve(memory.handlers()).await;
    let (pool, peer) = (pool(), peer(&server));
    let tasks: Vec<_> = (0..24)
        .map(|task| {
            let (pool, peer) = (pool.clone(), peer.clone());
            tokio::spawn(async move {
                let keys = (0..32)
                    .map(|index| ItemKey::piece(1, (index + task) % 64))
                    .collect();
                let items = pool.get(&peer, keys, deadline()).await.unwrap();
                items
                    .map(|item| item.unwrap().1.unwrap().len())
                    .collect::<Vec<_>>()
                    .await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), [700_000; 32]);
    }
}

#[tokio::test]
async fn a_restarted_member_is_found_again_and_a_dead_one_backs_off() {
    let memory = Memory::with_pieces(2, 100);
    let server = serve(memory.handlers()).await;
    let (pool, mut peer) = (pool(), peer(&server));
    let address = server.local_addr();
    let get = async |peer: &Peer| {
        pool.get(peer, vec![ItemKey::piece(1, 1)], deadline())
            .await?
            .next()
            .await
            .unwrap()
    };
    assert!(get(&peer).await.is_ok());
    server.shutdown().await;
    // The first request may still find the dying connection; then connecting fails; then the pool does not even try.
    let mut backing_off = false;
    for _ in 0..20 {
        let error = get(&peer).await.unwrap_err();
        backing_off |= matches!(error, TransferError::BackingOff { .. });
    }
    assert!(backing_off);
    let key = SessionKey::from([43; 32]);
    let server = autonomys_transfer::Server::bind(address, key, memory.handlers(), Default::default())
        .await
        .unwrap();
    // The old key is refused by the new process; its new key is tried at once.
    let wrong = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match get(&peer).await {
                Err(TransferError::AuthenticationFailed) => break,
                Err(TransferError::BackingOff { retry_in, .. }) => tokio::time::sleep(retry_in).await,
                other => panic!("{other:?}"),
            }
        }
    });
    wrong.await.unwrap();
    peer.session_key = key;
    assert_eq!(
        get(&peer).await,
        Ok((ItemKey::piece(1, 1), Some(content(1, 100))))
    );
    server.shutdown().await;
}

#[tokio::test]
async fn the_pool_is_bounded_and_closes_the_oldest_idle_connection() {
    let memory = Memory::with_pieces(1, 100);
    let server = serve(memory.handlers()).await;
    let options = autonomys_transfer::PoolOptions {
        max_connections: 2,
        ..Default::default()
    };
    let pool = autonomys_transfer::Pool::new(options, Default::default());
    let named = |name: &str| Peer {
        member: name.to_owned(),
        ..peer(&server)
    };
    for name in ["a", "b", "a", "c", "a"] {
        let items = pool
            .get(&named(name), vec![ItemKey::piece(1, 0)], deadline())
            .await
            .unwrap();
        assert_eq!(items.count().await, 1);
    }
    assert_eq!(pool.len(), 2);
    assert!(pool.stats("b", server.local_addr()).is_none());
    assert_eq!(pool.stats("a", server.local_addr()).unwrap().requests, 3);
}

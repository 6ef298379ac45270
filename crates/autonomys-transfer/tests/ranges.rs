//! Items as ranges of files: the same bytes, and what happens when the file has others.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use autonomys_transfer::frame::FrameKind;
use autonomys_transfer::limits::MAX_ITEM_LEN;
use autonomys_transfer::message::{damaged_frame, decode_item};
use autonomys_transfer::{
    FetchOptions, FileRange, Handlers, Item, ItemKey, ItemSource, Outcome, Peer, Pool, PoolOptions, Served,
    ServerOptions, Source, TransferError, Want,
};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LENGTH: usize = 300_001;

/// A store of one file, items back to back, that looks for itself when damage is reported.
struct Store {
    file: Arc<File>,
    ranges: Vec<FileRange>,
    dropped: Mutex<HashSet<u64>>,
    reports: Mutex<Vec<u64>>,
}

impl Store {
    fn new(count: u64) -> Arc<Self> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ranges = (0..count).map(|index| {
            let (bytes, offset) = (content(index, LENGTH), index * LENGTH as u64 + 77);
            file.write_all_at(&bytes, offset).unwrap();
            FileRange {
                file: file.clone(),
                offset,
                length: LENGTH,
                hash: *blake3::hash(&bytes).as_bytes(),
                crc: crc32c::crc32c(&bytes),
            }
        });
        Arc::new(Self {
            ranges: ranges.collect(),
            file: file.clone(),
            dropped: Mutex::default(),
            reports: Mutex::default(),
        })
    }

    fn flip(&self, index: u64) {
        let mut byte = [0];
        let at = self.ranges[index as usize].offset + 1234;
        self.file.read_exact_at(&mut byte, at).unwrap();
        self.file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }

    fn range(&self, index: u64) -> Option<FileRange> {
        let dropped = self.dropped.lock().unwrap().contains(&index);
        self.ranges.get(index as usize).filter(|_| !dropped).cloned()
    }

    fn read(&self, index: u64) -> Option<Item> {
        let range = self.range(index)?;
        let mut bytes = vec![0; range.length];
        range.file.read_exact_at(&mut bytes, range.offset).ok()?;
        Some(Item::with_hash(bytes.into(), range.hash))
    }
}

struct Handler(Arc<Store>);

impl ItemSource for Handler {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let store = self.0.clone();
        stream::iter(keys)
            .map(move |key| (key, store.read(key.piece_index)))
            .boxed()
    }

    fn serve(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Served>)> {
        let store = self.0.clone();
        stream::iter(keys)
            .map(move |key| (key, store.range(key.piece_index).map(Served::Range)))
            .boxed()
    }

    fn damaged(&self, key: ItemKey) -> BoxFuture<'static, ()> {
        let store = self.0.clone();
        Box::pin(async move {
            let index = key.piece_index;
            store.reports.lock().unwrap().push(index);
            let good = store
                .read(index)
                .is_some_and(|item| blake3::hash(item.bytes()) == *item.hash());
            if !good {
                store.dropped.lock().unwrap().insert(index);
            }
        })
    }
}

fn handlers(store: &Arc<Store>) -> Handlers {
    Handlers {
        items: Arc::new(Handler(store.clone())),
        ..Handlers::default()
    }
}

async fn get(pool: &Pool, peer: &Peer, count: u64) -> Vec<Result<(ItemKey, Option<Bytes>), TransferError>> {
    let keys = (0..count).map(|index| ItemKey::piece(1, index)).collect();
    pool.get(peer, keys, deadline()).await.unwrap().collect().await
}

fn good(index: u64) -> Result<(ItemKey, Option<Bytes>), TransferError> {
    Ok((ItemKey::piece(1, index), Some(content(index, LENGTH))))
}

fn corrupt(index: u64) -> Result<(ItemKey, Option<Bytes>), TransferError> {
    let key = ItemKey::piece(1, index);
    Err(TransferError::CorruptItem { key })
}

#[tokio::test]
async fn ranges_arrive_as_the_same_bytes_with_and_without_tls() {
    let store = Store::new(100);
    for tls in [false, true] {
        let options = ServerOptions {
            tls,
            ..ServerOptions::default()
        };
        let server = serve_with(handlers(&store), options).await;
        let options = PoolOptions {
            tls,
            ..PoolOptions::default()
        };
        let pool = Pool::new(options, CancellationToken::new());
        // More than sockets and windows hold, so that sending stops and goes on many times.
        let got = get(&pool, &peer(&server), 100).await;
        assert!(got.into_iter().eq((0..100).map(good)));
    }
    assert!(store.reports.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_cold_file_is_sent_as_well() {
    let store = Store::new(20);
    store.file.sync_all().unwrap();
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    posix_fadvise(&*store.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    let server = serve(handlers(&store)).await;
    assert!(
        get(&pool(), &peer(&server), 20)
            .await
            .into_iter()
            .eq((0..20).map(good))
    );
}

#[tokio::test]
async fn a_flipped_bit_costs_one_item_and_is_reported_and_the_next_source_serves() {
    let (bad, whole) = (Store::new(5), Store::new(5));
    bad.flip(2);
    let (server, other) = (serve(handlers(&bad)).await, serve(handlers(&whole)).await);
    let (pool, peer, other) = (pool(), peer(&server), peer(&other));
    let got = get(&pool, &peer, 5).await;
    assert!(
        got.into_iter()
            .eq([good(0), good(1), corrupt(2), good(3), good(4)])
    );
    eventually("the report", || bad.dropped.lock().unwrap().contains(&2)).await;
    let got = get(&pool, &peer, 3).await;
    assert!(
        got.into_iter()
            .eq([good(0), good(1), Ok((ItemKey::piece(1, 2), None))])
    );
    assert_eq!(
        pool.stats("member", peer.address).unwrap().failures,
        0,
        "one connection"
    );

    bad.flip(4);
    let key = ItemKey::piece(1, 4);
    let sources = [&peer, &other].map(|peer| Source {
        peer: Arc::new(peer.clone()),
        key,
    });
    let want = Want {
        need: 1,
        spare: 0,
        sources: sources.to_vec(),
    };
    let mut fetch = pool.fetch(vec![want], FetchOptions::until(deadline()));
    let fetched = fetch.next().await.unwrap();
    assert_eq!(fetched.items, [(key, content(4, LENGTH))]);
    assert_eq!(
        fetched.asked[0].outcome,
        Outcome::Failed(TransferError::CorruptItem { key })
    );
    assert_eq!(fetched.asked[1].outcome, Outcome::Delivered);
    eventually("the second report", || bad.dropped.lock().unwrap().contains(&4)).await;
}

#[tokio::test]
async fn a_file_that_ends_early_costs_its_items_only() {
    let store = Store::new(4);
    let end = store.ranges[2].offset + 1000;
    store.file.set_len(end).unwrap();
    let server = serve(handlers(&store)).await;
    let (pool, peer) = (pool(), peer(&server));
    let got = get(&pool, &peer, 4).await;
    assert!(got.into_iter().eq([good(0), good(1), corrupt(2), corrupt(3)]));
    assert!(get(&pool, &peer, 2).await.into_iter().eq([good(0), good(1)]));
    assert_eq!(pool.stats("member", peer.address).unwrap().failures, 0);
}

#[tokio::test]
async fn lies_drop_nothing_and_nonsense_ends_the_connection() {
    let store = Store::new(3);
    let server = serve(handlers(&store)).await;
    let mut liar = raw_client(&server).await;
    for index in [0, 1, 2, 9] {
        let report = damaged_frame(&ItemKey::piece(1, index));
        write(&mut liar, report).await;
    }
    write(&mut liar, common::get(1, WINDOW, [0, 1, 2])).await;
    for index in 0..3 {
        let (_, payload) = read(&mut liar).await.unwrap();
        let (position, _, bytes) = decode_item(payload).unwrap();
        assert_eq!((position, bytes), (index, content(u64::from(index), LENGTH)));
    }
    eventually("a look at a report", || !store.reports.lock().unwrap().is_empty()).await;
    assert!(!store.dropped.lock().unwrap().iter().any(|&index| index < 3));
    let mut short = damaged_frame(&ItemKey::piece(1, 0));
    short.head = short.head.slice(..18);
    write(&mut liar, short).await;
    assert_eq!(
        fatal_error(&mut liar).await,
        autonomys_transfer::ErrorCode::Malformed
    );
}

#[tokio::test]
async fn a_slot_that_gets_another_item_while_it_is_sent_gives_no_wrong_byte() {
    let store = Store::new(60);
    let server = serve(handlers(&store)).await;
    let mut slow = raw_client(&server).await;
    write(
        &mut slow,
        common::get(1, (60 * LENGTH + MAX_ITEM_LEN) as u32, 0..60),
    )
    .await;
    // The first has begun to arrive; what does not fit into the sockets is still in the file.
    slow.readable().await.unwrap();
    for range in &store.ranges {
        store
            .file
            .write_all_at(&vec![0xab; LENGTH], range.offset)
            .unwrap();
    }
    let limit = Duration::from_secs(10);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..60 {
        let header = autonomys_transfer::frame::read_header(&mut slow, limit, limit);
        let header = header.await.unwrap().unwrap();
        assert_eq!(header.kind, FrameKind::Item);
        let mut payload = vec![0; header.payload_len as usize];
        tokio::io::AsyncReadExt::read_exact(&mut slow, &mut payload)
            .await
            .unwrap();
        let same = crc32c::crc32c(&payload) == header.payload_crc;
        let (position, hash, bytes) = decode_item(payload.into()).unwrap();
        assert_eq!(same, blake3::hash(&bytes) == hash);
        if same {
            assert_eq!(bytes, content(position.into(), LENGTH));
        }
        *if same { &mut right } else { &mut wrong } += 1;
    }
    assert!(wrong > 0, "{right} items arrived before they were overwritten");
}

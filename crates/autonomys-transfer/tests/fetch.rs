//! Fetching from several peers over real sockets: what is missing, damaged, late or dead at one comes from another.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::frame::{Frame, FrameKind};
use autonomys_transfer::limits::MAX_ITEM_LEN;
use autonomys_transfer::message::{Get, skip_frame};
use autonomys_transfer::{
    FetchOptions, Fetched, Handlers, Item, ItemKey, ItemKind, ItemSource, Outcome, Peer, Pool, Server,
    Source, TransferError, Want,
};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const LENGTH: usize = 5000;

/// A place that has everything, except where it is told otherwise, and remembers what it was asked for.
struct Place {
    missing: HashSet<u64>,
    corrupt: HashSet<u64>,
    length: usize,
    stuck: AtomicBool,
    /// Answers that a stuck place may still give.
    permits: Semaphore,
    asked: Mutex<HashMap<ItemKey, usize>>,
    requests: AtomicUsize,
    streams: Arc<()>,
}

impl Place {
    fn new() -> Self {
        Self {
            missing: HashSet::new(),
            corrupt: HashSet::new(),
            length: LENGTH,
            stuck: AtomicBool::new(false),
            permits: Semaphore::new(0),
            asked: Mutex::default(),
            requests: AtomicUsize::new(0),
            streams: Arc::default(),
        }
    }

    fn stick(&self) {
        self.stuck.store(true, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }

    fn open_streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }
}

struct Shared(Arc<Place>);

impl ItemSource for Shared {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let (place, alive) = (self.0.clone(), self.0.streams.clone());
        place.requests.fetch_add(1, Ordering::SeqCst);
        for key in &keys {
            *place.asked.lock().unwrap().entry(*key).or_default() += 1;
        }
        stream::iter(keys)
            .then(move |key| {
                let (place, alive) = (place.clone(), alive.clone());
                async move {
                    let _alive = alive;
                    if place.stuck.load(Ordering::SeqCst) {
                        place.permits.acquire().await.unwrap().forget();
                    }
                    let index = key.piece_index;
                    if place.missing.contains(&index) {
                        return (key, None);
                    }
                    let bytes = item_content(&key, place.length);
                    let item = if place.corrupt.contains(&index) {
                        Item::with_hash(bytes, [0; 32])
                    } else {
                        Item::new(bytes)
                    };
                    (key, Some(item))
                }
            })
            .boxed()
    }
}

fn item_content(key: &ItemKey, length: usize) -> Bytes {
    content(key.piece_index * 100 + u64::from(key.shard), length)
}

struct Running {
    place: Arc<Place>,
    peer: Arc<Peer>,
    server: Server,
}

async fn start(name: &str, place: Place) -> Running {
    let place = Arc::new(place);
    let server = serve(Handlers {
        items: Arc::new(Shared(place.clone())),
        ..Handlers::default()
    })
    .await;
    let peer = Arc::new(Peer {
        member: name.to_owned(),
        ..peer(&server)
    });
    Running { place, peer, server }
}

/// A peer at whose address nobody listens.
async fn dead() -> Arc<Peer> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Arc::new(Peer {
        member: "dead".to_owned(),
        address: listener.local_addr().unwrap(),
        session_key: KEY.into(),
    })
}

fn whole(index: u64, peers: &[&Arc<Peer>]) -> Want {
    let source = |peer: &&Arc<Peer>| Source {
        peer: Arc::clone(peer),
        key: ItemKey::piece(1, index),
    };
    Want {
        need: 1,
        spare: 0,
        sources: peers.iter().map(source).collect(),
    }
}

fn options() -> FetchOptions {
    FetchOptions::until(deadline())
}

async fn fetch_all(pool: &Pool, wants: Vec<Want>, options: FetchOptions) -> Vec<Fetched> {
    let count = wants.len();
    let mut fetched: Vec<_> = pool.fetch(wants, options).collect().await;
    fetched.sort_by_key(|fetched| fetched.want);
    let numbers: Vec<_> = fetched.iter().map(|fetched| fetched.want).collect();
    assert_eq!(
        numbers,
        (0..count).collect::<Vec<_>>(),
        "each want comes back once"
    );
    for (key, bytes) in fetched.iter().flat_map(|fetched| &fetched.items) {
        assert_eq!(*bytes, item_content(key, bytes.len()), "{key}");
    }
    fetched
}

fn outcomes(fetched: &Fetched) -> Vec<(usize, Outcome)> {
    fetched
        .asked
        .iter()
        .map(|asked| (asked.source, asked.outcome.clone()))
        .collect()
}

/// Gives the pool enough latencies of a peer to know its percentiles.
async fn acquaint(pool: &Pool, running: &Running) {
    for index in 0..20 {
        let key = ItemKey::piece(9, index);
        let items = pool.get(&running.peer, vec![key], deadline()).await.unwrap();
        assert_eq!(items.count().await, 1);
    }
    running.place.asked.lock().unwrap().clear();
    running.place.requests.store(0, Ordering::SeqCst);
}

#[tokio::test]
async fn many_items_come_in_batches_and_each_is_asked_of_one_place() {
    let (a, b) = (start("a", Place::new()).await, start("b", Place::new()).await);
    let pool = pool();
    let wants = (0..600)
        .map(|index| match index % 2 {
            0 => whole(index, &[&a.peer, &b.peer]),
            _ => whole(index, &[&b.peer, &a.peer]),
        })
        .collect();
    let few_bytes = FetchOptions {
        item_len: LENGTH,
        ..options()
    };
    let fetched = fetch_all(&pool, wants, few_bytes).await;
    assert!(
        fetched
            .iter()
            .all(|fetched| fetched.complete && fetched.items.len() == 1)
    );
    let hedges = fetched
        .iter()
        .flat_map(|fetched| &fetched.asked)
        .filter(|asked| asked.hedge)
        .count();
    assert_eq!(a.place.asked() + b.place.asked(), 600 + hedges);
    let requests = a.place.requests.load(Ordering::SeqCst) + b.place.requests.load(Ordering::SeqCst);
    assert!(requests <= 60 + hedges, "{requests} requests for 600 items");
    let asked = &fetched[0].asked[0];
    assert_eq!((asked.bytes, asked.peer.member.as_str()), (LENGTH, "a"));
    // Two wants for the same thing are two wants.
    let twice = fetch_all(&pool, vec![whole(3, &[&a.peer]), whole(3, &[&a.peer])], options()).await;
    assert!(twice.iter().all(|fetched| fetched.complete));
    assert!(fetch_all(&pool, Vec::new(), options()).await.is_empty());
}

#[tokio::test]
async fn what_one_place_lacks_or_spoils_comes_from_the_next() {
    let mut place = Place::new();
    place.missing = [1].into();
    place.corrupt = [2].into();
    let (bad, good) = (start("bad", place).await, start("good", Place::new()).await);
    let mut place = Place::new();
    place.length = 2 * LENGTH;
    let long = start("long", place).await;
    let (pool, dead) = (pool(), dead().await);
    let wants = vec![
        whole(0, &[&bad.peer, &good.peer]),
        whole(1, &[&bad.peer, &good.peer]),
        whole(2, &[&bad.peer, &good.peer]),
        whole(3, &[&dead, &good.peer]),
        whole(4, &[&long.peer, &good.peer]),
        whole(1, &[&bad.peer, &dead]),
    ];
    let exact = FetchOptions {
        item_len: LENGTH,
        ..options()
    };
    let fetched = fetch_all(&pool, wants, exact).await;
    let complete: Vec<_> = fetched.iter().map(|fetched| fetched.complete).collect();
    assert_eq!(complete, [true, true, true, true, true, false]);
    assert_eq!(outcomes(&fetched[0]), [(0, Outcome::Delivered)]);
    assert_eq!(
        outcomes(&fetched[1]),
        [(0, Outcome::Missing), (1, Outcome::Delivered)]
    );
    let corrupt = TransferError::CorruptItem {
        key: ItemKey::piece(1, 2),
    };
    assert_eq!(
        outcomes(&fetched[2]),
        [(0, Outcome::Failed(corrupt)), (1, Outcome::Delivered)]
    );
    assert!(matches!(
        outcomes(&fetched[3])[..],
        [
            (0, Outcome::Failed(TransferError::Io { .. })),
            (1, Outcome::Delivered)
        ]
    ));
    assert!(matches!(
        outcomes(&fetched[4])[..],
        [
            (0, Outcome::Failed(TransferError::ItemTooLong { .. })),
            (1, Outcome::Delivered)
        ]
    ));
    assert_eq!(fetched[5].asked.len(), 2);
}

#[tokio::test]
async fn a_peer_later_than_usual_is_hedged_and_what_it_owes_is_cancelled() {
    let (slow, quick) = (
        start("slow", Place::new()).await,
        start("quick", Place::new()).await,
    );
    let pool = pool();
    acquaint(&pool, &slow).await;
    slow.place.stick();
    let wants = (0..10)
        .map(|index| whole(index, &[&slow.peer, &quick.peer]))
        .collect();
    let fetched = fetch_all(&pool, wants, options()).await;
    for fetched in &fetched {
        assert!(fetched.complete);
        let last = fetched.asked.last().unwrap();
        assert_eq!(
            (last.peer.member.as_str(), &last.outcome),
            ("quick", &Outcome::Delivered)
        );
    }
    let hedged = fetched
        .iter()
        .filter(|fetched| fetched.asked.len() == 2)
        .inspect(|fetched| {
            assert_eq!(fetched.asked[0].outcome, Outcome::NotNeeded);
            assert!(fetched.asked[1].hedge && fetched.asked[0].latency >= Duration::from_millis(20));
        });
    assert!(hedged.count() > 0);
    eventually("the slow peer's requests are cancelled", || {
        slow.place.open_streams() == 0
    })
    .await;
    // One wants more from a peer while others wait for it: someone else is asked first.
    assert_eq!(pool.stats("slow", slow.peer.address).unwrap().failures, 0);
}

fn split(index: u64, places: &[Running], need: usize, spare: usize) -> Want {
    let source = |(shard, running): (usize, &Running)| Source {
        peer: running.peer.clone(),
        key: ItemKey {
            kind: ItemKind::SplitParityPiece,
            epoch: 1,
            piece_index: index,
            shard: shard as u16,
        },
    };
    Want {
        need,
        spare,
        sources: places.iter().enumerate().map(source).collect(),
    }
}

#[tokio::test]
async fn any_k_of_n_parts_will_do() {
    let mut places = Vec::new();
    for number in 0..6 {
        places.push(start(&number.to_string(), Place::new()).await);
    }
    let pool = pool();
    for place in &places {
        acquaint(&pool, place).await;
    }
    // The spare stands in for one stuck peer from the first moment on.
    places[2].place.stick();
    let wants = (0..50).map(|index| split(index, &places, 4, 1)).collect();
    let fetched = fetch_all(&pool, wants, options()).await;
    let hedges = fetched
        .iter()
        .flat_map(|fetched| &fetched.asked)
        .filter(|asked| asked.hedge)
        .count();
    for fetched in &fetched {
        let keys: HashSet<_> = fetched.items.iter().map(|(key, _)| *key).collect();
        assert!(fetched.complete && keys.len() == 4 && fetched.items.len() == 4);
        assert!(fetched.items.iter().all(|(key, _)| key.shard != 2));
    }
    let asked: usize = places.iter().map(|place| place.place.asked()).sum();
    assert!(asked <= 50 * 5 + hedges, "{asked} asked, {hedges} hedges");
    eventually("nothing is left open", || {
        places.iter().all(|place| place.place.open_streams() == 0)
    })
    .await;
    // Two more are gone: three parts are not enough, and that is known without waiting for the stuck one.
    let mut places: Vec<_> = places.into_iter().collect();
    for place in places.drain(3..5) {
        place.server.shutdown().await;
        let fetched = fetch_all(&pool, vec![], options()).await;
        assert!(fetched.is_empty());
    }
    let fetched = fetch_all(&pool, vec![split(1, &places, 5, 0)], options()).await;
    assert!(!fetched[0].complete && fetched[0].asked.is_empty());
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_until_somebody_takes_them() {
    let mut place = Place::new();
    place.length = 1_000_000;
    let running = start("a", place).await;
    let pool = pool();
    let wants: Vec<_> = (0..40).map(|index| whole(index, &[&running.peer])).collect();
    let four = FetchOptions {
        bytes_in_flight: 4_000_000,
        item_len: 1_000_000,
        ..options()
    };
    let mut fetch = pool.fetch(wants, four);
    for taken in 0..40 {
        eventually("the next are fetched", || {
            running.place.asked() == (taken + 4).min(40)
        })
        .await;
        assert!(fetch.next().await.unwrap().complete);
    }
    assert!(fetch.next().await.is_none());
    // A want larger than all of the room still goes, alone.
    let tiny = FetchOptions {
        bytes_in_flight: 10,
        item_len: MAX_ITEM_LEN,
        ..options()
    };
    let fetched = fetch_all(
        &pool,
        vec![whole(1, &[&running.peer]), whole(2, &[&running.peer])],
        tiny,
    )
    .await;
    assert!(fetched.iter().all(|fetched| fetched.complete));
}

#[tokio::test]
async fn a_hung_peer_fails_after_its_time_and_the_deadline_ends_all() {
    let running = start("hung", Place::new()).await;
    running.place.stick();
    let pool = pool();
    let short = FetchOptions {
        item_deadline: Duration::from_millis(100),
        ..options()
    };
    let fetched = fetch_all(&pool, vec![whole(0, &[&running.peer])], short).await;
    assert_eq!(
        outcomes(&fetched[0]),
        [(0, Outcome::Failed(TransferError::DeadlineExceeded))]
    );
    let soon = FetchOptions {
        bytes_in_flight: 2 * MAX_ITEM_LEN,
        ..FetchOptions::until(Instant::now() + Duration::from_millis(100))
    };
    let wants = (0..5).map(|index| whole(index, &[&running.peer])).collect();
    let fetched = fetch_all(&pool, wants, soon).await;
    assert!(
        fetched
            .iter()
            .all(|fetched| !fetched.complete && fetched.items.is_empty())
    );
    assert_eq!(
        fetched.iter().filter(|fetched| !fetched.asked.is_empty()).count(),
        2
    );
    // Who failed is asked last from then on.
    let (hung, quick) = (
        start("hung too", Place::new()).await,
        start("quick", Place::new()).await,
    );
    hung.place.stick();
    let one_at_a_time = FetchOptions {
        bytes_in_flight: 1,
        ..short
    };
    let wants = (0..10)
        .map(|index| whole(index, &[&hung.peer, &quick.peer]))
        .collect();
    let fetched = fetch_all(&pool, wants, one_at_a_time).await;
    assert!(fetched.iter().all(|fetched| fetched.complete));
    assert_eq!((hung.place.asked(), quick.place.asked()), (1, 10));
    // A peer that is slow but gives something now and then has not hung.
    let patient = FetchOptions {
        item_deadline: Duration::from_secs(5),
        ..options()
    };
    let mut fetch = pool.fetch(
        (10..14).map(|index| whole(index, &[&running.peer])).collect(),
        patient,
    );
    for _ in 0..4 {
        running.place.permits.add_permits(1);
        assert!(fetch.next().await.unwrap().complete);
    }
    // Dropping a fetch cancels what it asked for.
    let fetch = pool.fetch(
        (20..30).map(|index| whole(index, &[&running.peer])).collect(),
        options(),
    );
    eventually("the peer is asked", || running.place.open_streams() > 0).await;
    drop(fetch);
    eventually("everything is cancelled", || running.place.open_streams() == 0).await;
}

/// Passes connections on, with another number of keys in the server's `Welcome`.
async fn fewer_keys(running: &Running, max_keys: u8) -> Arc<Peer> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer {
        address: listener.local_addr().unwrap(),
        ..(*running.peer).clone()
    };
    let address = running.peer.address;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move {
                for kind in [
                    FrameKind::Hello,
                    FrameKind::Challenge,
                    FrameKind::Auth,
                    FrameKind::Welcome,
                ] {
                    let from_client = matches!(kind, FrameKind::Hello | FrameKind::Auth);
                    let (from, to) = if from_client {
                        (&mut client, &mut server)
                    } else {
                        (&mut server, &mut client)
                    };
                    let (header, payload) = read(from).await.unwrap();
                    assert_eq!(header.kind, kind);
                    let payload = match kind {
                        FrameKind::Welcome => vec![64, 0, max_keys, 0].into(),
                        _ => payload,
                    };
                    write(to, Frame::small(kind, 0, payload)).await;
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    Arc::new(peer)
}

#[tokio::test]
async fn a_peer_that_takes_few_keys_gets_small_requests() {
    let running = start("a", Place::new()).await;
    let peer = fewer_keys(&running, 2).await;
    let pool = pool();
    let wants = (0..20).map(|index| whole(index, &[&peer])).collect();
    let fetched = fetch_all(&pool, wants, options()).await;
    assert!(fetched.iter().all(|fetched| fetched.complete));
    assert!(running.place.requests.load(Ordering::SeqCst) >= 10);
    let three = (0..3).map(|index| ItemKey::piece(1, index)).collect();
    assert_eq!(
        pool.get(&peer, three, deadline()).await.unwrap_err(),
        TransferError::TooManyKeys { limit: 2 }
    );
}

#[tokio::test]
async fn skipped_items_are_answered_without_their_bytes() {
    let running = start("a", Place::new()).await;
    running.place.stick();
    let mut stream = raw_client(&running.server).await;
    let keys = (0..3).map(|index| ItemKey::piece(1, index)).collect();
    let window = 8 * MAX_ITEM_LEN as u32;
    write(&mut stream, Get { window, keys }.to_frame(1)).await;
    write(&mut stream, skip_frame(1, &[1])).await;
    // Known once the ping behind it is answered.
    write(&mut stream, Frame::small(FrameKind::Ping, 5, Vec::new())).await;
    assert_eq!(read(&mut stream).await.unwrap().0.kind, FrameKind::Pong);
    running.place.permits.add_permits(3);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(read(&mut stream).await.unwrap().0.kind);
    }
    assert_eq!(kinds, [FrameKind::Item, FrameKind::Missing, FrameKind::Item]);
    // Skipping in a request that has ended is nothing; a position that no request has ends the connection.
    write(&mut stream, skip_frame(1, &[0])).await;
    write(&mut stream, skip_frame(1, &[256])).await;
    assert_eq!(
        fatal_error(&mut stream).await,
        autonomys_transfer::ErrorCode::Malformed
    );
}

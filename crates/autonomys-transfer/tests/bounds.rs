//! Peers that stall, flood or never take: memory, connections and time stay within the stated bounds.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::frame::{Frame, FrameKind};
use autonomys_transfer::limits::{
    CONNECTION_SEND_CREDIT, MAX_ITEM_LEN, MAX_REQUESTS_PER_CONNECTION, Timeouts,
};
use autonomys_transfer::message::{decode_error, put_frame, skip_frame};
use autonomys_transfer::{
    ErrorCode, Handlers, Item, ItemKey, ItemSink, ItemSource, Peer, Pool, PoolOptions, Refusal, Server,
    ServerOptions, TransferError,
};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Megabytes given out, alive at this moment, and alive at most.
#[derive(Default)]
struct Counts {
    given: AtomicUsize,
    alive: AtomicUsize,
    peak: AtomicUsize,
}

/// A buffer that knows when the last reference to it is gone.
struct Megabyte(Vec<u8>, Arc<Counts>);

impl AsRef<[u8]> for Megabyte {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Megabyte {
    fn drop(&mut self) {
        self.1.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Counting(Arc<Counts>);

impl ItemSource for Counting {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let counts = self.0.clone();
        stream::iter(keys)
            .map(move |key| {
                counts.given.fetch_add(1, Ordering::SeqCst);
                counts
                    .peak
                    .fetch_max(counts.alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let bytes = Bytes::from_owner(Megabyte(vec![1; 1 << 20], counts.clone()));
                // The hash is not what these tests are about, and a gigabyte of it would be slow.
                (key, Some(Item::with_hash(bytes, [0; 32])))
            })
            .boxed()
    }
}

#[tokio::test]
async fn a_reader_that_stops_costs_the_stated_credit_and_is_dropped() {
    let counts = Arc::new(Counts::default());
    let handlers = Handlers {
        items: Arc::new(Counting(counts.clone())),
        ..Handlers::default()
    };
    let timeouts = Timeouts {
        progress: Duration::from_millis(500),
        ..Timeouts::default()
    };
    let server = serve_with(
        handlers,
        ServerOptions {
            timeouts,
            ..ServerOptions::default()
        },
    )
    .await;
    let mut stream = raw_client(&server).await;
    // 32 requests of 32 megabytes, each with the largest window, and then not one byte read.
    for id in 1..=32 {
        write(&mut stream, get(id, 64 * 1024 * 1024, 0..32)).await;
    }
    eventually("the credit is used up", || {
        counts.alive.load(Ordering::SeqCst) > 10
    })
    .await;
    // Nobody reads, so the server gives up, and everything is freed.
    eventually("the connection is given up", || {
        counts.alive.load(Ordering::SeqCst) == 0
    })
    .await;
    let (peak, given) = (
        counts.peak.load(Ordering::SeqCst),
        counts.given.load(Ordering::SeqCst),
    );
    assert!(
        peak << 20 <= CONNECTION_SEND_CREDIT,
        "{peak} megabytes held for a reader that reads nothing"
    );
    assert!(
        given < 32 * 32 / 4,
        "{given} megabytes read for a reader that reads nothing"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn without_credit_nothing_more_is_sent() {
    let counts = Arc::new(Counts::default());
    let server = serve(Handlers {
        items: Arc::new(Counting(counts.clone())),
        ..Handlers::default()
    })
    .await;
    let mut stream = raw_client(&server).await;
    write(&mut stream, get(1, 2 * MAX_ITEM_LEN as u32, 0..10)).await;
    let mut items = 0;
    // The pong is behind everything that the window allowed.
    for id in 100..104 {
        write(&mut stream, Frame::small(FrameKind::Ping, id, Vec::new())).await;
    }
    let mut pongs = 0;
    while pongs < 4 || items < 2 {
        match read(&mut stream).await.unwrap().0.kind {
            FrameKind::Item => items += 1,
            FrameKind::Pong => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((items, counts.given.load(Ordering::SeqCst)), (2, 2));
    write(
        &mut stream,
        Frame::small(FrameKind::Credit, 1, (64u32 << 20).to_le_bytes().to_vec()),
    )
    .await;
    while items < 10 {
        assert_eq!(read(&mut stream).await.unwrap().0.kind, FrameKind::Item);
        items += 1;
    }
    // Credit for a request that has ended is nothing; credit beyond the limit ends the connection.
    write(
        &mut stream,
        Frame::small(FrameKind::Credit, 1, u32::MAX.to_le_bytes().to_vec()),
    )
    .await;
    write(&mut stream, get(2, 2 * MAX_ITEM_LEN as u32, 0..10)).await;
    write(
        &mut stream,
        Frame::small(FrameKind::Credit, 2, u32::MAX.to_le_bytes().to_vec()),
    )
    .await;
    assert_eq!(fatal_error(&mut stream).await, ErrorCode::Malformed);
}

/// Never answers.
struct Silent;

impl ItemSource for Silent {
    fn get(&self, _keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        stream::pending().boxed()
    }
}

#[tokio::test]
async fn a_flood_of_requests_is_refused_one_by_one() {
    let server = serve(Handlers {
        items: Arc::new(Silent),
        ..Handlers::default()
    })
    .await;
    let mut stream = raw_client(&server).await;
    let flood = 500u32;
    for id in 1..=flood {
        write(&mut stream, get(id, WINDOW, [0])).await;
    }
    for expected in MAX_REQUESTS_PER_CONNECTION as u32 + 1..=flood {
        let (header, payload) = read(&mut stream).await.unwrap();
        assert_eq!((header.kind, header.request_id), (FrameKind::Error, expected));
        assert_eq!(decode_error(payload).unwrap().code, ErrorCode::TooManyRequests);
    }
    // A cancelled request frees its place; an id in use is the end.
    write(&mut stream, Frame::small(FrameKind::Cancel, 1, Vec::new())).await;
    write(&mut stream, get(1, WINDOW, [0])).await;
    write(&mut stream, get(2, WINDOW, [0])).await;
    assert_eq!(fatal_error(&mut stream).await, ErrorCode::Malformed);
}

#[tokio::test]
async fn silence_is_bounded_in_every_phase() {
    // Long enough for an honest handshake on a loaded machine.
    let short = Duration::from_millis(500);
    let timeouts = Timeouts {
        handshake: short,
        progress: short,
        idle: short,
        ping: short,
    };
    let options = ServerOptions {
        timeouts,
        max_pending_handshakes: 2,
        ..ServerOptions::default()
    };
    let server = serve_with(Memory::with_pieces(1, 10).handlers(), options).await;
    let closed = async |stream: &mut TcpStream| {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the server waits for ever");
    };
    let mut silent = TcpStream::connect(server.local_addr()).await.unwrap();
    closed(&mut silent).await;
    let mut idle = raw_client(&server).await;
    closed(&mut idle).await;
    let mut half = raw_client(&server).await;
    half.write_all(&get(1, WINDOW, [0]).to_bytes()[..30])
        .await
        .unwrap();
    closed(&mut half).await;

    // The client bounds a silent server alike.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new(
        PoolOptions {
            timeouts,
            ..PoolOptions::default()
        },
        Default::default(),
    );
    let mute = Peer {
        member: "mute".to_owned(),
        address: listener.local_addr().unwrap(),
        session_key: KEY.into(),
    };
    let error = pool
        .get(&mute, vec![ItemKey::piece(1, 1)], deadline())
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::TimedOut { .. }), "{error}");
    server.shutdown().await;
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let options = ServerOptions {
        max_connections: 2,
        ..ServerOptions::default()
    };
    let server: Server = serve_with(Memory::with_pieces(1, 10).handlers(), options).await;
    let (first, _second) = (raw_client(&server).await, raw_client(&server).await);
    let mut third = raw_client(&server).await;
    assert_eq!(fatal_error(&mut third).await, ErrorCode::TooManyRequests);
    drop(first);
    // Its place is free once the server has seen it go.
    let served = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let mut stream = raw_client(&server).await;
            write(&mut stream, get(1, WINDOW, [0])).await;
            if read(&mut stream)
                .await
                .is_some_and(|(header, _)| header.kind == FrameKind::Item)
            {
                break;
            }
        }
    });
    served.await.unwrap();
}

/// Takes every `Put` and never finishes one.
struct Stuffed(AtomicUsize);

impl ItemSink for Stuffed {
    fn put(&self, _key: ItemKey, _item: Item) -> BoxFuture<'static, Result<(), Refusal>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn puts_that_nobody_takes_are_not_read_beyond_the_budget() {
    let sink = Arc::new(Stuffed(AtomicUsize::new(0)));
    let server = serve_with(
        Handlers {
            sink: sink.clone(),
            ..Handlers::default()
        },
        ServerOptions {
            put_budget: 3 * MAX_ITEM_LEN,
            ..ServerOptions::default()
        },
    )
    .await;
    let mut writers = Vec::new();
    for _ in 0..4 {
        let mut stream = raw_client(&server).await;
        writers.push(tokio::spawn(async move {
            for id in 1..=20 {
                let item = Item::new(content(id, 1_048_672));
                let frame = put_frame(id as u32, ItemKey::piece(1, id), item);
                if frame
                    .write(&mut stream, Duration::from_millis(300))
                    .await
                    .is_err()
                {
                    return id;
                }
            }
            21
        }));
    }
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap() - 1;
    }
    assert_eq!(sink.0.load(Ordering::SeqCst), 3, "of {written} written");
    assert!(written < 4 * 20, "the socket's buffers hold the rest");
}

#[tokio::test]
async fn bytes_that_drip_do_not_hold_a_connection() {
    let short = Duration::from_millis(300);
    let options = ServerOptions {
        timeouts: Timeouts {
            handshake: short,
            progress: short,
            ..Timeouts::default()
        },
        ..ServerOptions::default()
    };
    let server = serve_with(Memory::with_pieces(1, 10).handlers(), options).await;
    let drip = async |mut stream: TcpStream, bytes: Bytes| {
        for byte in &bytes[..] {
            if stream.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
    };
    // Each byte comes well within the limit; the whole frame does not.
    let hello = Frame::small(FrameKind::Hello, 0, vec![1; 34]).to_bytes();
    let stranger = TcpStream::connect(server.local_addr()).await.unwrap();
    let (member, get) = (raw_client(&server).await, get(1, WINDOW, 0..10).to_bytes());
    let (first, second) = tokio::join!(drip(stranger, hello), drip(member, get));
    assert!(first && second);
}

#[tokio::test]
async fn a_flood_of_small_frames_by_one_who_reads_nothing_is_stopped() {
    let options = ServerOptions {
        timeouts: Timeouts {
            progress: Duration::from_millis(500),
            ..Timeouts::default()
        },
        ..ServerOptions::default()
    };
    let server = serve_with(Memory::with_pieces(1, 10).handlers(), options).await;
    let mut stream = raw_client(&server).await;
    let mut flood = Vec::new();
    for id in 1..1000 {
        let frames = [
            Frame::small(FrameKind::Ping, id, Vec::new()),
            Frame::small(FrameKind::Credit, id, 1u32.to_le_bytes().to_vec()),
            Frame::small(FrameKind::Cancel, id, Vec::new()),
            skip_frame(id, &[0, 1, 2]),
        ];
        frames
            .iter()
            .for_each(|frame| flood.extend_from_slice(&frame.to_bytes()));
    }
    let mut sent = 0usize;
    let stopped = tokio::time::timeout(Duration::from_secs(20), async {
        while stream.write_all(&flood).await.is_ok() {
            sent += flood.len();
        }
    });
    assert!(stopped.await.is_ok(), "{sent} bytes and no end");
    let served = pool()
        .get(&peer(&server), vec![ItemKey::piece(1, 0)], deadline())
        .await;
    assert_eq!(served.unwrap().count().await, 1);
}

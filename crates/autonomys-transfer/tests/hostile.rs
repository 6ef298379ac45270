//! Peers that lie, stall, flood or break: every one ends in a typed error, and memory stays within the stated bounds.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::frame::{FLAG_LAST, Frame, FrameKind, HEADER_SIZE};
use autonomys_transfer::limits::{
    CONNECTION_SEND_CREDIT, MAX_ITEM_LEN, MAX_REQUESTS_PER_CONNECTION, Timeouts,
};
use autonomys_transfer::message::{Get, decode_error, item_frame, missing_frame, put_frame, skip_frame};
use autonomys_transfer::{
    ErrorCode, FrameError, Handlers, Item, ItemKey, ItemSink, ItemSource, Peer, Pool, PoolOptions, Refusal,
    Server, ServerOptions, SessionKey, TransferError, handshake,
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

fn get(id: u32, window: u32, indexes: impl IntoIterator<Item = u64>) -> Frame {
    Get {
        window,
        keys: indexes
            .into_iter()
            .map(|index| ItemKey::piece(1, index))
            .collect(),
    }
    .to_frame(id)
}

const WINDOW: u32 = 8 * MAX_ITEM_LEN as u32;

fn recrc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[tokio::test]
async fn strangers_are_told_why_and_get_nothing() {
    let server = serve(Memory::with_pieces(1, 10).handlers()).await;
    let connect = || async { TcpStream::connect(server.local_addr()).await.unwrap() };

    let mut stream = connect().await;
    let wrong = handshake::connect(&mut stream, &SessionKey::from([1; 32]), &Timeouts::default(), &[]).await;
    assert_eq!(wrong, Err(TransferError::AuthenticationFailed));

    // A client that ignores the server's wrong proof is refused by the server.
    let mut stream = connect().await;
    write(&mut stream, Frame::small(FrameKind::Hello, 0, vec![1; 34])).await;
    assert_eq!(read(&mut stream).await.unwrap().0.kind, FrameKind::Challenge);
    write(&mut stream, Frame::small(FrameKind::Auth, 0, vec![0; 32])).await;
    assert_eq!(fatal_error(&mut stream).await, ErrorCode::AuthenticationFailed);

    // Requests before the handshake, and a later version.
    let mut stream = connect().await;
    write(&mut stream, get(1, WINDOW, [0])).await;
    assert_eq!(fatal_error(&mut stream).await, ErrorCode::Malformed);
    for other in [0, 9] {
        let mut stream = connect().await;
        let mut hello = Frame::small(FrameKind::Hello, 0, vec![1; 34]).to_bytes().to_vec();
        hello[4] = other;
        stream.write_all(&hello).await.unwrap();
        let (_, payload) = read(&mut stream).await.unwrap();
        let refusal = decode_error(payload).unwrap();
        assert_eq!(refusal.code, ErrorCode::UnsupportedVersion);
        let both = [format!("version {other},"), "version 1;".to_owned()];
        assert!(
            both.iter().all(|version| refusal.message.contains(version)),
            "{refusal}"
        );
    }

    // Something else altogether is closed without a word.
    let mut stream = connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn broken_frames_end_the_connection_with_a_reason() {
    let server = serve(Memory::with_pieces(1, 10).handlers()).await;
    let good = get(1, WINDOW, [0]).to_bytes().to_vec();
    let changed = |offset: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[offset] = value;
        bytes
    };
    let giant = |kind: FrameKind, length: u32| {
        let mut bytes = Frame::small(kind, 1, Vec::new()).to_bytes().to_vec();
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        recrc(bytes)
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("magic", changed(0, b'X')),
        ("header checksum", changed(8, 77)),
        ("payload checksum", changed(30, 77)),
        ("unknown kind", recrc(changed(6, 200))),
        ("unknown flags", recrc(changed(7, 0x80))),
        ("giant put", giant(FrameKind::Put, u32::MAX)),
        ("giant get", giant(FrameKind::Get, 1_000_000)),
        ("long ping", giant(FrameKind::Ping, 1)),
        ("server's kind", missing_frame(1, 0).to_bytes().to_vec()),
        (
            "handshake again",
            Frame::small(FrameKind::Hello, 0, vec![1; 34]).to_bytes().to_vec(),
        ),
        ("request id 0", get(0, WINDOW, [0]).to_bytes().to_vec()),
        ("no keys", get(1, WINDOW, []).to_bytes().to_vec()),
        ("same key twice", get(1, WINDOW, [3, 3]).to_bytes().to_vec()),
        ("window too small", get(1, 1000, [0]).to_bytes().to_vec()),
        ("window too large", get(1, u32::MAX, [0]).to_bytes().to_vec()),
        (
            "short ack",
            Frame::small(FrameKind::Ack, 1, vec![0; 41]).to_bytes().to_vec(),
        ),
    ];
    for (name, bytes) in cases {
        let mut stream = raw_client(&server).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(fatal_error(&mut stream).await, ErrorCode::Malformed, "{name}");
    }
    let mut stream = raw_client(&server).await;
    stream.write_all(&changed(4, 2)).await.unwrap();
    assert_eq!(fatal_error(&mut stream).await, ErrorCode::UnsupportedVersion);
    // Cut at every byte: the server neither hangs nor answers.
    for length in 1..good.len() {
        let mut stream = raw_client(&server).await;
        stream.write_all(&good[..length]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() <= HEADER_SIZE + 514, "{length} bytes sent");
    }
    let got: Vec<_> = pool()
        .get(&peer(&server), vec![ItemKey::piece(1, 0)], deadline())
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(got.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_put_with_a_wrong_hash_is_refused_and_the_connection_lives() {
    let memory = Memory::with_pieces(0, 0);
    let server = serve(memory.handlers()).await;
    let mut stream = raw_client(&server).await;
    write(
        &mut stream,
        put_frame(5, ItemKey::piece(1, 1), Item::with_hash(content(1, 50), [9; 32])),
    )
    .await;
    let (header, payload) = read(&mut stream).await.unwrap();
    assert_eq!((header.kind, header.request_id), (FrameKind::Error, 5));
    assert_eq!(decode_error(payload).unwrap().code, ErrorCode::HashMismatch);
    assert!(memory.items.lock().unwrap().is_empty());
    write(
        &mut stream,
        put_frame(5, ItemKey::piece(1, 1), Item::new(content(1, 50))),
    )
    .await;
    let (header, _) = read(&mut stream).await.unwrap();
    assert_eq!(
        (header.kind, header.request_id, header.flags),
        (FrameKind::Done, 5, FLAG_LAST)
    );
    write(&mut stream, Frame::small(FrameKind::Ping, 3, Vec::new())).await;
    assert_eq!(read(&mut stream).await.unwrap().0.kind, FrameKind::Pong);
}

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

/// A server by hand that answers the first request on each connection with these frames, then closes.
async fn lying_server(answers: Vec<Vec<Bytes>>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            handshake::accept(&mut stream, &SessionKey::from(KEY), &Timeouts::default(), &[])
                .await
                .unwrap();
            read(&mut stream).await.unwrap();
            for bytes in answer {
                stream.write_all(&bytes).await.unwrap();
            }
            let _ = stream.shutdown().await;
            // Stays until the client has closed, so that the end is never a reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    Peer {
        member: "liar".to_owned(),
        address,
        session_key: KEY.into(),
    }
}

#[tokio::test]
async fn lying_servers_are_found_out() {
    let item = |position, length| item_frame(1, position, Item::new(content(1, length)));
    let mut version = missing_frame(1, 0).to_bytes().to_vec();
    version[4] = 3;
    let giant = |kind: FrameKind| {
        let mut bytes = Frame::small(kind, 1, Vec::new()).to_bytes().to_vec();
        bytes[12..16].copy_from_slice(&(kind.max_payload() as u32 + 1).to_le_bytes());
        recrc(bytes).into()
    };
    let mut garbled = item(0, 1000).to_bytes().to_vec();
    garbled[500] ^= 1;
    let cases: Vec<(&str, Vec<Bytes>)> = vec![
        ("position", vec![item(7, 10).to_bytes()]),
        ("twice", vec![item(0, 10).to_bytes(), item(0, 10).to_bytes()]),
        ("early end", vec![item(0, 10).last(true).to_bytes()]),
        ("late end", vec![item(0, 10).to_bytes(), item(1, 10).to_bytes()]),
        (
            "kind",
            vec![Frame::small(FrameKind::Done, 1, Vec::new()).last(true).to_bytes()],
        ),
        (
            "client's kind",
            vec![Frame::small(FrameKind::Cancel, 1, Vec::new()).to_bytes()],
        ),
        ("version", vec![version.into()]),
        ("garbled", vec![garbled.into()]),
        ("item too long", vec![giant(FrameKind::Item)]),
        ("giant error", vec![giant(FrameKind::Error)]),
        ("cut", vec![item(0, 1000).to_bytes().slice(..700)]),
    ];
    for (name, answer) in cases {
        let peer = lying_server(vec![answer]).await;
        let keys = vec![ItemKey::piece(1, 0), ItemKey::piece(1, 1)];
        let pool = pool();
        let results: Vec<_> = pool.get(&peer, keys, deadline()).await.unwrap().collect().await;
        let error = results.into_iter().find_map(Result::err).unwrap();
        assert!(matches!(error, TransferError::Frame(_)), "{name}: {error}");
        match name {
            "version" => assert_eq!(error, FrameError::UnsupportedVersion { found: 3 }.into()),
            "cut" => assert_eq!(error, FrameError::Truncated.into()),
            "item too long" | "giant error" => {
                assert!(
                    matches!(error, TransferError::Frame(FrameError::TooLarge { .. })),
                    "{error}"
                );
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_of_an_item_is_retried_on_a_new_connection() {
    let whole = item_frame(1, 0, Item::new(content(0, 100_000)))
        .last(true)
        .to_bytes();
    let peer = lying_server(vec![vec![whole.slice(..50_000)], vec![], vec![whole]]).await;
    let pool = pool();
    let key = ItemKey::piece(1, 0);
    let mut errors = Vec::new();
    let bytes = loop {
        let result = match pool.get(&peer, vec![key], deadline()).await {
            Ok(mut items) => items.next().await.unwrap(),
            Err(error) => Err(error),
        };
        match result {
            Ok((_, bytes)) => break bytes,
            Err(TransferError::BackingOff { retry_in, .. }) => tokio::time::sleep(retry_in).await,
            Err(error) => errors.push(error),
        }
    };
    assert_eq!(bytes, Some(content(0, 100_000)));
    assert_eq!(
        errors,
        [FrameError::Truncated.into(), TransferError::ConnectionClosed]
    );
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

/// Passes the handshake on, with this change to the client's `Hello`.
async fn handshake_through(
    change: impl Fn(&mut Vec<u8>),
) -> (Result<(), TransferError>, Result<(), TransferError>) {
    let (mut client, mut near) = tokio::io::duplex(4096);
    let (mut far, mut server) = tokio::io::duplex(4096);
    let (key, times) = (SessionKey::from(KEY), Timeouts::default());
    let relay = async {
        let mut hello = vec![0; HEADER_SIZE + 34];
        near.read_exact(&mut hello).await.unwrap();
        let mut payload = hello.split_off(HEADER_SIZE);
        change(&mut payload);
        let hello = Frame::small(FrameKind::Hello, 0, payload);
        hello.write(&mut far, times.handshake).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    };
    let connect = async {
        let result = handshake::connect(&mut client, &key, &times, &[])
            .await
            .map(|_| ());
        drop(client);
        result
    };
    let accept = async {
        let result = handshake::accept(&mut server, &key, &times, &[]).await;
        drop(server);
        result
    };
    let (connected, accepted, ()) = tokio::join!(connect, accept, relay);
    (connected, accepted)
}

#[tokio::test]
async fn versions_are_negotiated_and_nobody_in_between_can_change_them() {
    assert_eq!(handshake_through(|_| ()).await, (Ok(()), Ok(())));
    // The proofs cover what was said.
    let (connected, accepted) = handshake_through(|hello| hello[32] = 9).await;
    assert_eq!(connected, Err(TransferError::AuthenticationFailed));
    assert!(accepted.is_err());

    let server = serve(Memory::with_pieces(1, 10).handlers()).await;
    let hello = async |highest: u16| {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let mut payload = vec![7; 32];
        payload.extend_from_slice(&highest.to_le_bytes());
        write(&mut stream, Frame::small(FrameKind::Hello, 0, payload)).await;
        read(&mut stream).await.unwrap()
    };
    // A later client is answered in the version that both speak.
    let (header, challenge) = hello(9).await;
    assert_eq!(
        (header.kind, &challenge[32..34]),
        (FrameKind::Challenge, &[1, 0][..])
    );
    let (_, refused) = hello(0).await;
    assert_eq!(decode_error(refused).unwrap().code, ErrorCode::UnsupportedVersion);

    // A server that chooses a version that was not offered.
    let (mut client, mut server) = tokio::io::duplex(4096);
    let choose = async {
        server.read_exact(&mut [0; HEADER_SIZE + 34]).await.unwrap();
        let mut challenge = vec![0; 66];
        challenge[32] = 2;
        let frame = Frame::small(FrameKind::Challenge, 0, challenge);
        frame.write(&mut server, Duration::from_secs(5)).await.unwrap();
    };
    let (key, times) = (SessionKey::from(KEY), Timeouts::default());
    let (connected, ()) = tokio::join!(handshake::connect(&mut client, &key, &times, &[]), choose);
    assert_eq!(connected, Err(FrameError::UnsupportedVersion { found: 2 }.into()));
}

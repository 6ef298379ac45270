//! Peers that lie, break or speak something else: every one ends in a typed error.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::frame::{FLAG_LAST, Frame, FrameKind, HEADER_SIZE};
use autonomys_transfer::limits::Timeouts;
use autonomys_transfer::message::{decode_error, item_frame, missing_frame, put_frame};
use autonomys_transfer::{ErrorCode, FrameError, Item, ItemKey, Peer, SessionKey, TransferError, handshake};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    // Of an item only its bytes may be damaged, see tests/ranges.rs.
    let mut garbled = missing_frame(1, 0).to_bytes().to_vec();
    garbled[HEADER_SIZE] ^= 1;
    let mut misplaced = item(0, 1000).to_bytes().to_vec();
    misplaced[HEADER_SIZE] ^= 4;
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
        ("misplaced", vec![misplaced.into()]),
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

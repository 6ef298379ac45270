//! A bit that flips on the wire, anywhere and in either direction: whatever arrives is right or an error, never another byte.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::{ItemKey, Peer, Pool, PoolOptions, TransferError};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Bytes of an item: more than the buffers that frames are read through.
const LENGTH: usize = 40_000;
/// Items of the request.
const ITEMS: u64 = 3;

/// Which bit of which direction of a connection.
#[derive(Debug, Clone, Copy)]
struct Flip {
    to_client: bool,
    byte: usize,
    bit: u8,
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, flip: Option<Flip>) -> usize {
    let (mut passed, mut buffer) = (0, vec![0; 8192]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(flip) = flip
            && (passed..passed + count).contains(&flip.byte)
        {
            buffer[flip.byte - passed] ^= 1 << flip.bit;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        passed += count;
    }
    // The other side learns that nothing more comes.
    let _ = to.shutdown().await;
    passed
}

/// Passes one connection on and flips the bit; gives how many bytes went to the client.
async fn between(server: SocketAddr, flip: Option<Flip>) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let relay = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = TcpStream::connect(server).await.unwrap().into_split();
        let up = pass(from_client, to_server, flip.filter(|flip| !flip.to_client));
        let down = pass(from_server, to_client, flip.filter(|flip| flip.to_client));
        tokio::join!(up, down).1
    });
    (address, relay)
}

type Answer = Result<(ItemKey, Option<Bytes>), TransferError>;

async fn ask(server: SocketAddr, flip: Option<Flip>) -> (Vec<Answer>, usize) {
    let (address, relay) = between(server, flip).await;
    let options = PoolOptions {
        connections_per_peer: 1,
        ..PoolOptions::default()
    };
    let stop = CancellationToken::new();
    let pool = Pool::new(options, stop.clone());
    let peer = Peer {
        member: "member".to_owned(),
        address,
        session_key: KEY.into(),
    };
    let keys = (0..ITEMS).map(|index| ItemKey::piece(1, index)).collect();
    // A flipped length makes a side wait for bytes that never come.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    let answers = match pool.get(&peer, keys, deadline).await {
        Ok(answers) => answers.collect().await,
        Err(error) => vec![Err(error)],
    };
    stop.cancel();
    drop(pool);
    (answers, relay.await.unwrap())
}

#[tokio::test]
async fn no_flipped_bit_is_taken_for_anything_else() {
    let memory = Memory::with_pieces(ITEMS, LENGTH);
    let server = serve(memory.handlers()).await;
    let (answers, length) = ask(server.local_addr(), None).await;
    let right = |index: u64| Ok((ItemKey::piece(1, index), Some(content(index, LENGTH))));
    assert!(answers.into_iter().eq((0..ITEMS).map(right)));
    assert!(length > ITEMS as usize * LENGTH);

    // All of the handshake and of the first frame's header and fields; the items in steps that meet no multiple of anything.
    let down = (0..300).step_by(3).chain((300..length).step_by(3989));
    let up = (0..260).step_by(5);
    let flips = down
        .map(|byte| (true, byte))
        .chain(up.map(|byte| (false, byte)))
        .map(|(to_client, byte)| Flip {
            to_client,
            byte,
            bit: (byte % 8) as u8,
        });
    let mut noticed = 0;
    for flip in flips {
        let (answers, _) = ask(server.local_addr(), Some(flip)).await;
        assert!(!answers.is_empty(), "{flip:?}");
        let mut has_failed = false;
        for answer in answers {
            match answer {
                Ok((key, Some(bytes))) => assert!(bytes == content(key.piece_index, LENGTH), "{flip:?}"),
                Ok((key, None)) => panic!("{key} is there: {flip:?}"),
                Err(_) => has_failed = true,
            }
        }
        noticed += u64::from(has_failed);
        // Everything on the way to the client matters to it.
        assert!(has_failed || !flip.to_client, "{flip:?}");
    }
    assert!(noticed > 100);
    server.shutdown().await;
}

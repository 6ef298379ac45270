//! Stores in memory and a raw peer that speaks frames by hand.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use autonomys_transfer::frame::{Frame, FrameKind, Header, read_header, read_payload};
use autonomys_transfer::limits::{MAX_ITEM_LEN, Timeouts};
use autonomys_transfer::message::Get;
use autonomys_transfer::{
    ErrorCode, Handlers, Item, ItemKey, ItemSink, ItemSource, OpenSector, Peer, Pool, PoolOptions, Refusal,
    SectorKey, SectorSource, Server, ServerOptions, SessionKey, handshake,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: [u8; 32] = [42; 32];

pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Content that tells its key.
pub(crate) fn content(index: u64, length: usize) -> Bytes {
    let mut bytes = vec![index as u8; length];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes.into()
}

pub(crate) fn sector_key(index: u16) -> SectorKey {
    SectorKey {
        public_key: [7; 32],
        sector_index: index,
        history_size: 9,
    }
}

/// Items and sectors in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) items: Mutex<HashMap<ItemKey, Item>>,
    pub(crate) sectors: Mutex<HashMap<SectorKey, Bytes>>,
}

impl Memory {
    pub(crate) fn with_pieces(count: u64, length: usize) -> Arc<Self> {
        let items = (0..count)
            .map(|index| (ItemKey::piece(1, index), Item::new(content(index, length))))
            .collect();
        Arc::new(Self {
            items: Mutex::new(items),
            ..Self::default()
        })
    }

    pub(crate) fn handlers(self: &Arc<Self>) -> Handlers {
        Handlers {
            items: self.clone(),
            sink: self.clone(),
            sectors: self.clone(),
        }
    }
}

impl ItemSource for Memory {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let items = self.items.lock().unwrap();
        let found: Vec<_> = keys
            .into_iter()
            .map(|key| (key, items.get(&key).cloned()))
            .collect();
        stream::iter(found).boxed()
    }
}

impl ItemSink for Memory {
    fn put(&self, key: ItemKey, item: Item) -> BoxFuture<'static, Result<(), Refusal>> {
        self.items.lock().unwrap().insert(key, item);
        Box::pin(async { Ok(()) })
    }
}

struct OpenBytes(Bytes);

impl OpenSector for OpenBytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let part = self.0.slice(offset as usize..offset as usize + length);
        Box::pin(async { Ok(part) })
    }
}

impl SectorSource for Memory {
    fn open(&self, key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>> {
        let sector = self.sectors.lock().unwrap().get(&key).cloned();
        Box::pin(async move {
            match sector {
                Some(bytes) => Ok(Arc::new(OpenBytes(bytes)) as Arc<dyn OpenSector>),
                None => Err(Refusal::sector_not_found(&key)),
            }
        })
    }

    fn acknowledge(&self, key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>> {
        self.sectors.lock().unwrap().remove(&key);
        Box::pin(async { Ok(()) })
    }
}

pub(crate) async fn serve(handlers: Handlers) -> Server {
    serve_with(handlers, ServerOptions::default()).await
}

pub(crate) async fn serve_with(handlers: Handlers, options: ServerOptions) -> Server {
    Server::bind_with(
        "127.0.0.1:0",
        KEY.into(),
        handlers,
        options,
        CancellationToken::new(),
    )
    .await
    .unwrap()
}

pub(crate) fn peer(server: &Server) -> Peer {
    Peer {
        member: "member".to_owned(),
        address: server.local_addr(),
        session_key: KEY.into(),
    }
}

pub(crate) fn pool() -> Pool {
    let options = PoolOptions {
        backoff_first: Duration::from_millis(20),
        ..PoolOptions::default()
    };
    Pool::new(options, CancellationToken::new())
}

/// Waits, bounded, until a condition holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A client by hand, through the handshake.
pub(crate) async fn raw_client(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    handshake::connect(&mut stream, &SessionKey::from(KEY), &Timeouts::default(), &[])
        .await
        .unwrap();
    stream
}

pub(crate) async fn write(stream: &mut TcpStream, frame: Frame) {
    frame.write(stream, Duration::from_secs(10)).await.unwrap();
}

/// The next frame, or `None` at the end of the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<(Header, Bytes)> {
    let limit = Duration::from_secs(10);
    let header = read_header(stream, limit, limit).await.ok()??;
    let payload = read_payload(stream, &header, limit).await.ok()?;
    Some((header, payload))
}

/// Reads until an `Error` for the connection and gives its code.
pub(crate) async fn fatal_error(stream: &mut TcpStream) -> ErrorCode {
    loop {
        let (header, payload) = read(stream).await.expect("the server says why it closes");
        if header.kind == FrameKind::Error && header.request_id == 0 {
            let code = autonomys_transfer::message::decode_error(payload).unwrap().code;
            assert!(
                read(stream).await.is_none(),
                "the connection is closed after the error"
            );
            return code;
        }
    }
}

/// Room for eight items.
pub(crate) const WINDOW: u32 = 8 * MAX_ITEM_LEN as u32;

/// A `Get` of whole pieces.
pub(crate) fn get(id: u32, window: u32, indexes: impl IntoIterator<Item = u64>) -> Frame {
    Get {
        window,
        keys: indexes
            .into_iter()
            .map(|index| ItemKey::piece(1, index))
            .collect(),
    }
    .to_frame(id)
}

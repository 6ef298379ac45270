//! Whole pieces over loopback, against a bare TCP copy of the same bytes in the same process and run.
//!
//! Rounds of both alternate, so that a machine that gets busier slows down both; the best round of each counts. Wall time says what
//! a reader sees, processor time what a byte costs whatever else runs. `cargo bench -p autonomys-transfer`; `ROUNDS=n` for more of them, `ONLY=fetch` for
//! one path (to profile it), `CONNECTIONS=n` for another number of connections to the peer.

use autonomys_transfer::{
    FetchOptions, FileRange, Handlers, Item, ItemKey, ItemSink, ItemSource, OpenSector, Peer, Pool,
    PoolOptions, Refusal, SectorKey, SectorSource, Served, Server, ServerOptions, SessionKey, Source, Want,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const PIECE: usize = 1_048_672;
/// Pieces of one round: a quarter of a gigabyte, more than any processor's caches.
const PIECES: u64 = 256;
/// Pieces that a store reads at once for one reader.
const READS: usize = 4;
/// Puts under way at once.
const PUTS: usize = 8;

/// Pieces in memory; what is put is dropped.
#[derive(Clone)]
struct Pieces(Arc<Vec<Item>>);

impl ItemSource for Pieces {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let pieces = self.0.clone();
        stream::iter(keys)
            .map(move |key| (key, pieces.get(key.piece_index as usize).cloned()))
            .boxed()
    }
}

impl ItemSink for Pieces {
    fn put(&self, _key: ItemKey, _item: Item) -> BoxFuture<'static, Result<(), Refusal>> {
        async { Ok(()) }.boxed()
    }
}

/// The same pieces as ranges of a file that lies in the page cache.
struct InFile(Arc<File>, Pieces, Arc<Vec<u32>>);

impl InFile {
    fn new(pieces: &Pieces) -> Self {
        let mut file = tempfile::tempfile().expect("a place for files");
        for piece in pieces.0.iter() {
            file.write_all(piece.bytes()).expect("room on the disk");
        }
        let sums = pieces
            .0
            .iter()
            .map(|piece| crc32c::crc32c(piece.bytes()))
            .collect();
        Self(Arc::new(file), pieces.clone(), Arc::new(sums))
    }
}

impl ItemSource for InFile {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let (file, pieces) = (self.0.clone(), self.1.clone());
        let read = move |key: ItemKey| {
            let (file, pieces) = (file.clone(), pieces.clone());
            tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; PIECE];
                let read = file.read_exact_at(&mut bytes, key.piece_index * PIECE as u64);
                read.expect("the file has all pieces");
                let good = blake3::hash(&bytes) == *pieces.0[key.piece_index as usize].hash();
                (
                    key,
                    good.then(|| Item::with_hash(bytes.into(), *pieces.0[key.piece_index as usize].hash())),
                )
            })
        };
        stream::iter(keys)
            .map(read)
            .buffer_unordered(READS)
            .map(|read| read.expect("reading does not panic"))
            .boxed()
    }

    fn serve(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Served>)> {
        let (file, pieces, sums) = (self.0.clone(), self.1.clone(), self.2.clone());
        let range = move |key: ItemKey| {
            let piece = pieces.0.get(key.piece_index as usize)?;
            Some(Served::Range(FileRange {
                file: file.clone(),
                offset: key.piece_index * PIECE as u64,
                length: PIECE,
                hash: *piece.hash(),
                crc: sums[key.piece_index as usize],
            }))
        };
        stream::iter(keys).map(move |key| (key, range(key))).boxed()
    }
}

/// The same file read and checked by its store, as connections with TLS have it.
struct Checked(Arc<InFile>);

impl ItemSource for Checked {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        self.0.get(keys)
    }
}

/// All pieces back to back as one sector.
impl OpenSector for Pieces {
    fn len(&self) -> u64 {
        PIECES * PIECE as u64
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        // A chunk of a sector is shorter than a piece: the start of one stands for the bytes at its place.
        let piece = self.0[offset as usize / PIECE].bytes().slice(..length);
        async move { Ok(piece) }.boxed()
    }
}

impl SectorSource for Pieces {
    fn open(&self, _key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>> {
        let sector: Arc<dyn OpenSector> = Arc::new(self.clone());
        async { Ok(sector) }.boxed()
    }

    fn acknowledge(&self, _key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>> {
        async { Ok(()) }.boxed()
    }
}

/// User and system time of this process so far.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000))
        .sum()
}

#[derive(Clone, Copy)]
struct Measured {
    wall: Duration,
    processor: Duration,
}

async fn measure(work: impl Future<Output = ()>) -> Measured {
    let (processor, wall) = (processor_time(), Instant::now());
    work.await;
    Measured {
        wall: wall.elapsed(),
        processor: processor_time() - processor,
    }
}

async fn plain_server(pieces: Pieces) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the bench connects");
        while stream.read_u8().await.is_ok() {
            for piece in pieces.0.iter() {
                stream.write_all(piece.bytes()).await.expect("the bench reads");
            }
        }
    });
    TcpStream::connect(address).await.expect("the listener is up")
}

async fn plain(stream: &mut TcpStream, buffer: &mut [u8]) {
    stream.write_u8(1).await.expect("the server reads");
    for _ in 0..PIECES {
        stream.read_exact(buffer).await.expect("the server writes");
    }
}

fn deadline() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

async fn get(pool: &Pool, peer: &Peer) {
    let keys = (0..PIECES).map(|index| ItemKey::piece(1, index)).collect();
    let items = pool.get(peer, keys, deadline()).await.expect("the server is up");
    let good = items
        .filter(|item| std::future::ready(item.is_ok()))
        .count()
        .await;
    assert_eq!(good as u64, PIECES);
}

async fn fetch(pool: &Pool, peer: &Arc<Peer>) {
    let wants = (0..PIECES)
        .map(|index| Want {
            need: 1,
            spare: 0,
            sources: vec![Source {
                peer: peer.clone(),
                key: ItemKey::piece(1, index),
            }],
        })
        .collect();
    let fetched = pool.fetch(
        wants,
        FetchOptions {
            item_len: PIECE,
            ..FetchOptions::until(deadline())
        },
    );
    let good = fetched
        .filter(|fetched| std::future::ready(fetched.complete))
        .count()
        .await;
    assert_eq!(good as u64, PIECES);
}

async fn put(pool: &Pool, peer: &Peer, pieces: &Pieces) {
    stream::iter(pieces.0.iter().cloned().enumerate())
        .for_each_concurrent(PUTS, |(index, item)| async move {
            pool.put(peer, ItemKey::piece(1, index as u64), item, deadline())
                .await
                .expect("the server takes it");
        })
        .await;
}

async fn sector(pool: &Pool, peer: &Peer) {
    let key = SectorKey {
        public_key: [1; 32],
        sector_index: 0,
        history_size: 1,
    };
    let chunks = pool
        .get_sector_range(peer, key, 0, u64::MAX, deadline())
        .await
        .expect("the server is up");
    let bytes = chunks
        .fold(0, |sum, chunk| async move {
            sum + chunk.expect("it is there").data.len()
        })
        .await;
    assert_eq!(bytes, PIECES as usize * PIECE);
}

async fn data_plane(handlers: Handlers, tls: bool) -> (Pool, Arc<Peer>, Server) {
    let key = SessionKey::random();
    let options = ServerOptions {
        tls,
        ..ServerOptions::default()
    };
    let server = Server::bind_with("127.0.0.1:0", key, handlers, options, CancellationToken::new())
        .await
        .expect("a free port");
    let peer = Arc::new(Peer {
        member: "bench".to_owned(),
        address: server.local_addr(),
        session_key: key,
    });
    let mut options = PoolOptions {
        tls,
        ..PoolOptions::default()
    };
    if let Some(connections) = setting("CONNECTIONS") {
        options.connections_per_peer = connections;
    }
    (Pool::new(options, CancellationToken::new()), peer, server)
}

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

async fn run(rounds: usize) {
    let pieces: Vec<_> = (0..PIECES)
        .map(|index| Item::new(vec![index as u8; PIECE].into()))
        .collect();
    let pieces = Pieces(Arc::new(pieces));
    let mut stream = plain_server(pieces.clone()).await;
    let mut buffer = vec![0; PIECE];
    let handlers = Handlers {
        items: Arc::new(pieces.clone()),
        sink: Arc::new(pieces.clone()),
        sectors: Arc::new(pieces.clone()),
    };
    let (pool, peer, server) = data_plane(handlers.clone(), false).await;
    let (tls_pool, tls_peer, tls_server) = data_plane(handlers, true).await;
    let in_file = Arc::new(InFile::new(&pieces));
    let checked = Handlers {
        items: Arc::new(Checked(in_file.clone())),
        ..Handlers::default()
    };
    let file_handlers = Handlers {
        items: in_file,
        ..Handlers::default()
    };
    let (checked_pool, checked_peer, checked_server) = data_plane(checked, false).await;
    let (file_pool, file_peer, file_server) = data_plane(file_handlers, false).await;
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut best: Vec<(&str, Measured)> = Vec::new();
    for round in 0..=rounds {
        for what in [
            "plain TCP copy",
            "get",
            "fetch",
            "fetch, read",
            "fetch, sendfile",
            "put",
            "sector",
            "fetch over TLS",
        ] {
            if !only.is_empty() && what != only {
                continue;
            }
            let measured = match what {
                "get" => measure(get(&pool, &peer)).await,
                "fetch" => measure(fetch(&pool, &peer)).await,
                "fetch, read" => measure(fetch(&checked_pool, &checked_peer)).await,
                "fetch, sendfile" => measure(fetch(&file_pool, &file_peer)).await,
                "fetch over TLS" => measure(fetch(&tls_pool, &tls_peer)).await,
                "put" => measure(put(&pool, &peer, &pieces)).await,
                "sector" => measure(sector(&pool, &peer)).await,
                _ => measure(plain(&mut stream, &mut buffer)).await,
            };
            // The first round connects and grows buffers.
            if round == 0 {
                best.push((what, measured));
            } else if let Some((_, best)) = best.iter_mut().find(|(name, _)| *name == what) {
                if round == 1 {
                    *best = measured;
                }
                best.wall = best.wall.min(measured.wall);
                best.processor = best.processor.min(measured.processor);
            }
        }
    }
    let plain = best[0].1;
    println!("{PIECES} pieces of {PIECE} bytes, best of {rounds} alternating rounds");
    for (name, measured) in &best {
        let bytes = (PIECES as usize * PIECE) as f64;
        println!(
            "{name:<16} {:>7.2} GB/s, {:>5.2} of plain TCP; {:>5.0} ms of processor time per GB, {:>5.2} of plain TCP",
            bytes / measured.wall.as_secs_f64() / 1e9,
            plain.wall.as_secs_f64() / measured.wall.as_secs_f64(),
            measured.processor.as_secs_f64() * 1e12 / bytes,
            measured.processor.as_secs_f64() / plain.processor.as_secs_f64(),
        );
    }
    server.shutdown().await;
    tls_server.shutdown().await;
    file_server.shutdown().await;
    checked_server.shutdown().await;
}

fn main() {
    let rounds = setting("ROUNDS").unwrap_or(20);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async { tokio::spawn(run(rounds)).await })
        .expect("no round fails");
}

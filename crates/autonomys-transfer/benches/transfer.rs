//! Items per second over loopback, against a bare TCP copy of the same bytes in the same process.

use autonomys_transfer::{Handlers, Item, ItemKey, ItemSource, Peer, Pool, PoolOptions, Server, SessionKey};
use criterion::{Criterion, Throughput};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const PIECE: usize = 1_048_672;
const BATCH: u64 = 64;

struct OnePiece(Item);

impl ItemSource for OnePiece {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let item = self.0.clone();
        stream::iter(keys)
            .map(move |key| (key, Some(item.clone())))
            .boxed()
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("transfer/loopback_throughput");
    group
        .throughput(Throughput::Bytes(BATCH * PIECE as u64))
        .measurement_time(Duration::from_secs(5));

    let bytes = vec![7; PIECE];
    let mut plain = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the bench connects");
            while stream.read_u8().await.is_ok() {
                for _ in 0..BATCH {
                    stream.write_all(&bytes).await.expect("the bench reads");
                }
            }
        });
        TcpStream::connect(address).await.expect("the listener is up")
    });
    let mut buffer = vec![0; PIECE];
    group.bench_function("plain_tcp", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                plain.write_u8(1).await.expect("the server reads");
                for _ in 0..BATCH {
                    plain.read_exact(&mut buffer).await.expect("the server writes");
                }
            });
        });
    });

    let (pool, peer, _server) = runtime.block_on(async {
        let handlers = Handlers {
            items: Arc::new(OnePiece(Item::new(vec![7; PIECE].into()))),
            ..Handlers::default()
        };
        let key = SessionKey::random();
        let server = Server::bind("127.0.0.1:0", key, handlers, CancellationToken::new())
            .await
            .expect("a free port");
        let peer = Peer {
            member: "bench".to_owned(),
            address: server.local_addr(),
            session_key: key,
        };
        (
            Pool::new(PoolOptions::default(), CancellationToken::new()),
            peer,
            server,
        )
    });
    group.bench_function("data_plane", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
                let keys = (0..BATCH).map(|index| ItemKey::piece(1, index)).collect();
                let items = pool.get(&peer, keys, deadline).await.expect("the server is up");
                let good = items
                    .filter(|item| std::future::ready(item.is_ok()))
                    .count()
                    .await;
                assert_eq!(good as u64, BATCH);
            });
        });
    });
    group.finish();
}

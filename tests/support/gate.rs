//! A gate in the way of a data plane: lets a given number of bytes through to the fetching side and holds the rest, so that a test
//! finds a transfer exactly half done.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Address at which the others reach a process behind a gate: loopback as well, and nobody listens there.
///
/// Start the process with `--listen-address 127.0.0.1 --advertise-address` and this.
pub(crate) const GATE_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Bytes passed on at once.
const CHUNK: usize = 64 * 1024;

struct State {
    /// Bytes that may pass in all.
    allowance: watch::Sender<u64>,
    passed: AtomicU64,
}

/// The gate, closed at first. Dropping it cuts all connections.
pub(crate) struct Gate {
    state: Arc<State>,
    accepting: JoinHandle<Option<()>>,
    close: DropGuard,
}

impl Gate {
    /// Listens on [`GATE_ADDRESS`] and passes connections on to the same port of 127.0.0.1.
    pub(crate) async fn in_front_of(port: u16) -> Self {
        let listener = TcpListener::bind((GATE_ADDRESS, port)).await.unwrap();
        let state = Arc::new(State {
            allowance: watch::Sender::new(0),
            passed: AtomicU64::new(0),
        });
        let close = CancellationToken::new();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let accepting = tokio::spawn(close.clone().run_until_cancelled_owned(accept(
            listener,
            server,
            Arc::clone(&state),
            close.clone(),
        )));
        Self {
            state,
            accepting,
            close: close.drop_guard(),
        }
    }

    /// Cuts all connections and gives the port back.
    pub(crate) async fn close(self) {
        drop(self.close);
        self.accepting.await.unwrap();
    }

    /// Lets `bytes` more pass from the server.
    pub(crate) fn allow(&self, bytes: u64) {
        let passed = self.passed();
        self.state.allowance.send_replace(passed.saturating_add(bytes));
    }

    /// Lets everything pass.
    pub(crate) fn open(&self) {
        self.state.allowance.send_replace(u64::MAX);
    }

    /// Bytes that have passed from the server.
    pub(crate) fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Acquire)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<State>, close: CancellationToken) {
    while let Ok((client, _)) = listener.accept().await {
        // A server that is dead refuses, and so does the gate, by closing.
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let state = Arc::clone(&state);
        tokio::spawn(close.clone().run_until_cancelled_owned(async move {
            tokio::select! {
                () = freely(from_client, to_server) => {}
                () = counted(from_server, to_client, state) => {}
            }
        }));
    }
}

async fn freely(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // Whatever ends the connection ends it on both sides.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn counted(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut allowance = state.allowance.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        let passed = state.passed.load(Ordering::Acquire);
        let Ok(allowed) = allowance
            .wait_for(|allowance| *allowance > passed)
            .await
            .map(|allowance| *allowance - passed)
        else {
            return;
        };
        let most = usize::try_from(allowed).unwrap_or(usize::MAX).min(CHUNK);
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else {
            return;
        };
        // Several connections may take from one allowance; by a chunk too much is no harm.
        state.passed.fetch_add(read as u64, Ordering::AcqRel);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

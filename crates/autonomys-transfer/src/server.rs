//! The serving side: accepts connections, lets members in, and hands each connection to its own tasks.

mod congestion;
mod connection;
mod output;
mod requests;

pub use congestion::Congestion;

use crate::buffers::Buffers;
use crate::error::{ErrorCode, Refusal, TransferError};
use crate::handshake::{self, SessionKey};
use crate::limits::{
    MAX_PENDING_HANDSHAKES, MAX_SERVER_CONNECTIONS, SERVER_PUT_BUDGET, SERVER_SEND_BUDGET, Timeouts,
};
use crate::source::Handlers;
use crate::tls::{self, ServerTls};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// After a failed accept (out of descriptors, mostly) the next one waits this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A refused peer gets this long, and this many bytes, to read why, before the socket is closed under it.
const FAREWELL_TIME: Duration = Duration::from_millis(500);
const FAREWELL_BYTES: u64 = 64 * 1024;

/// Bounds of one server. The defaults are the constants in [`crate::limits`].
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions {
    /// Waits of each connection.
    pub timeouts: Timeouts,
    /// Whether connections use TLS; clients have to be set the same way.
    pub tls: bool,
    /// How sending adapts to the line.
    pub congestion: Congestion,
    /// Authenticated connections at once.
    pub max_connections: usize,
    /// Connections in the handshake at once.
    pub max_pending_handshakes: usize,
    /// Bytes between sources and sockets, all connections together.
    pub send_budget: usize,
    /// Bytes of `Put` payloads not yet taken by the sink, all connections together.
    pub put_budget: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            tls: false,
            congestion: Congestion::default(),
            max_connections: MAX_SERVER_CONNECTIONS,
            max_pending_handshakes: MAX_PENDING_HANDSHAKES,
            send_budget: SERVER_SEND_BUDGET,
            put_budget: SERVER_PUT_BUDGET,
        }
    }
}

/// What all connections of a server share.
struct Shared {
    session_key: SessionKey,
    handlers: Handlers,
    timeouts: Timeouts,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    send_budget: Arc<Semaphore>,
    put_budget: Arc<Semaphore>,
    buffers: Buffers,
    tls: Option<ServerTls>,
}

/// A listening data plane server. Its tasks end when the token given to [`Server::bind`] is cancelled.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Listens on `address` (port 0 takes a free one) with the default bounds and serves until `cancel`.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn bind(
        address: impl ToSocketAddrs,
        session_key: SessionKey,
        handlers: Handlers,
        cancel: CancellationToken,
    ) -> Result<Self, TransferError> {
        Self::bind_with(address, session_key, handlers, ServerOptions::default(), cancel).await
    }

    /// The same with other bounds.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn bind_with(
        address: impl ToSocketAddrs,
        session_key: SessionKey,
        handlers: Handlers,
        options: ServerOptions,
        cancel: CancellationToken,
    ) -> Result<Self, TransferError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| TransferError::io("listening for peers", &error))?;
        options.congestion.apply(&listener);
        let local_addr = listener
            .local_addr()
            .map_err(|error| TransferError::io("reading the listening address", &error))?;
        let shared = Arc::new(Shared {
            session_key,
            handlers,
            timeouts: options.timeouts,
            connections: Arc::new(Semaphore::new(options.max_connections)),
            handshakes: Arc::new(Semaphore::new(options.max_pending_handshakes)),
            // Less than one item could never be sent at all.
            send_budget: Arc::new(Semaphore::new(
                options.send_budget.max(crate::limits::MAX_ITEM_LEN),
            )),
            put_budget: Arc::new(Semaphore::new(
                options.put_budget.max(crate::limits::MAX_ITEM_LEN),
            )),
            buffers: Buffers::default(),
            tls: options.tls.then(ServerTls::new).transpose()?,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(accept_loop(listener, shared, tasks.clone(), cancel.clone()));
        Ok(Self {
            local_addr,
            cancel,
            tasks,
        })
    }

    /// The address that it listens on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, closes all connections and waits until everything has ended.
    pub async fn shutdown(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept_loop(
    listener: TcpListener,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // A full house is answered by closing: a stranger learns nothing and costs nothing.
                let Ok(handshake) = shared.handshakes.clone().try_acquire_owned() else {
                    debug!(%address, "too many handshakes at once, connection dropped");
                    continue;
                };
                let (shared, cancel) = (shared.clone(), cancel.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        result = serve(stream, &shared, handshake, &cancel) => match result {
                            Ok(()) => debug!(%address, "data plane connection closed"),
                            Err(error) => debug!(%address, %error, "data plane connection ended"),
                        }
                    }
                });
            }
            Err(error) => {
                warn!(%error, "accepting a data plane connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    shared: &Arc<Shared>,
    handshake: OwnedSemaphorePermit,
    cancel: &CancellationToken,
) -> Result<(), TransferError> {
    stream
        .set_nodelay(true)
        .map_err(|error| TransferError::io("setting TCP_NODELAY", &error))?;
    let Some(server_tls) = &shared.tls else {
        let (stream, _place) = let_in(stream, shared, handshake, &[]).await?;
        let (input, output) = stream.into_split();
        return connection::run(input, output, shared, cancel.child_token()).await;
    };
    if !tls::begins_with_tls(&stream, &shared.timeouts).await? {
        let error = TransferError::TlsRequired;
        refuse(
            stream,
            shared,
            &Refusal::new(ErrorCode::TlsRequired, error.to_string()),
        )
        .await?;
        return Err(error);
    }
    let (stream, binding) = server_tls.accept(stream, &shared.timeouts).await?;
    let (stream, _place) = let_in(stream, shared, handshake, &binding).await?;
    let (input, output) = tokio::io::split(stream);
    connection::run(input, output, shared, cancel.child_token()).await
}

/// The handshake, and a place among the connections.
async fn let_in<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    shared: &Arc<Shared>,
    handshake: OwnedSemaphorePermit,
    binding: &[u8],
) -> Result<(S, OwnedSemaphorePermit), TransferError> {
    let accepted = handshake::accept(&mut stream, &shared.session_key, &shared.timeouts, binding).await;
    if let Err(error) = accepted {
        farewell(stream).await;
        return Err(error);
    }
    drop(handshake);
    let Ok(place) = shared.connections.clone().try_acquire_owned() else {
        let message = "this member has all the connections that it allows";
        let refusal = Refusal::new(ErrorCode::TooManyRequests, message);
        refuse(stream, shared, &refusal).await?;
        return Err(refusal.into());
    };
    Ok((stream, place))
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    shared: &Shared,
    refusal: &Refusal,
) -> Result<(), TransferError> {
    crate::message::error_frame(0, refusal)
        .write(&mut stream, shared.timeouts.progress)
        .await?;
    farewell(stream).await;
    Ok(())
}

/// Closes so that the last frame arrives: a socket closed with unread input is reset, which discards what was written.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let close = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    // Either way the socket is dropped now.
    let _ = timeout(FAREWELL_TIME, close).await;
}

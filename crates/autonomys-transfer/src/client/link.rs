//! One authenticated connection to one peer: its requests, and the credit and cancellations they produce.

use super::link_io;
use super::peer_state::Connecting;
use super::pending::{Event, Expected, Pending};
use super::pool::Peer;
use super::skip::Skipper;
use crate::error::TransferError;
use crate::frame::Frame;
use crate::handshake::{self, ServerLimits};
use crate::key::ItemKey;
use crate::limits::{CONNECTION_WINDOW, MAX_ITEM_LEN, MAX_REPORTS, OUTGOING_QUEUE};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Frames that must reach the peer whatever the queue looks like. Bounded: at most one entry per open
/// request, and in it at most one position per key.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) cancels: Vec<u32>,
    pub(super) credits: HashMap<u32, u32>,
    pub(super) skips: HashMap<u32, Vec<u16>>,
    /// Items that came damaged, at most [`MAX_REPORTS`].
    pub(super) damaged: Vec<ItemKey>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pending: Mutex<Pending>,
    control: Mutex<Control>,
    pub(super) control_ready: Notify,
    outgoing: mpsc::Sender<Frame>,
    slots: Arc<Semaphore>,
    windows: Arc<Semaphore>,
    pub(super) limits: ServerLimits,
    /// Cancelled when the connection has ended, and ends it when cancelled.
    pub(super) closed: CancellationToken,
    answered: AtomicBool,
}

impl Link {
    /// Connects, authenticates and starts the tasks of the connection; they end with the pool or with the connection.
    pub(super) async fn connect(peer: &Peer, connecting: &Connecting) -> Result<Arc<Self>, TransferError> {
        let times = connecting.options.timeouts;
        let mut stream = timeout(times.handshake, TcpStream::connect(peer.address))
            .await
            .map_err(|_| TransferError::TimedOut {
                operation: "connecting to the peer",
                limit: times.handshake,
            })?
            .map_err(|error| TransferError::io("connecting to the peer", &error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| TransferError::io("setting TCP_NODELAY", &error))?;
        match &connecting.tls {
            None => {
                let limits = handshake::connect(&mut stream, &peer.session_key, &times, &[]).await?;
                let (input, output) = stream.into_split();
                Ok(Self::start(input, output, limits, connecting))
            }
            Some(tls) => {
                let (mut stream, binding) = tls.connect(stream, &times).await?;
                let limits = handshake::connect(&mut stream, &peer.session_key, &times, &binding).await?;
                let (input, output) = tokio::io::split(stream);
                Ok(Self::start(input, output, limits, connecting))
            }
        }
    }

    fn start<R, W>(input: R, output: W, limits: ServerLimits, connecting: &Connecting) -> Arc<Self>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (outgoing, queue) = mpsc::channel(OUTGOING_QUEUE);
        let link = Arc::new(Self {
            pending: Mutex::default(),
            control: Mutex::default(),
            control_ready: Notify::new(),
            outgoing,
            slots: Arc::new(Semaphore::new(limits.max_requests.into())),
            windows: Arc::new(Semaphore::new(CONNECTION_WINDOW)),
            limits,
            closed: connecting.cancel.child_token(),
            answered: AtomicBool::new(false),
        });
        let times = connecting.options.timeouts;
        let buffers = connecting.buffers.clone();
        tokio::spawn(link_io::run(input, output, link.clone(), queue, times, buffers));
        link
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }

    /// Requests without their whole answer.
    pub(super) fn open_requests(&self) -> usize {
        self.pending().len()
    }

    /// Whether the peer has ever answered a request on this connection.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn mark_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Says that one position of a request need not be answered with its item.
    pub(super) fn skip(&self, id: u32, position: u16) {
        if self.pending().contains(id) {
            self.control().skips.entry(id).or_default().push(position);
            self.control_ready.notify_one();
        }
    }

    /// Tells the peer that an item of its came damaged. With many at once some go unsaid until they are met again.
    pub(super) fn report(&self, key: ItemKey) {
        let mut control = self.control();
        if control.damaged.len() < MAX_REPORTS {
            control.damaged.push(key);
            drop(control);
            self.control_ready.notify_one();
        }
    }

    fn end_reason(&self) -> TransferError {
        self.pending()
            .closed
            .clone()
            .unwrap_or(TransferError::ConnectionClosed)
    }

    /// Sends a request once there is room for it, with `window` bytes of credit for its answer.
    pub(super) async fn request(
        self: &Arc<Self>,
        expected: Expected,
        window: u32,
        to_frame: impl FnOnce(u32) -> Frame,
    ) -> Result<Request, TransferError> {
        let closed = |_| TransferError::ConnectionClosed;
        let reserve = async {
            let slot = self.slots.clone().acquire_owned().await.map_err(closed)?;
            let room = self
                .windows
                .clone()
                .acquire_many_owned(window)
                .await
                .map_err(closed)?;
            Ok::<_, TransferError>((slot, room))
        };
        let (slot, room) = tokio::select! {
            () = self.closed.cancelled() => return Err(self.end_reason()),
            reserved = reserve => reserved?,
        };
        let (sender, events) = mpsc::unbounded_channel();
        let id = self.pending().add(expected, window, sender)?;
        // From here on dropping the request cancels it at the peer.
        let request = Request {
            link: self.clone(),
            id,
            events,
            window,
            consumed: 0,
            _slot: slot,
            _room: room,
        };
        self.outgoing
            .send(to_frame(id))
            .await
            .map_err(|_| self.end_reason())?;
        Ok(request)
    }
}

/// One open request. Dropped before its end, it is cancelled at the peer.
#[derive(Debug)]
pub(super) struct Request {
    link: Arc<Link>,
    id: u32,
    events: mpsc::UnboundedReceiver<Event>,
    window: u32,
    consumed: u32,
    // Released after `drop` has queued the cancellation, so that the peer never sees more requests than it allows.
    _slot: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Request {
    pub(super) fn skipper(&self, keys: &[ItemKey]) -> Skipper {
        Skipper::new(self.link.clone(), self.id, keys)
    }

    /// The next frame of the answer; `None` after the last.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }

    /// The next frame of the answer; `None` after the last.
    pub(super) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The caller has taken this many bytes. Credit is renewed in halves of what the peer may be ahead, which keeps it busy with few
    /// frames. It keeps room for the longest item in hand, so that part of the window is not there to be ahead by.
    pub(super) fn consumed(&mut self, bytes: usize) {
        self.consumed += bytes as u32;
        if self.consumed >= self.window.saturating_sub(MAX_ITEM_LEN as u32) / 2 {
            let bytes = std::mem::take(&mut self.consumed);
            if self.link.pending().add_window(self.id, bytes) {
                *self.link.control().credits.entry(self.id).or_default() += bytes;
                self.link.control_ready.notify_one();
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.link.pending().remove(self.id) {
            let mut control = self.link.control();
            control.credits.remove(&self.id);
            control.skips.remove(&self.id);
            control.cancels.push(self.id);
            drop(control);
            self.link.control_ready.notify_one();
        }
    }
}

//! One connection of a server: a reader that starts requests and a writer that sends their answers.

use super::output::Output;
use super::{Shared, requests};
use crate::error::{ErrorCode, FrameError, Refusal, TransferError};
use crate::frame::{Frame, FrameKind, Header};
use crate::key::{ItemKey, SectorKey};
use crate::limits::{
    CONNECTION_SEND_CREDIT, MAX_KEYS_PER_GET, MAX_REQUEST_WINDOW, MAX_REQUESTS_PER_CONNECTION, OUTGOING_QUEUE,
};
use crate::message::{Get, GetSector, decode_array, decode_put, decode_skip, error_frame};
use crate::range::FileRange;
use crate::reading::{read_header, read_payload_into};
use futures::FutureExt;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Small frames are read through a buffer of this size; payloads longer than it bypass it.
const READ_BUFFER: usize = 16 * 1024;

/// Time for the last frames of a failing connection to leave.
const FLUSH_TIME: Duration = Duration::from_millis(500);

/// A frame on its way to the socket with the credit it holds until it has left.
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    /// Bulk of the frame that lies in a file.
    pub(super) range: Option<FileRange>,
    pub(super) credit: Vec<OwnedSemaphorePermit>,
}

struct Active {
    cancel: CancellationToken,
    window: Arc<Semaphore>,
    /// Positions that the client does not want any more.
    skipped: HashSet<u16>,
}

/// What the requests of one connection share.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) send_credit: Arc<Semaphore>,
    /// Whether the connection can send ranges of files.
    pub(super) sends_ranges: bool,
    /// Held while a report of damage is looked into.
    report: Arc<Semaphore>,
    outgoing: mpsc::Sender<Outgoing>,
    active: Mutex<HashMap<u32, Active>>,
}

impl Context {
    /// Queues a frame. The frame that ends an answer first frees the request's place: the client may use it at once.
    pub(super) async fn send(&self, frame: Frame, credit: Vec<OwnedSemaphorePermit>) -> Result<(), Refusal> {
        self.send_range(frame, None, credit).await
    }

    /// The same for a frame whose bulk may lie in a file.
    pub(super) async fn send_range(
        &self,
        frame: Frame,
        range: Option<FileRange>,
        credit: Vec<OwnedSemaphorePermit>,
    ) -> Result<(), Refusal> {
        if frame.flags & crate::frame::FLAG_LAST != 0 {
            self.finish(frame.request_id);
        }
        let gone = |_| Refusal::new(ErrorCode::Internal, "the connection is closing");
        let outgoing = Outgoing { frame, range, credit };
        self.outgoing.send(outgoing).await.map_err(gone)
    }

    /// Has the source look for itself whether an item is bad. A report that comes while another is looked into is dropped: whoever
    /// gets the item next repeats it.
    fn reported(&self, key: ItemKey, requests: &TaskTracker, cancel: &CancellationToken) {
        if let Ok(turn) = self.report.clone().try_acquire_owned() {
            let work = self.shared.handlers.items.damaged(key);
            let cancel = cancel.clone();
            requests.spawn(async move {
                cancel.run_until_cancelled(work).await;
                drop(turn);
            });
        }
    }

    fn finish(&self, request_id: u32) {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&request_id);
    }

    /// Makes room for a request, or says why not.
    fn begin(
        &self,
        request_id: u32,
        window: u32,
        parent: &CancellationToken,
    ) -> Result<(CancellationToken, Arc<Semaphore>), Refusal> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.len() >= MAX_REQUESTS_PER_CONNECTION {
            return Err(Refusal::new(
                ErrorCode::TooManyRequests,
                format!("more than {MAX_REQUESTS_PER_CONNECTION} requests are open on this connection"),
            ));
        }
        let (cancel, window) = (parent.child_token(), Arc::new(Semaphore::new(window as usize)));
        active.insert(
            request_id,
            Active {
                cancel: cancel.clone(),
                window: window.clone(),
                skipped: HashSet::new(),
            },
        );
        Ok((cancel, window))
    }

    fn is_active(&self, request_id: u32) -> bool {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&request_id)
    }

    fn cancel(&self, request_id: u32) {
        if let Some(request) = self
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&request_id)
        {
            request.cancel.cancel();
        }
    }

    /// Notes positions that need no item. A request that ended meanwhile has nothing left to skip.
    fn skip(&self, request_id: u32, positions: Vec<u16>) -> Result<(), FrameError> {
        if positions
            .iter()
            .any(|&position| usize::from(position) >= MAX_KEYS_PER_GET)
        {
            return Err(FrameError::Malformed {
                kind: "Skip",
                reason: "no request has such a position",
            });
        }
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = active.get_mut(&request_id) {
            request.skipped.extend(positions);
        }
        Ok(())
    }

    /// Whether the client has said that it does not want this item.
    pub(super) fn is_skipped(&self, request_id: u32, position: u16) -> bool {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active
            .get(&request_id)
            .is_some_and(|request| request.skipped.contains(&position))
    }

    fn add_credit(&self, request_id: u32, bytes: u32) -> Result<(), FrameError> {
        // A request that ended meanwhile needs no credit.
        if let Some(request) = self
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&request_id)
        {
            if request.window.available_permits() + bytes as usize > MAX_REQUEST_WINDOW {
                return Err(FrameError::Malformed {
                    kind: "Credit",
                    reason: "the window exceeds its limit",
                });
            }
            request.window.add_permits(bytes as usize);
        }
        Ok(())
    }
}

/// Serves one authenticated connection until it ends; every task of it has ended when this returns or is dropped.
pub(super) async fn run<R, W>(
    input: R,
    output: W,
    shared: &Arc<Shared>,
    cancel: CancellationToken,
) -> Result<(), TransferError>
where
    R: AsyncRead + Unpin,
    W: Output,
{
    let _ends_everything = cancel.clone().drop_guard();
    let mut input = BufReader::with_capacity(READ_BUFFER, input);
    let (sender, receiver) = mpsc::channel(OUTGOING_QUEUE);
    let context = Arc::new(Context {
        shared: shared.clone(),
        send_credit: Arc::new(Semaphore::new(CONNECTION_SEND_CREDIT)),
        sends_ranges: W::SENDS_RANGES,
        report: Arc::new(Semaphore::new(1)),
        outgoing: sender,
        active: Mutex::new(HashMap::new()),
    });
    let requests = TaskTracker::new();
    let writer_stop = cancel.child_token();
    let mut writer = tokio::spawn(write_loop(
        output,
        receiver,
        shared.timeouts.progress,
        writer_stop.clone(),
    ));

    let result = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        result = &mut writer => return result.unwrap_or(Err(TransferError::ConnectionClosed)),
        result = read_loop(&mut input, &context, &requests, &cancel) => result,
    };
    if let Err(TransferError::Frame(error)) = &result {
        let code = match error {
            FrameError::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            _ => ErrorCode::Malformed,
        };
        let refusal = Refusal::new(code, error.to_string());
        let last_words = async {
            let _ = context.send(error_frame(0, &refusal), Vec::new()).await;
        };
        let _ = tokio::time::timeout(FLUSH_TIME, last_words).await;
    }
    // Requests stop, the writer sees the end of its queue once they are gone, and has a moment for what is queued.
    let requests_stop = std::mem::take(&mut *context.active.lock().unwrap_or_else(PoisonError::into_inner));
    requests_stop.values().for_each(|request| request.cancel.cancel());
    drop(context);
    let drain = async {
        // Input left unread would reset the connection and discard the frame that says why it ends.
        let (mut unread, mut nowhere) = ((&mut input).take(super::FAREWELL_BYTES), tokio::io::sink());
        let _ = tokio::join!(&mut writer, tokio::io::copy(&mut unread, &mut nowhere));
    };
    let _ = tokio::time::timeout(FLUSH_TIME, drain).await;
    result
}

async fn write_loop<W: Output>(
    mut output: W,
    mut queue: mpsc::Receiver<Outgoing>,
    progress: Duration,
    stop: CancellationToken,
) -> Result<(), TransferError> {
    // Dropped before the queue: requests stop before the credit that the queue holds comes back to them.
    let _requests_stop = stop.clone().drop_guard();
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = queue.recv() => next,
        };
        let Some(Outgoing { frame, range, credit }) = next else {
            let _ = output.shutdown().await;
            return Ok(());
        };
        let write = async {
            match &range {
                None => frame.write(&mut output, progress).await,
                Some(range) => write_range(&mut output, &frame, range, progress).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            result = write => result?,
        }
        drop(credit);
    }
}

async fn write_range<W: Output>(
    output: &mut W,
    frame: &Frame,
    range: &FileRange,
    limit: Duration,
) -> Result<(), TransferError> {
    let front = frame.front_of_range(range);
    match tokio::time::timeout(limit, output.send_range(&front, range)).await {
        Ok(result) => result.map_err(|error| TransferError::io("writing to the peer", &error)),
        Err(_) => Err(TransferError::TimedOut {
            operation: "writing a frame to the peer",
            limit,
        }),
    }
}

async fn read_loop<R: AsyncRead + Unpin>(
    input: &mut R,
    context: &Arc<Context>,
    requests: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<(), TransferError> {
    let times = context.shared.timeouts;
    while let Some(header) = read_header(input, times.idle, times.progress).await? {
        let id = header.request_id;
        if opens_request(header.kind) && (id == 0 || context.is_active(id)) {
            return Err(FrameError::Malformed {
                kind: header.kind.name(),
                reason: "the request id is 0 or in use",
            }
            .into());
        }
        // Only a `Put` is long; it waits for room before a byte of it is read.
        let room = match header.kind {
            FrameKind::Put => Some(reserve(&context.shared.put_budget, &header).await?),
            _ => None,
        };
        let payload = match header.kind {
            kind if opens_request(kind)
                || matches!(
                    kind,
                    FrameKind::Ping
                        | FrameKind::Credit
                        | FrameKind::Cancel
                        | FrameKind::Skip
                        | FrameKind::Damaged
                ) =>
            {
                read_payload_into(input, &header, times.progress, &context.shared.buffers).await?
            }
            kind => {
                return Err(FrameError::Unexpected {
                    kind: kind.name(),
                    during: "from a client",
                }
                .into());
            }
        };
        match header.kind {
            FrameKind::Get => {
                let get = Get::decode(payload)?;
                let window = get.window;
                start(context, requests, cancel, id, window, |context, window| {
                    requests::get(context, id, get, window)
                })
                .await;
            }
            FrameKind::Put => {
                let (key, hash, bytes) = decode_put(payload)?;
                start(context, requests, cancel, id, 0, |context, _| async move {
                    let result = requests::put(&context, id, key, hash, bytes).await;
                    drop(room);
                    result
                })
                .await;
            }
            FrameKind::GetSector => {
                let get = GetSector::decode(payload)?;
                start(context, requests, cancel, id, get.window, |context, window| {
                    requests::get_sector(context, id, get, window)
                })
                .await;
            }
            FrameKind::Ack => {
                let key = SectorKey::from_bytes(&decode_array(FrameKind::Ack, payload)?);
                start(context, requests, cancel, id, 0, |context, _| {
                    requests::acknowledge(context, id, key)
                })
                .await;
            }
            FrameKind::Ping => {
                context.shared.buffers.trim();
                let _ = context
                    .send(Frame::small(FrameKind::Pong, id, Vec::new()), Vec::new())
                    .await;
            }
            FrameKind::Credit => {
                context.add_credit(id, u32::from_le_bytes(decode_array(FrameKind::Credit, payload)?))?;
            }
            FrameKind::Cancel => context.cancel(id),
            FrameKind::Skip => context.skip(id, decode_skip(&payload)?)?,
            FrameKind::Damaged => {
                let key = ItemKey::from_bytes(&decode_array(FrameKind::Damaged, payload)?)?;
                context.reported(key, requests, cancel);
            }
            kind => {
                return Err(FrameError::Unexpected {
                    kind: kind.name(),
                    during: "from a client",
                }
                .into());
            }
        }
    }
    Ok(())
}

fn opens_request(kind: FrameKind) -> bool {
    matches!(
        kind,
        FrameKind::Get | FrameKind::Put | FrameKind::GetSector | FrameKind::Ack
    )
}

async fn reserve(budget: &Arc<Semaphore>, header: &Header) -> Result<OwnedSemaphorePermit, TransferError> {
    budget
        .clone()
        .acquire_many_owned(header.payload_len)
        .await
        .map_err(|_| TransferError::ShuttingDown)
}

/// Runs one request in its own task. Its failure, or its panic, is answered and leaves the connection alone.
async fn start<F, Work>(
    context: &Arc<Context>,
    requests: &TaskTracker,
    parent: &CancellationToken,
    id: u32,
    window: u32,
    work: F,
) where
    F: FnOnce(Arc<Context>, Arc<Semaphore>) -> Work,
    Work: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let (cancel, window) = match context.begin(id, window, parent) {
        Ok(begun) => begun,
        Err(refusal) => {
            // The queue is bounded, so a flood of requests is slowed down to what its sender reads.
            let _ = context
                .outgoing
                .send(Outgoing {
                    frame: error_frame(id, &refusal),
                    range: None,
                    credit: Vec::new(),
                })
                .await;
            return;
        }
    };
    let work = AssertUnwindSafe(work(context.clone(), window)).catch_unwind();
    let context = context.clone();
    requests.spawn(async move {
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            result = work => result,
        };
        let refusal = match result {
            Ok(Ok(())) => return context.finish(id),
            Ok(Err(refusal)) => refusal,
            Err(_) => {
                warn!(request = id, "a data plane request panicked");
                Refusal::new(ErrorCode::Internal, "the request failed inside this member")
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            _ = context.send(error_frame(id, &refusal), Vec::new()) => {}
        }
    });
}

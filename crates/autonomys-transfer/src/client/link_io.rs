//! The two loops of a client connection: frames in, frames out.

use super::link::Link;
use crate::buffers::Buffers;
use crate::error::{FrameError, TransferError};
use crate::frame::{Frame, FrameKind};
use crate::limits::Timeouts;
use crate::message::{damaged_frame, skip_frame};
use crate::reading::{read_header, read_item, read_payload_into};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::debug;

/// Small frames are read through a buffer of this size; payloads longer than it bypass it.
const READ_BUFFER: usize = 16 * 1024;

/// Runs the connection until it breaks or is closed, then tells every waiting request why.
pub(super) async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    input: R,
    output: W,
    link: Arc<Link>,
    queue: mpsc::Receiver<Frame>,
    times: Timeouts,
    buffers: Buffers,
) {
    let mut input = BufReader::with_capacity(READ_BUFFER, input);
    let result = tokio::select! {
        () = link.closed.cancelled() => Err(TransferError::ShuttingDown),
        result = read_loop(&mut input, &link, &times, &buffers) => result,
        result = write_loop(output, &link, queue, &times, &buffers) => result,
    };
    let reason = result.err().unwrap_or(TransferError::ConnectionClosed);
    debug!(%reason, "data plane connection to a peer ended");
    link.pending().fail_all(&reason);
    link.closed.cancel();
}

async fn read_loop<R: AsyncRead + Unpin>(
    input: &mut R,
    link: &Link,
    times: &Timeouts,
    buffers: &Buffers,
) -> Result<(), TransferError> {
    while let Some(header) = read_header(input, times.idle, times.progress).await? {
        match header.kind {
            FrameKind::Item
            | FrameKind::Missing
            | FrameKind::SectorChunk
            | FrameKind::Done
            | FrameKind::Error
            | FrameKind::Pong => {}
            kind => {
                return Err(FrameError::Unexpected {
                    kind: kind.name(),
                    during: "from a server",
                }
                .into());
            }
        }
        if header.kind == FrameKind::Item {
            let item = read_item(input, &header, times.progress, buffers).await?;
            link.mark_answered();
            link.pending().deliver_item(&header, item)?;
            continue;
        }
        let payload = read_payload_into(input, &header, times.progress, buffers).await?;
        if header.kind != FrameKind::Pong {
            link.mark_answered();
            link.pending().deliver(&header, payload)?;
        }
    }
    Ok(())
}

async fn write_loop<W: AsyncWrite + Unpin>(
    mut output: W,
    link: &Link,
    mut queue: mpsc::Receiver<Frame>,
    times: &Timeouts,
    buffers: &Buffers,
) -> Result<(), TransferError> {
    let mut ping = interval_at(Instant::now() + times.ping, times.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            frame = queue.recv() => Some(frame.ok_or(TransferError::ConnectionClosed)?),
            () = link.control_ready.notified() => None,
            _ = ping.tick() => {
                buffers.trim();
                Some(Frame::small(FrameKind::Ping, 0, Vec::new()))
            }
        };
        // Cancellations go before any later request: its place at the peer may be the one they free.
        let (cancels, credits, skips, damaged) = {
            let mut control = link.control();
            (
                std::mem::take(&mut control.cancels),
                std::mem::take(&mut control.credits),
                std::mem::take(&mut control.skips),
                std::mem::take(&mut control.damaged),
            )
        };
        let cancels = cancels
            .into_iter()
            .map(|id| Frame::small(FrameKind::Cancel, id, Vec::new()));
        let credits = credits
            .into_iter()
            .map(|(id, bytes)| Frame::small(FrameKind::Credit, id, bytes.to_le_bytes().to_vec()));
        let skips = skips
            .into_iter()
            .map(|(id, positions)| skip_frame(id, &positions));
        let reports = damaged.iter().map(damaged_frame);
        for frame in cancels.chain(credits).chain(skips).chain(reports) {
            frame.write(&mut output, times.progress).await?;
        }
        // A request that was given up in the queue is not sent at all: its cancellation may have gone out above.
        if let Some(frame) =
            frame.filter(|frame| frame.request_id == 0 || link.pending().contains(frame.request_id))
        {
            frame.write(&mut output, times.progress).await?;
        }
    }
}

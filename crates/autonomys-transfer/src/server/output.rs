//! The sending half of a connection: frames from memory on every one, ranges of files where the socket is bare.

use crate::range::{FileRange, Pushed};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use tokio::io::{AsyncWrite, Interest, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tracing::warn;

/// What is sent in place of bytes that a file does not have.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// Where a connection's frames go.
pub(super) trait Output: AsyncWrite + Unpin + Send + 'static {
    /// Whether [`send_range`](Self::send_range) works here.
    const SENDS_RANGES: bool;

    /// Sends `front` and the range behind it. The range always has its full length on the wire: what the file does not have goes
    /// out as zeros, which the frame's checksum gives away.
    fn send_range(&mut self, front: &[u8], range: &FileRange) -> impl Future<Output = io::Result<()>> + Send;
}

impl Output for OwnedWriteHalf {
    const SENDS_RANGES: bool = true;

    async fn send_range(&mut self, front: &[u8], range: &FileRange) -> io::Result<()> {
        let socket: &TcpStream = self.as_ref();
        // The kernel waits for the bytes behind it rather than send it alone.
        send_all(socket, front, nix::libc::MSG_MORE).await?;
        let mut sent = 0;
        loop {
            let pushed = if range.is_cached(sent) {
                // Waits for no disk, and costs less than the change to another thread.
                range.push(socket, &mut sent)?
            } else {
                let (socket, range) = (socket.as_fd().try_clone_to_owned()?, range.clone());
                let work = move || {
                    let mut sent = sent;
                    range.read_ahead(sent);
                    range.push(socket, &mut sent).map(|pushed| (pushed, sent))
                };
                let done = tokio::task::spawn_blocking(work).await;
                let (pushed, total) = done.map_err(io::Error::other)??;
                sent = total;
                pushed
            };
            match pushed {
                Pushed::All => return Ok(()),
                Pushed::Full => writable(socket).await?,
                Pushed::Lost(error) => {
                    warn!(%error, ?range, sent, "an item could not be read while it was sent; its reader sees the damage");
                    return fill(socket, range.length - sent).await;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin + Send + 'static> Output for WriteHalf<S> {
    const SENDS_RANGES: bool = false;

    async fn send_range(&mut self, _front: &[u8], _range: &FileRange) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

async fn send_all(socket: &TcpStream, mut bytes: &[u8], flags: i32) -> io::Result<()> {
    let flags = flags | nix::libc::MSG_NOSIGNAL;
    while !bytes.is_empty() {
        let send = || SockRef::from(socket).send_with_flags(bytes, flags);
        let count = socket.async_io(Interest::WRITABLE, send).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}

async fn fill(socket: &TcpStream, mut length: usize) -> io::Result<()> {
    while length > 0 {
        let count = length.min(ZEROS.len());
        send_all(socket, &ZEROS[..count], 0).await?;
        length -= count;
    }
    Ok(())
}

/// Waits for room in the socket's buffer. The socket is asked itself, between looking at the runtime's note of its readiness and
/// taking that back: room that came in between is not missed.
async fn writable(socket: &TcpStream) -> io::Result<()> {
    let ask = || {
        let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut asked, PollTimeout::ZERO)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    };
    socket.async_io(Interest::WRITABLE, ask).await
}

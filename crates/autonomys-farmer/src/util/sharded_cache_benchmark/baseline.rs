//! A plain TCP copy as the yardstick: what the same path carries when nobody looks anything up, checks anything or decodes anything.
//!
//! One connection as the system makes it, a thread that writes the pieces of a segment again and again, and a thread that reads into a
//! buffer of one piece. A segment is more than processors keep near them: the sender's bytes come from memory, as those of pieces in
//! the page cache do. It stands at the address of one of the caches, so it takes the path that the pieces took, which is possible only
//! when that address is one of this machine.

use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::PIECE_SIZE;
use subspace_core_primitives::segments::ARCHIVED_HISTORY_SEGMENT_SIZE;

/// A loopback copy moves megabytes in milliseconds; a side that hears nothing for this long has lost the other.
const STALLED_AFTER: Duration = Duration::from_secs(20);

/// Whether a socket can be bound to the address, so whether it is one of this machine.
pub(super) fn is_local(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

/// Copies that many bytes over one TCP connection at `address` and returns how long it took from the first byte on. Blocking.
pub(super) fn tcp_copy(address: IpAddr, bytes: u64) -> Result<Duration> {
    let listener = TcpListener::bind((address, 0))
        .with_context(|| format!("cannot listen on {address} for the baseline"))?;
    let at = listener.local_addr()?;
    // Not zeros: pages that were never written are all one page.
    let pieces = vec![0x5a; ARCHIVED_HISTORY_SEGMENT_SIZE];
    std::thread::scope(|scope| {
        let pieces = &pieces;
        let sender = scope.spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.set_write_timeout(Some(STALLED_AFTER))?;
            let mut left = bytes;
            for piece in pieces.chunks_exact(PIECE_SIZE).cycle() {
                let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                stream.write_all(&piece[..chunk])?;
                left -= chunk as u64;
                if left == 0 {
                    break;
                }
            }
            Ok(())
        });
        let received = receive(at, bytes);
        let sent = sender
            .join()
            .map_err(|_| anyhow::anyhow!("the sender of the baseline crashed"))?;
        let took = received.context("the baseline's receiver failed")?;
        sent.context("the baseline's sender failed")?;
        Ok(took)
    })
}

fn receive(address: std::net::SocketAddr, bytes: u64) -> Result<Duration> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(STALLED_AFTER))?;
    let mut buffer = vec![0; PIECE_SIZE];
    let started = Instant::now();
    let mut received = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => received += read as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(received == bytes, "{received} of {bytes} bytes came");
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn copies_exactly_and_knows_its_own_addresses() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(is_local(loopback));
        // A documentation address, which no machine has.
        assert!(!is_local(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        for bytes in [0, 1, 3 * PIECE_SIZE as u64 + 5] {
            let took = tcp_copy(loopback, bytes).unwrap();
            assert!(took < STALLED_AFTER);
        }
    }
}

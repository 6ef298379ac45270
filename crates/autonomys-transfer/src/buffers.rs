//! Receive buffers that are used again: a fresh megabyte costs as much in page faults as copying into it.

use crate::limits::{BUFFER_KEPT_FOR, BUFFERS_KEPT_BYTES, SMALL_PAYLOAD};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Buffers of one pool or server. Cheap to clone; what is kept is bounded by bytes and by time.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    /// The most recently used last: it is the one most likely still in the processor's cache.
    buffers: VecDeque<(Vec<u8>, Instant)>,
    bytes: usize,
}

/// A buffer of exactly the length asked for; its memory goes back when it, or the last [`Bytes`] made of it, is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl Buffers {
    /// A buffer of `length` bytes with any content.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        if length <= SMALL_PAYLOAD {
            return Buffer {
                bytes: vec![0; length],
                home: None,
            };
        }
        // Not more than an eighth too long, so that small items do not hold the memory of large ones.
        let fits = |capacity: usize| capacity >= length && capacity - length <= capacity / 8;
        let mut free = self.free();
        let found = free.buffers.iter().rposition(|(bytes, _)| fits(bytes.capacity()));
        let kept = found.and_then(|at| free.buffers.remove(at));
        if let Some((bytes, _)) = &kept {
            free.bytes -= bytes.capacity();
        }
        drop(free);
        // A new one comes as zero pages from the system, which costs no pass over it.
        let mut bytes = kept.map_or_else(|| vec![0; length], |(bytes, _)| bytes);
        bytes.resize(length, 0);
        Buffer {
            bytes,
            home: Some(self.clone()),
        }
    }

    /// Frees buffers that nobody has needed for a while.
    pub(crate) fn trim(&self) {
        let mut free = self.free();
        while let Some((_, since)) = free.buffers.front()
            && since.elapsed() >= BUFFER_KEPT_FOR
        {
            free.drop_oldest();
        }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn kept(&self) -> (usize, usize) {
        let free = self.free();
        (free.buffers.len(), free.bytes)
    }
}

impl Free {
    fn drop_oldest(&mut self) {
        if let Some((bytes, _)) = self.buffers.pop_front() {
            self.bytes -= bytes.capacity();
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Buffers(..)")
    }
}

impl Buffer {
    /// Shares the bytes; the buffer comes home with the last reference.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = home.free();
        free.bytes += bytes.capacity();
        free.buffers.push_back((bytes, Instant::now()));
        while free.bytes > BUFFERS_KEPT_BYTES {
            free.drop_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_home_and_is_used_again() {
        let buffers = Buffers::default();
        let first = buffers.take(1_000_000).freeze();
        let (address, second) = (first.as_ptr(), first.slice(10..));
        drop(first);
        assert_eq!(buffers.kept(), (0, 0));
        drop(second);
        assert_eq!(buffers.kept(), (1, 1_000_000));
        // One that is far too long is left alone, a fitting one is taken.
        assert_eq!(buffers.take(500_000).freeze().len(), 500_000);
        let again = buffers.take(999_000).freeze();
        assert_eq!((again.as_ptr(), again.len()), (address, 999_000));
        drop(buffers.take(10));
        assert_eq!(buffers.kept(), (1, 500_000));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::default();
        let count = BUFFERS_KEPT_BYTES / 1_000_000 + 5;
        let taken: Vec<_> = (0..count).map(|_| buffers.take(1_000_000)).collect();
        drop(taken);
        let (kept, bytes) = buffers.kept();
        assert!(kept == count - 5 && bytes <= BUFFERS_KEPT_BYTES);
        buffers.trim();
        assert_eq!(buffers.kept().0, kept, "they are young");
    }
}

//! Many reads in flight on one file through io_uring, from one thread.

use io_uring::{IoUring, Probe, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Reads in flight on one disk: consumer NVMe drives give most of their random reads per second from here on, and more only lengthens
/// their queues.
pub(crate) const QUEUE_DEPTH: u32 = 128;
/// The kernel is asked to wait until this part of the reads in flight is done, so that few calls serve many reads and the queue stays full.
const WAIT_FOR: usize = 4;
/// Bytes read from [`TRIAL_FILE`] to see whether the kernel lets this process read that way.
const TRIAL_SIZE: usize = 64;
const TRIAL_FILE: &str = "/dev/zero";

/// Where to read, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    /// Never zero.
    pub(crate) length: usize,
}

/// A ring with a buffer for each read in flight. Buffers keep the size of the largest read so far.
pub(crate) struct ReadRing {
    ring: IoUring,
    /// One for each entry of the ring. The kernel may write to the buffer of a slot whose `span` is set, and nobody else touches it.
    slots: Vec<Slot>,
    in_flight: usize,
}

#[derive(Debug, Default)]
struct Slot {
    buffer: Vec<u8>,
    /// Being read.
    span: Option<Span>,
    /// Bytes of the span that are here already.
    done: usize,
}

impl ReadRing {
    /// Makes a ring and reads through it once, which says whether it can be used.
    ///
    /// # Errors
    /// What the kernel says, when it has no io_uring, has it switched off, or a container forbids it.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::new(QUEUE_DEPTH)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Read::CODE) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel is older than 5.6",
            ));
        }
        let mut this = Self {
            ring,
            slots: (0..QUEUE_DEPTH).map(|_| Slot::default()).collect(),
            in_flight: 0,
        };
        let span = Span {
            offset: 0,
            length: TRIAL_SIZE,
        };
        let mut outcome = Ok(());
        let file = File::open(TRIAL_FILE)?;
        this.read_all(&file, 1, std::iter::once((span, ())), |(), read| {
            outcome = read.map(drop);
        })?;
        outcome.map(|()| this)
    }

    /// Reads all spans, at most `at_once` of them at a time, and hands each with its tag to `each` as it comes, in any order. Spans are
    /// asked for as they are needed.
    ///
    /// # Errors
    /// Only when the ring itself fails; then some spans were not handed over, and the ring is of no use any more. What is wrong with the
    /// file goes to `each`.
    pub(crate) fn read_all<T>(
        &mut self,
        file: &File,
        at_once: usize,
        spans: impl IntoIterator<Item = (Span, T)>,
        mut each: impl FnMut(T, io::Result<&[u8]>),
    ) -> io::Result<()> {
        // Left by a caller that panicked.
        self.drain()?;
        let at_once = at_once.clamp(1, self.slots.len());
        let mut tags: Vec<Option<T>> = (0..at_once).map(|_| None).collect();
        let mut free: Vec<usize> = (0..at_once).rev().collect();
        let mut spans = spans.into_iter().fuse();
        let mut completed: Vec<(usize, i32)> = Vec::with_capacity(at_once);
        let mut ended: Vec<(usize, io::Result<usize>)> = Vec::with_capacity(at_once);
        loop {
            while let Some(slot) = free.pop() {
                let Some((span, tag)) = spans.next() else {
                    free.push(slot);
                    break;
                };
                tags[slot] = Some(tag);
                self.begin(file, slot, span)?;
            }
            if self.in_flight == 0 {
                return Ok(());
            }
            self.wait((self.in_flight / WAIT_FOR).max(1))?;
            completed.clear();
            for entry in self.ring.completion() {
                completed.push((entry.user_data() as usize, entry.result()));
            }
            // All that the kernel has reported is taken note of before any of it is handed over: should `each` panic, nobody waits for it
            // again.
            for &(slot, result) in &completed {
                if let Some(outcome) = self.complete(file, slot, result) {
                    ended.push((slot, outcome));
                }
            }
            for (slot, outcome) in ended.drain(..) {
                free.push(slot);
                if let Some(tag) = tags[slot].take() {
                    each(tag, outcome.map(|length| &self.slots[slot].buffer[..length]));
                }
            }
        }
    }

    /// Starts to read a span into a free slot.
    fn begin(&mut self, file: &File, slot: usize, span: Span) -> io::Result<()> {
        let state = &mut self.slots[slot];
        if state.buffer.len() < span.length {
            state.buffer.resize(span.length, 0);
        }
        state.span = Some(span);
        state.done = 0;
        let pushed = self.push(file, slot, span);
        match pushed {
            Ok(()) => self.in_flight += 1,
            Err(_) => self.slots[slot].span = None,
        }
        pushed
    }

    /// Queues the read of what is missing in a slot.
    fn push(&mut self, file: &File, slot: usize, span: Span) -> io::Result<()> {
        let state = &mut self.slots[slot];
        let rest = &mut state.buffer[state.done..span.length];
        let length = u32::try_from(rest.len()).map_err(io::Error::other)?;
        let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), rest.as_mut_ptr(), length)
            .offset(span.offset + state.done as u64)
            .build()
            .user_data(slot as u64);
        // SAFETY: the pointer is to `length` bytes of a buffer on the heap that belongs to this ring and is neither read, written, moved
        // nor freed as long as the slot's span is set, which is until the kernel has reported the end of this read: `begin` only gets
        // free slots, and `drop` leaks the buffers when the end is not reported.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        // There are as many entries as slots.
        pushed.map_err(|_| io::Error::other("the submission queue is full"))
    }

    /// Takes note of what the kernel has reported: `None` when the read goes on, else how much is there or why not.
    fn complete(&mut self, file: &File, slot: usize, result: i32) -> Option<io::Result<usize>> {
        let state = &mut self.slots[slot];
        let span = state.span?;
        let mut outcome = match result {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            error if error < 0 => match io::Error::from_raw_os_error(-error) {
                error
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) =>
                {
                    Ok(())
                }
                error => Err(error),
            },
            read => {
                state.done += read as usize;
                Ok(())
            }
        };
        if outcome.is_ok() && state.done < span.length {
            match self.push(file, slot, span) {
                Ok(()) => return None,
                Err(error) => outcome = Err(error),
            }
        }
        self.slots[slot].span = None;
        self.in_flight -= 1;
        Some(outcome.map(|()| span.length))
    }

    /// Hands over what is queued and waits until `count` reads are done.
    fn wait(&mut self, count: usize) -> io::Result<()> {
        loop {
            match self.ring.submit_and_wait(count) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the end of everything in flight, whatever comes of it.
    fn drain(&mut self) -> io::Result<()> {
        while self.in_flight > 0 {
            self.wait(1)?;
            for entry in self.ring.completion() {
                let slot = &mut self.slots[entry.user_data() as usize];
                if slot.span.take().is_some() {
                    self.in_flight -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Drop for ReadRing {
    fn drop(&mut self) {
        if self.drain().is_err() {
            // The kernel may still write to them.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn ring() -> Option<ReadRing> {
        match ReadRing::new() {
            Ok(ring) => Some(ring),
            Err(error) => {
                println!("SKIPPED: no io_uring here: {error}");
                None
            }
        }
    }

    fn file(size: usize) -> (File, Vec<u8>) {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(&bytes).expect("written");
        (file, bytes)
    }

    #[test]
    fn everything_is_read_once_with_any_depth() {
        let Some(mut ring) = ring() else { return };
        let (file, bytes) = file(1_000_000);
        for at_once in [1, 7, 128, 100_000] {
            // More spans than the ring has entries, of different sizes, the last up to the very end.
            let spans: Vec<_> = (0..1000_usize)
                .map(|number| {
                    let offset = number * 997 + 1;
                    (
                        Span {
                            offset: offset as u64,
                            length: (bytes.len() - offset).min(1 + number * 13 % 9000),
                        },
                        number,
                    )
                })
                .collect();
            let mut seen = vec![0; spans.len()];
            ring.read_all(&file, at_once, spans.clone(), |number, read| {
                let Span { offset, length } = spans[number].0;
                assert!(read.expect("readable") == &bytes[offset as usize..][..length]);
                seen[number] += 1;
            })
            .expect("the ring works");
            assert!(seen.iter().all(|&times| times == 1));
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_touch_the_others() {
        let Some(mut ring) = ring() else { return };
        let (file, bytes) = file(10_000);
        let spans = [(0, 100), (9_950, 51), (20_000, 1), (9_900, 100)];
        let spans = spans.map(|(offset, length)| (Span { offset, length }, offset));
        let mut outcomes = Vec::new();
        ring.read_all(&file, 2, spans, |offset, read| {
            let read = read.map(<[u8]>::to_vec).map_err(|error| error.kind());
            outcomes.push((offset, read));
        })
        .expect("the ring works");
        outcomes.sort_by_key(|(offset, _)| *offset);
        let eof = || Err(io::ErrorKind::UnexpectedEof);
        let expected = [
            (0, Ok(bytes[..100].to_vec())),
            (9_900, Ok(bytes[9_900..].to_vec())),
            (9_950, eof()),
            (20_000, eof()),
        ];
        assert_eq!(outcomes, expected);
        // A file that may not be read.
        let closed = File::options().write(true).open("/dev/null").expect("there");
        let span = Span { offset: 0, length: 8 };
        ring.read_all(&closed, 1, [(span, ())], |(), read| {
            assert_eq!(read.expect_err("write only").raw_os_error(), Some(9));
        })
        .expect("the ring works");
    }

    #[test]
    fn a_panic_leaves_the_ring_usable() {
        let Some(mut ring) = ring() else { return };
        let (file, bytes) = file(100_000);
        let spans = |length| {
            (0..50_u64).map(move |number| {
                let offset = number * 1000;
                (Span { offset, length }, offset as usize)
            })
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = ring.read_all(&file, 50, spans(900), |_, _| panic!("in the middle"));
        }));
        assert!(panicked.is_err());
        let mut count = 0;
        ring.read_all(&file, 50, spans(1000), |offset, read| {
            assert!(read.expect("readable") == &bytes[offset..][..1000]);
            count += 1;
        })
        .expect("the ring works");
        assert_eq!(count, 50);
    }
}

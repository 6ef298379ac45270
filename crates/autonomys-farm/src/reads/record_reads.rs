//! The chunks of one record through a ring: neighbours in one read, all reads in flight together.

use super::farm_reader::FarmReader;
use super::ring::{QUEUE_DEPTH, Span};
use std::fs::File;
use std::io;
use std::ops::Range;
use subspace_farmer_components::read_at::ReadAt;

/// Bytes of a chunk.
const CHUNK: u64 = 32;
/// Chunks that are not further apart than a page are read together: the page is read anyway.
const GAP: u64 = 4096;
/// Longest read, so that the buffers of a ring take 2 MiB: small sectors come in few reads, in large ones hardly any chunks are neighbours.
const LONGEST_READ: u64 = 16 * 1024;

/// A plot file whose chunks are read through the rings of a reader.
pub(super) struct RingFile<'a> {
    pub(super) reader: &'a FarmReader,
    pub(super) file: &'a File,
}

impl ReadAt for RingFile<'_> {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_into(offset, buffer)
    }

    fn read_chunks(&self, offsets: &[u64], chunks: &mut [[u8; 32]]) -> io::Result<()> {
        if offsets.len() != chunks.len() {
            // Says so.
            return self.file.read_chunks(offsets, chunks);
        }
        let Some(mut ring) = self.reader.take_ring() else {
            return self.file.read_chunks(offsets, chunks);
        };
        let mut failed = None;
        let spans = spans(offsets).map(|range| {
            let offset = offsets[range.start];
            let length = offsets[range.end - 1] + CHUNK - offset;
            // At most `LONGEST_READ`.
            let length = length as usize;
            (Span { offset, length }, range)
        });
        let read = ring.read_all(
            self.file,
            QUEUE_DEPTH as usize,
            spans,
            |range, bytes| match bytes {
                Ok(bytes) => {
                    let first = offsets[range.start];
                    for (offset, chunk) in offsets[range.clone()].iter().zip(&mut chunks[range]) {
                        let start = (offset - first) as usize;
                        chunk.copy_from_slice(&bytes[start..start + CHUNK as usize]);
                    }
                }
                Err(error) => failed = Some(error),
            },
        );
        match (read, failed) {
            (Ok(()), None) => {
                self.reader.give_back(ring);
                Ok(())
            }
            (Ok(()), Some(error)) => {
                self.reader.give_back(ring);
                Err(error)
            }
            (Err(error), _) => {
                self.reader.ring_failed(&error);
                self.file.read_chunks(offsets, chunks)
            }
        }
    }
}

/// Splits ascending offsets into runs that are read at once.
fn spans(offsets: &[u64]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = *offsets.get(start)?;
        let mut end = start + 1;
        while let Some(&next) = offsets.get(end) {
            let apart = next.checked_sub(offsets[end - 1] + CHUNK);
            let joins = apart.is_none_or(|apart| apart <= GAP)
                // Descending or overlapping ones begin anew; nobody asks for such.
                && next >= first
                && next + CHUNK - first <= LONGEST_READ;
            if !joins {
                break;
            }
            end += 1;
        }
        let span = start..end;
        start = end;
        Some(span)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together() {
        let all = |offsets: &[u64]| spans(offsets).collect::<Vec<_>>();
        assert!(all(&[]).is_empty());
        assert_eq!(all(&[7, 7 + 10 * GAP]), [0..1, 1..2]);
        assert_eq!(all(&[0, 32, 64 + GAP, 97 + 2 * GAP]), [0..3, 3..4]);
        // No longer than the longest.
        let dense: Vec<_> = (0..2000).map(|number| number * CHUNK).collect();
        let spans = all(&dense);
        assert!(spans.iter().all(|span| span.len() as u64 * CHUNK <= LONGEST_READ));
        assert_eq!(spans.len(), (2000 * CHUNK).div_ceil(LONGEST_READ) as usize);
        assert_eq!(spans.iter().map(ExactSizeIterator::len).sum::<usize>(), 2000);
        for window in spans.windows(2) {
            assert_eq!(window[0].end, window[1].start);
        }
    }
}

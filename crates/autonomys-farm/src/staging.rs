//! Bytes of a sector on their way into the plot file: gathered into whole blocks, because direct I/O takes nothing else.
//!
//! Sectors do not begin and end at block boundaries (a sector of 1000 pieces has 1 056 896 064 bytes, 64 more than a multiple of 4096),
//! so the first and the last block of a sector belong to its neighbours as well. Such a block is read, changed and written back while
//! nobody else does the same in this file. Without direct I/O ranges are written as they come.

use crate::allocation::PAGE;
use crate::direct::{AlignedBuffer, BLOCK};
use crate::plot_file::PlotFile;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes gathered before they are written: large enough that a disk is written to at full speed, small enough that a
/// dozen farms with two sectors each on their way need 100 MB.
pub(crate) const STAGED: usize = 4 * 1024 * 1024;

/// Bytes that follow each other in the file and are not written yet.
#[derive(Debug)]
pub(crate) struct Staging {
    buffer: AlignedBuffer,
    /// Place in the file of the buffer's first byte, a multiple of the block size.
    base: u64,
    /// Staged bytes in the buffer; `from` is within the first block.
    from: usize,
    to: usize,
}

impl Staging {
    pub(crate) fn new() -> Self {
        Self {
            buffer: AlignedBuffer::new(STAGED),
            base: 0,
            from: 0,
            to: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Takes bytes for a place in the file; writes what is staged whenever that is full, and first when the bytes do not follow it.
    pub(crate) fn write(&mut self, plot: &PlotFile, mut place: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if !self.is_empty() && self.base + self.to as u64 != place {
                self.flush(plot)?;
            }
            if self.is_empty() {
                self.base = place / PAGE * PAGE;
                self.from = (place - self.base) as usize;
                self.to = self.from;
            }
            let size = bytes.len().min(STAGED - self.to);
            let (now, later) = bytes.split_at(size);
            self.buffer.bytes_mut()[self.to..self.to + size].copy_from_slice(now);
            self.to += size;
            place += size as u64;
            bytes = later;
            if self.to == STAGED {
                self.flush(plot)?;
            }
        }
        Ok(())
    }

    /// Writes what is staged. After an error nothing is staged any more: the sector has to be written anew.
    pub(crate) fn flush(&mut self, plot: &PlotFile) -> io::Result<()> {
        let (from, to) = (self.from, self.to);
        (self.from, self.to) = (0, 0);
        if from == to {
            return Ok(());
        }
        let Some(direct) = plot.direct() else {
            let place = self.base + from as u64;
            return plot.whole().write_all_at(&self.buffer.bytes()[from..to], place);
        };
        let end = to.next_multiple_of(BLOCK);
        if from == 0 && to == end {
            return direct.write_all_at(&self.buffer.bytes()[..end], self.base);
        }
        let _edge = plot.edges().lock();
        let mut block = AlignedBuffer::new(BLOCK);
        if from > 0 {
            direct.read_exact_at(block.bytes_mut(), self.base)?;
            self.buffer.bytes_mut()[..from].copy_from_slice(&block.bytes()[..from]);
        }
        if to < end {
            let last = end - BLOCK;
            direct.read_exact_at(block.bytes_mut(), self.base + last as u64)?;
            self.buffer.bytes_mut()[to..end].copy_from_slice(&block.bytes()[to - last..]);
        }
        direct.write_all_at(&self.buffer.bytes()[..end], self.base)
    }
}

//! Direct I/O: reads and writes that pass the page cache by, in whole blocks at aligned places.
//!
//! A sector of 1000 pieces is 1 GB. Through the page cache it would push out what audits read, and an error would show long after the
//! write that caused it.

use crate::allocation::PAGE;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that direct I/O comes in, in memory and in the file: the page size, which every disk's block size divides.
pub(crate) const BLOCK: usize = PAGE as usize;

/// Memory that begins at a multiple of [`BLOCK`].
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    size: usize,
}

impl AlignedBuffer {
    /// `size` zeroes.
    pub(crate) fn new(size: usize) -> Self {
        let memory = vec![0; size + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self { memory, start, size }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.size]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.size]
    }
}

/// Opens a file for direct I/O; `None` where the file system has none.
pub(crate) fn open(path: &Path) -> Option<File> {
    open_with(File::options().read(true).write(true), path)
}

/// As [`open`], to read only.
pub(crate) fn open_to_read(path: &Path) -> Option<File> {
    open_with(File::options().read(true), path)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> Option<File> {
    let file = options.custom_flags(OFlag::O_DIRECT.bits()).open(path).ok()?;
    // Some file systems open such a file and refuse the first read, or want larger blocks. What else can go wrong shows later.
    let mut block = AlignedBuffer::new(BLOCK);
    match file.read_at(block.bytes_mut(), 0) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => None,
        _ => Some(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_large_as_asked_for() {
        for size in [BLOCK, 3 * BLOCK, 1 << 20] {
            let mut buffer = AlignedBuffer::new(size);
            assert_eq!(buffer.bytes().len(), size);
            assert_eq!(buffer.bytes_mut().as_ptr().align_offset(BLOCK), 0);
        }
    }
}

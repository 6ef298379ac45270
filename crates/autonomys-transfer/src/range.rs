//! Items that are ranges of files: the kernel sends them from its page cache, so that their bytes never pass through this process.
//!
//! Nobody reads the bytes on the way, so nobody checks them either: the frame's checksum is computed from the one that the store
//! keeps, and a reader that gets other bytes notices, asks elsewhere and reports (`Damaged`). That holds whatever changed them: a
//! disk, or a slot that was given to another item while it was sent.

use crate::source::Item;
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::sendfile::sendfile64;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// Size of a page. Where pages are larger the cache is taken to hold less than it does, which costs a change of threads only.
const PAGE: u64 = 4096;

/// Number of `cachestat`, the same on every architecture; since Linux 6.5.
const SYS_CACHESTAT: nix::libc::c_long = 451;

/// An item as it lies in a file, with what its store knows about it.
#[derive(Clone)]
pub struct FileRange {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// Where the item begins.
    pub offset: u64,
    /// Bytes of the item.
    pub length: usize,
    /// BLAKE3 of the item; the reader checks it.
    pub hash: [u8; 32],
    /// CRC32C of the item as it was stored.
    pub crc: u32,
}

/// How an item is given to the server.
#[derive(Debug, Clone)]
pub enum Served {
    /// Bytes in memory.
    Item(Item),
    /// A range of a file.
    Range(FileRange),
}

impl Served {
    /// Bytes of the item.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Item(item) => item.bytes().len(),
            Self::Range(range) => range.length,
        }
    }
}

/// How far a range got.
pub(crate) enum Pushed {
    /// The socket takes no more now.
    Full,
    /// All of it is on its way.
    All,
    /// The file does not have the rest.
    Lost(io::Error),
}

impl FileRange {
    /// Gives the socket as much as it takes, counting in `sent`. Reads the disk when the page cache does not have the bytes.
    ///
    /// # Errors
    ///
    /// What the socket says; trouble with the file is [`Pushed::Lost`].
    pub(crate) fn push(&self, socket: impl AsFd, sent: &mut usize) -> io::Result<Pushed> {
        while *sent < self.length {
            let position = i64::try_from(self.offset + *sent as u64);
            let mut position = position.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            match sendfile64(&socket, &*self.file, Some(&mut position), self.length - *sent) {
                Ok(0) => return Ok(Pushed::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => *sent += count,
                Err(Errno::EAGAIN) => return Ok(Pushed::Full),
                Err(Errno::EINTR) => {}
                // What disks and their file systems say; a socket says none of these.
                Err(
                    error @ (Errno::EIO | Errno::EBADMSG | Errno::EUCLEAN | Errno::ENODATA | Errno::ESTALE),
                ) => {
                    return Ok(Pushed::Lost(error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Pushed::All)
    }

    /// Asks the kernel to read what is left, all at once.
    pub(crate) fn read_ahead(&self, sent: usize) {
        // Advice only: without it the bytes are read step by step.
        if let (Ok(offset), Ok(length)) = (
            i64::try_from(self.offset + sent as u64),
            i64::try_from(self.length - sent),
        ) {
            let _ = posix_fadvise(
                &*self.file,
                offset,
                length,
                PosixFadviseAdvice::POSIX_FADV_WILLNEED,
            );
        }
    }

    /// Whether the page cache has all that is left, so that sending it waits for no disk. `false` where the kernel cannot tell.
    pub(crate) fn is_cached(&self, sent: usize) -> bool {
        let (start, end) = (self.offset + sent as u64, self.offset + self.length as u64);
        cached_pages(&self.file, start, end - start)
            .is_some_and(|pages| pages >= end.div_ceil(PAGE) - start / PAGE)
    }
}

/// Pages of this part of a file that the page cache has; `None` where the kernel does not say.
fn cached_pages(file: &File, offset: u64, length: u64) -> Option<u64> {
    // `struct cachestat_range` and `struct cachestat` of the kernel: two and five numbers of 64 bits.
    let range = [offset, length];
    let mut pages = [0_u64; 5];
    // SAFETY: the file is open, and both pointers are to live arrays of exactly the size of the structures that the kernel reads
    // and writes during the call.
    let result = unsafe {
        nix::libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            pages.as_mut_ptr(),
            0_u32,
        )
    };
    (result == 0).then_some(pages[0])
}

impl fmt::Debug for FileRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileRange({} bytes at {})", self.length, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_kernel_tells_what_it_has_cached() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 10_000]).unwrap();
        let range = |offset, length| FileRange {
            file: Arc::new(file.try_clone().unwrap()),
            offset,
            length,
            hash: [0; 32],
            crc: 0,
        };
        match cached_pages(&file, 0, 10_000) {
            Some(pages) => {
                assert_eq!(pages, 3);
                assert!(range(4000, 6000).is_cached(0) && range(0, 10_000).is_cached(9_000));
                assert!(!range(0, 20_000).is_cached(0), "it is shorter");
            }
            None => assert!(!range(0, 100).is_cached(0)),
        }
    }
}

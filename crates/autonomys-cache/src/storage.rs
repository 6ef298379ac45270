//! The file under a store, as a trait so that tests can put a failing one in its place.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, PosixFadviseAdvice, fallocate, posix_fadvise};
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Alignment of offsets and lengths past the page cache: what disks with sectors of 4 KiB need, and enough for all others.
pub(crate) const DIRECT_ALIGNMENT: usize = 4096;

/// Aligned buffers that a file keeps for the next operation; more at once are allocated and dropped again.
const KEPT_BUFFERS: usize = 4;

/// A random-access file. All methods may be called from several threads at once.
pub trait Storage: Send + Sync + 'static {
    /// Fills `buffer` from `offset`; an error when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The same past the page cache: what is stored is rarely what is read next. `offset` is a multiple of 4096, and bytes up to
    /// the next multiple after the end may become zero.
    fn write_uncached_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
    /// Fills `buffer` from the medium rather than from the page cache; `offset` is a multiple of 4096.
    fn read_uncached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
    /// Returns once everything written before is on the medium.
    fn sync(&self) -> io::Result<()>;
    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;
    /// The file itself, for a kernel that sends its bytes; `None` where there is none.
    fn file(&self) -> Option<&Arc<File>> {
        None
    }
    /// Grows the file to `length` with blocks behind every byte, or shortens it.
    fn resize(&self, length: u64) -> io::Result<()>;
}

/// A file of the operating system.
#[derive(Debug)]
pub struct OsStorage {
    file: Arc<File>,
    /// The same file opened for direct I/O, where the file system can do that.
    direct: Option<File>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl From<File> for OsStorage {
    fn from(file: File) -> Self {
        Self {
            file: Arc::new(file),
            direct: None,
            buffers: Mutex::default(),
        }
    }
}

impl OsStorage {
    /// Opens an existing file for reading and writing, also past the page cache if its file system can.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = options.open(path)?;
        let direct = options.custom_flags(OFlag::O_DIRECT.bits()).open(path).ok();
        Ok(Self {
            direct,
            ..Self::from(file)
        })
    }

    /// Drops what the page cache holds of the file: the next read comes from the disk.
    pub(crate) fn forget_cached(&self) {
        // Advice only; where it is not taken, reads are served from memory and nothing else changes.
        let _ = posix_fadvise(&*self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }

    /// The same for a part of the file, whole pages of it.
    pub(crate) fn forget_range(&self, offset: u64, length: usize) {
        if let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) {
            let _ = posix_fadvise(
                &*self.file,
                offset,
                length,
                PosixFadviseAdvice::POSIX_FADV_DONTNEED,
            );
        }
    }

    /// Runs `operation` with an aligned buffer of at least `length` bytes, a multiple of the alignment.
    fn with_buffer<T>(&self, length: usize, operation: impl FnOnce(&mut [u8]) -> T) -> T {
        let length = length.next_multiple_of(DIRECT_ALIGNMENT);
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        buffer.resize(buffer.len().max(length + DIRECT_ALIGNMENT), 0);
        let start = buffer.as_ptr().align_offset(DIRECT_ALIGNMENT);
        let result = operation(&mut buffer[start..start + length]);
        let mut kept = self.buffers.lock();
        if kept.len() < KEPT_BUFFERS {
            kept.push(buffer);
        }
        result
    }
}

/// Whether a file system says that it cannot do this directly after all.
fn not_possible(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || error.kind() == io::ErrorKind::Unsupported
}

impl Storage for OsStorage {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_uncached_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(direct) = &self.direct else {
            return self.write_all_at(bytes, offset);
        };
        let written = self.with_buffer(bytes.len(), |buffer| {
            let (start, rest) = buffer.split_at_mut(bytes.len());
            start.copy_from_slice(bytes);
            rest.fill(0);
            direct.write_all_at(buffer, offset)
        });
        match written {
            Err(error) if not_possible(&error) => self.write_all_at(bytes, offset),
            other => other,
        }
    }

    fn read_uncached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(direct) = &self.direct else {
            return self.read_exact_at(buffer, offset);
        };
        let read = self.with_buffer(buffer.len(), |aligned| {
            direct.read_exact_at(aligned, offset)?;
            buffer.copy_from_slice(&aligned[..buffer.len()]);
            Ok(())
        });
        match read {
            Err(error) if not_possible(&error) => self.read_exact_at(buffer, offset),
            other => other,
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn file(&self) -> Option<&Arc<File>> {
        Some(&self.file)
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        let current = self.length()?;
        if length <= current {
            return self.file.set_len(length);
        }
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let start = i64::try_from(current).map_err(too_long)?;
        let more = i64::try_from(length - current).map_err(too_long)?;
        match fallocate(&*self.file, FallocateFlags::empty(), start, more) {
            Ok(()) => Ok(()),
            // Some file systems cannot reserve blocks: then a full disk shows at the write, which is handled as well.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.file.set_len(length),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_past_the_page_cache_are_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![7; 5 * DIRECT_ALIGNMENT]).unwrap();
        let storage = OsStorage::open(&path).unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| storage.write_uncached_at(&bytes, 4096).unwrap());
            }
        });
        let mut direct = vec![0; 5000];
        storage.read_uncached_at(&mut direct, 4096).unwrap();
        let mut cached = vec![0; 3 * DIRECT_ALIGNMENT];
        storage.read_exact_at(&mut cached, 4096).unwrap();
        assert!(direct == bytes && cached[..5000] == bytes && cached[2 * DIRECT_ALIGNMENT..] == [7; 4096]);
        assert!(storage.buffers.lock().len() <= KEPT_BUFFERS);
        assert!(storage.read_uncached_at(&mut direct, 5 * 4096).is_err());
        assert_eq!(storage.length().unwrap(), 5 * 4096);
    }
}

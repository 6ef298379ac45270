//! The file under a store, as a trait so that tests can put a failing one in its place.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A random-access file. All methods may be called from several threads at once.
pub trait Storage: Send + Sync + 'static {
    /// Fills `buffer` from `offset`; an error when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns once everything written before is on the medium.
    fn sync(&self) -> io::Result<()>;
    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;
    /// Grows the file to `length` with blocks behind every byte, or shortens it.
    fn resize(&self, length: u64) -> io::Result<()>;
}

/// A file of the operating system.
#[derive(Debug)]
pub struct OsStorage(File);

impl From<File> for OsStorage {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Storage for OsStorage {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        let current = self.length()?;
        if length <= current {
            return self.0.set_len(length);
        }
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let start = i64::try_from(current).map_err(too_long)?;
        let more = i64::try_from(length - current).map_err(too_long)?;
        match fallocate(&self.0, FallocateFlags::empty(), start, more) {
            Ok(()) => Ok(()),
            // Some file systems cannot reserve blocks: then a full disk shows at the write, which is handled as well.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.0.set_len(length),
            Err(error) => Err(error.into()),
        }
    }
}

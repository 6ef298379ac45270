//! Exclusive use of a directory by one process.

use crate::error::CacheError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Name of the lock file in a store directory. Its content means nothing, and it stays when the process ends.
const LOCK_FILE: &str = ".lock";

/// Holds a directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory if needed and takes it.
    ///
    /// # Errors
    ///
    /// [`CacheError::InUse`] when another process, or another store of this one, has it.
    pub fn acquire(directory: &Path) -> Result<Self, CacheError> {
        std::fs::create_dir_all(directory).map_err(|error| CacheError::io("Creating", directory, error))?;
        let path = directory.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| CacheError::io("Opening", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CacheError::InUse {
                path: directory.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(CacheError::io("Locking", &path, error)),
        }
    }
}

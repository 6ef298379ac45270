//! One process a farm: an exclusive advisory lock on `single_disk_farm.json`, as the official farmer takes it.

use crate::error::{FarmError, IoContext};
use crate::info;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The lock; released when dropped or when the process dies.
#[derive(Debug)]
pub struct FarmLock {
    _file: File,
}

impl FarmLock {
    /// Says whether another process has the farm in `directory`; makes nothing. A directory without a farm is free.
    pub fn check(directory: &Path) -> Result<(), FarmError> {
        let path = directory.join(info::FILE_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("open", &path),
        };
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(FarmError::InUse {
                path: directory.to_path_buf(),
            }),
            Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
        }
    }

    /// Locks the farm in `directory`, creating an empty file when there is none.
    pub fn take(directory: &Path) -> Result<Self, FarmError> {
        let path = directory.join(info::FILE_NAME);
        let in_use = || FarmError::InUse {
            path: directory.to_path_buf(),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
        }
        // Another process may have replaced or removed the file between opening and locking it: then this lock keeps nobody out.
        let locked = file.metadata().at("read", &path)?;
        match std::fs::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                Ok(Self { _file: file })
            }
            _ => Err(in_use()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_refused_until_the_first_lets_go() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let lock = FarmLock::take(directory.path()).expect("free");
        assert!(matches!(
            FarmLock::take(directory.path()),
            Err(FarmError::InUse { .. })
        ));
        assert!(matches!(
            FarmLock::check(directory.path()),
            Err(FarmError::InUse { .. })
        ));
        drop(lock);
        FarmLock::check(directory.path()).expect("free again");
        FarmLock::check(&directory.path().join("nowhere")).expect("nobody has it");
        FarmLock::take(directory.path()).expect("free again");
    }
}

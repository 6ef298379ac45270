//! One process a farm: an exclusive advisory lock on `single_disk_farm.json`, as the official farmer takes it.

use crate::error::{FarmError, IoContext};
use crate::info;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The lock; released when dropped or when the process dies.
#[derive(Debug)]
pub struct FarmLock {
    _file: File,
}

impl FarmLock {
    /// Locks the farm in `directory`, creating an empty file when there is none.
    pub fn take(directory: &Path) -> Result<Self, FarmError> {
        let path = directory.join(info::FILE_NAME);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FarmError::InUse {
                path: directory.to_path_buf(),
            }),
            Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
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
        drop(lock);
        FarmLock::take(directory.path()).expect("free again");
    }
}

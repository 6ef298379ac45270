//! The directory in which a role keeps its identity, held by one process at a time.
//!
//! The lock is taken before the process joins its cluster: two processes under one id would each take the other for a copy, and
//! a second start by mistake must not disturb the first.

use anyhow::{Context, Result, bail};
use autonomys_cluster::{InstanceId, Role, identity};
use std::fs::{self, File, TryLockError};
use std::path::Path;

/// An identity that is ours until this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct StateDirectory {
    instance: InstanceId,
    /// An advisory lock on the directory itself, so that no further file is needed.
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory if needed, takes it, and reads or makes the identity. Blocking.
    pub(super) fn open(directory: &Path, role: Role) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the directory {}", directory.display()))?;
        let lock = File::open(directory)
            .with_context(|| format!("cannot open the directory {}", directory.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "the directory {} is in use by another process; stop that one or name another directory",
                directory.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", directory.display()));
            }
        }
        Ok(Self {
            instance: identity::load_or_create(directory, role)?,
            _lock: lock,
        })
    }

    /// Who this is.
    pub(super) fn instance(&self) -> InstanceId {
        self.instance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_process_and_keeps_its_identity() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("new/cache");
        let state = StateDirectory::open(&path, Role::ShardedCache).expect("free");
        let error = StateDirectory::open(&path, Role::ShardedCache).expect_err("taken");
        assert!(error.to_string().contains("in use by another process"), "{error}");
        let instance = state.instance();
        drop(state);
        let state = StateDirectory::open(&path, Role::ShardedCache).expect("free again");
        assert_eq!(state.instance(), instance);
        drop(state);
        let error = StateDirectory::open(&path, Role::PlotClient).expect_err("of another role");
        assert!(error.to_string().contains("does not hold the id of"), "{error}");
    }
}

//! The node's directory: its lock, the parameters of its chain, and the last slot.

use crate::error::DevNodeError;
use crate::parameters::ChainParameters;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::SlotNumber;

const PARAMETERS_FILE: &str = "parameters.json";
const SLOT_FILE: &str = "slot";
const LOCK_FILE: &str = "lock";

/// The directory, locked for this process as long as this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    slot: File,
    _lock: File,
}

impl Directory {
    /// Opens or creates the directory for a chain with these parameters.
    ///
    /// # Errors
    /// When it is in use, holds another chain, or cannot be written.
    pub fn open(path: &Path, parameters: &ChainParameters) -> Result<Self, DevNodeError> {
        std::fs::create_dir_all(path.join("segments")).map_err(DevNodeError::io("create", path))?;
        let open = |name: &str| {
            let file = path.join(name);
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&file)
                .map_err(DevNodeError::io("open", &file))
        };
        let lock = open(LOCK_FILE)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(DevNodeError::InUse {
                    path: path.to_path_buf(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(DevNodeError::io("lock", path)(error)),
        }
        Self::check_parameters(path, parameters)?;
        Ok(Self {
            path: path.to_path_buf(),
            slot: open(SLOT_FILE)?,
            _lock: lock,
        })
    }

    fn check_parameters(path: &Path, parameters: &ChainParameters) -> Result<(), DevNodeError> {
        let file = path.join(PARAMETERS_FILE);
        let damaged = |error: serde_json::Error| {
            DevNodeError::Configuration(format!(
                "{} cannot be read ({error}); remove the directory to begin again",
                file.display()
            ))
        };
        match std::fs::read(&file) {
            Ok(bytes) => {
                let stored: ChainParameters = serde_json::from_slice(&bytes).map_err(damaged)?;
                match stored.difference(parameters) {
                    None => Ok(()),
                    Some((name, stored, given)) => Err(DevNodeError::OtherChain {
                        path: path.to_path_buf(),
                        name,
                        stored,
                        given,
                    }),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let bytes = serde_json::to_vec_pretty(parameters).map_err(damaged)?;
                let temporary = path.join(format!("{PARAMETERS_FILE}.new"));
                let io = |action| DevNodeError::io(action, &temporary);
                std::fs::write(&temporary, bytes).map_err(io("write"))?;
                File::open(&temporary)
                    .and_then(|file| file.sync_all())
                    .map_err(io("sync"))?;
                std::fs::rename(&temporary, &file).map_err(io("rename"))
            }
            Err(error) => Err(DevNodeError::io("read", &file)(error)),
        }
    }

    /// The log of blocks.
    pub fn block_log(&self) -> PathBuf {
        self.path.join("blocks.log")
    }

    /// Where segments lie.
    pub fn segments(&self) -> PathBuf {
        self.path.join("segments")
    }

    /// Remembers the last slot that was announced. Not synced: after a power loss a few slots are announced again, which is
    /// harmless.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_slot(&self, slot: SlotNumber) -> Result<(), DevNodeError> {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&slot.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..8]);
        bytes[8..].copy_from_slice(&checksum.to_le_bytes());
        self.slot
            .write_all_at(&bytes, 0)
            .map_err(DevNodeError::io("write", &self.path.join(SLOT_FILE)))
    }

    /// The last slot that was announced, 0 when unknown.
    pub fn read_slot(&self) -> SlotNumber {
        let mut bytes = [0; 12];
        if self.slot.read_exact_at(&mut bytes, 0).is_err()
            || crc32c::crc32c(&bytes[..8]).to_le_bytes() != bytes[8..]
        {
            return 0;
        }
        let mut slot = [0; 8];
        slot.copy_from_slice(&bytes[..8]);
        SlotNumber::from_le_bytes(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_one_chain_for_one_process() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("node");
        let parameters = ChainParameters::default();
        let directory = Directory::open(&path, &parameters).unwrap();
        assert_eq!(directory.read_slot(), 0);
        directory.write_slot(77).unwrap();
        assert_eq!(directory.read_slot(), 77);
        let error = Directory::open(&path, &parameters).unwrap_err();
        assert!(matches!(error, DevNodeError::InUse { .. }), "{error}");
        drop(directory);
        let other = ChainParameters {
            confirmation_depth: 7,
            ..parameters.clone()
        };
        let error = Directory::open(&path, &other).unwrap_err().to_string();
        assert!(error.contains("confirmation depth 5, but 7"), "{error}");
        assert_eq!(Directory::open(&path, &parameters).unwrap().read_slot(), 77);
        std::fs::write(path.join("slot"), [1; 12]).unwrap();
        assert_eq!(Directory::open(&path, &parameters).unwrap().read_slot(), 0);
        std::fs::write(path.join("parameters.json"), b"{").unwrap();
        assert!(Directory::open(&path, &parameters).is_err());
    }
}

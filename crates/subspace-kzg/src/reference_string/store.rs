//! The mainnet blob as a file.

use super::{BLOB_LENGTH, ReferenceStringError, check_mainnet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Why the blob cannot be stored or loaded.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} the KZG parameters at {}: {source}; check the path, its permissions and free space", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The content is not the mainnet blob.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ReferenceStringError,
    },
}

/// Writes the mainnet blob so that the file is either complete or not there: temporary file beside it, flush to disk,
/// rename.
///
/// # Errors
/// When `blob` is not the mainnet blob or the file cannot be written.
pub fn store(path: &Path, blob: &[u8]) -> Result<(), StoreError> {
    check_mainnet(blob).map_err(|source| StoreError::Content {
        path: path.to_path_buf(),
        source,
    })?;
    let failed = |source| StoreError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(blob).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Reads a blob that [`store`] wrote and checks it again.
///
/// # Errors
/// When the file cannot be read or is not the mainnet blob.
pub fn load(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    };
    let mut blob = Vec::with_capacity(BLOB_LENGTH + 1);
    // One byte more than needed, so that a longer file is noticed and never read whole.
    File::open(path)
        .and_then(|file| file.take(BLOB_LENGTH as u64 + 1).read_to_end(&mut blob))
        .map_err(failed)?;
    check_mainnet(&blob).map_err(|source| StoreError::Content {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(blob)
}

//! Getting the mainnet blob out of the files an operator can have.

mod ceremony;
mod search;

use super::{BLOB_LENGTH, check_mainnet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Most bytes of a ceremony transcript that are read; the published one has 253 714 449.
const MAX_TRANSCRIPT_LENGTH: u64 = 1 << 30;

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// JSON that is not the transcript.
    #[error(
        "{} is not the final transcript of the KZG ceremony ({reason}); give the published transcript.json", path.display()
    )]
    Transcript {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing inside.
    #[error(
        "{} does not contain the mainnet KZG parameters: give the parameters themselves (1 579 104 bytes), the ceremony's \
        transcript.json, or an uncompressed node or farmer program that contains them", path.display()
    )]
    NotFound {
        /// The file.
        path: PathBuf,
    },
}

/// Finds the mainnet blob in a file: the blob itself, the ceremony's `transcript.json`, or any other file that contains the
/// blob, such as a program. What is found is always checked by its SHA-256. Memory: the blob and a few megabytes.
///
/// # Errors
/// [`ImportError`] says what the file is not.
pub fn import(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut first = [0];
    if file.read(&mut first).map_err(failed)? == 0 {
        return Err(ImportError::NotFound {
            path: path.to_path_buf(),
        });
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    // A program cannot begin like JSON.
    if matches!(first, [b'{'] | [b' '] | [b'\n'] | [b'\r'] | [b'\t']) {
        let blob = ceremony::read(BufReader::new(file.take(MAX_TRANSCRIPT_LENGTH))).map_err(|reason| {
            ImportError::Transcript {
                path: path.to_path_buf(),
                reason,
            }
        })?;
        return match check_mainnet(&blob) {
            Ok(()) => Ok(blob),
            Err(error) => Err(ImportError::Transcript {
                path: path.to_path_buf(),
                reason: error.to_string(),
            }),
        };
    }
    let found = search::find(&mut file, BLOB_LENGTH, &search::prefix(), |blob| {
        check_mainnet(blob).is_ok()
    });
    found.map_err(failed)?.ok_or_else(|| ImportError::NotFound {
        path: path.to_path_buf(),
    })
}

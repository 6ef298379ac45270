//! The identity of an instance, kept in a small file of its directory so that it survives restarts.

use crate::ids::{InstanceId, Role};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// File below the instance's directory.
pub const IDENTITY_FILE: &str = "instance-id";

/// Why the identity could not be read or kept.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file system refused.
    #[error("the instance id {path} could not be {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold the id of a {role}; remove the file to start as a new instance")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The role that was started here.
        role: Role,
    },
}

/// Reads the instance id of `directory`, or makes one there (file mode 0600, durable before it is used).
///
/// Blocking; call it before the runtime starts or on a blocking thread.
///
/// # Errors
/// [`IdentityError`] when the file cannot be read or written, or belongs to another role.
pub fn load_or_create(directory: &Path, role: Role) -> Result<InstanceId, IdentityError> {
    let path = directory.join(IDENTITY_FILE);
    match read(&path) {
        Ok(text) => match text.trim_end().parse::<InstanceId>() {
            Ok(id) if id.role() == role => Ok(id),
            _ => Err(IdentityError::Foreign { path, role }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = InstanceId::generate(role);
            write(directory, &path, id)
                .map(|()| id)
                .map_err(|source| IdentityError::Io {
                    path,
                    action: "written",
                    source,
                })
        }
        Err(source) => Err(IdentityError::Io {
            path,
            action: "read",
            source,
        }),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    // Whatever is longer than an id is not an id; never read an arbitrary file whole.
    fs::File::open(path)?
        .take(2 * InstanceId::MAX_LENGTH as u64)
        .read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn write(directory: &Path, path: &Path, id: InstanceId) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    //! One identity a directory, whoever asks.

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn identity_persists_and_belongs_to_one_role() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("new/home");
        let id = load_or_create(&home, Role::PlotServer).unwrap();
        assert_eq!(load_or_create(&home, Role::PlotServer).unwrap(), id);
        let mode = fs::metadata(home.join(IDENTITY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let error = load_or_create(&home, Role::PlotClient).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("does not hold the id of a plot-client"),
            "{error}"
        );
        fs::write(home.join(IDENTITY_FILE), [0xff; 4096]).unwrap();
        assert!(matches!(
            load_or_create(&home, Role::PlotServer),
            Err(IdentityError::Foreign { .. })
        ));
    }

    #[test]
    fn unusable_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = load_or_create(&file, Role::Controller).unwrap_err();
        assert!(
            error.to_string().contains("file/instance-id could not be"),
            "{error}"
        );
    }
}

//! Where the identity of a plot-client is kept: in a directory of its own, or with the first farm whose disk works.

use super::farm_set::Home;
use crate::args::path::FarmPath;
use crate::roles::state_directory::StateDirectory;
use anyhow::{Context, Result};
use autonomys_cluster::{InstanceId, Role};
use nix::errno::Errno;
use std::path::PathBuf;

/// The identity of this process.
pub(super) struct PlotClientIdentity {
    pub(super) instance: InstanceId,
    /// Held until the process ends.
    pub(super) own: Option<StateDirectory>,
    /// Held until the farm there is set aside.
    pub(super) home: Option<Home>,
}

impl PlotClientIdentity {
    /// Finds or makes the identity. Blocking.
    pub(super) fn open(base_path: Option<PathBuf>, farms: &[FarmPath]) -> Result<Self> {
        if let Some(directory) = base_path {
            let state = StateDirectory::open(&directory, Role::PlotClient)?;
            return Ok(Self {
                instance: state.instance(),
                own: Some(state),
                home: None,
            });
        }
        let mut last = None;
        for farm in farms {
            if let Some(mount_point) = autonomys_farm::mounts::missing_mount(&farm.directory) {
                last = Some(anyhow::anyhow!(
                    "nothing is mounted on {}, where /etc/fstab says that a disk belongs",
                    mount_point.display()
                ));
                continue;
            }
            match StateDirectory::open(&farm.directory, Role::PlotClient) {
                Ok(state) => {
                    return Ok(Self {
                        instance: state.instance(),
                        own: None,
                        home: Some(Home {
                            directory: farm.directory.clone(),
                            state: Some(state),
                        }),
                    });
                }
                Err(error) if is_the_disks(&error) => {
                    tracing::warn!(
                        directory = %farm.directory.display(),
                        "the identity of this process cannot be kept here: {error:#}"
                    );
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no farm is named")?).context("no farm can be opened")
    }
}

/// Whether another disk may do better.
fn is_the_disks(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::raw_os_error).is_some_and(|code| {
        !matches!(
            Errno::from_raw(code),
            Errno::EACCES | Errno::EPERM | Errno::ENOTDIR | Errno::ENAMETOOLONG
        )
    })
}

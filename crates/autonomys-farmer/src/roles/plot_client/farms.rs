//! Opening the farms that the operator named.

use crate::args::path::{FarmAllocation, FarmPath};
use anyhow::{Context, Result, bail};
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use subspace_core_primitives::hashes::Blake3Hash;

/// Opens all farms, or none: a start with a wrong directory changes nothing in the others.
pub(super) async fn open(
    paths: &[FarmPath],
    genesis_hash: Blake3Hash,
    pieces_in_sector: u16,
) -> Result<Vec<Arc<Farm>>> {
    let options: Vec<_> = paths
        .iter()
        .map(|path| FarmOptions {
            directory: path.directory.clone(),
            space: match path.allocation {
                FarmAllocation::Sectors(sectors) => SpaceRequest::Sectors(sectors),
                FarmAllocation::MaximumSectors => SpaceRequest::Maximum,
                FarmAllocation::Bytes(bytes) => SpaceRequest::Bytes(bytes),
            },
            genesis_hash,
            pieces_in_sector,
        })
        .collect();
    tokio::task::spawn_blocking(move || {
        let mut farms: Vec<Arc<Farm>> = Vec::with_capacity(options.len());
        for options in &options {
            let farm = Farm::open(options)?;
            if let Some(twin) = farms.iter().find(|other| other.public_key() == farm.public_key()) {
                bail!(
                    "the farms {} and {} have the same identity.bin, so they would win and sign for each other; \
                     give one of them an identity of its own",
                    twin.directory().display(),
                    farm.directory().display()
                );
            }
            tracing::info!(
                directory = %farm.directory().display(),
                public_key = %farm.public_key(),
                sectors = farm.target_sector_count(),
                plotted = farm.plotted_sectors().len(),
                "farm open"
            );
            farms.push(Arc::new(farm));
        }
        Ok(farms)
    })
    .await
    .context("opening farms crashed")?
}

/// Raises the limit of open files as far as allowed, and says how to raise it further when that is not enough.
pub(super) fn raise_file_limit(needed: u64) {
    /// What the rest of the process may have open: connections, logs, libraries.
    const OTHERS: u64 = 512;
    let wanted = needed + OTHERS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        tracing::debug!("the limit of open files could not be raised");
    }
    if hard < wanted {
        tracing::warn!(
            "{wanted} open files may be needed but only {hard} are allowed; raise it with `ulimit -n {wanted}`"
        );
    }
}

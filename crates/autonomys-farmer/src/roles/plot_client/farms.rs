//! Opening the farms that the operator named, at the start.
//!
//! First every farm is looked at and nothing is written. What was asked for wrongly (another chain's farm, one that is in use, two of one
//! key, more sectors than fit) ends the start with everything as it was. A farm whose disk is to blame is set aside instead,
//! as long as another one can be opened (`docs/farms.md`).

use super::farm_set::{FarmSet, Home, same_identity};
use super::preflight;
use crate::args::path::{FarmAllocation, FarmPath};
use anyhow::{Context, Result, anyhow, bail};
use autonomys_farm::{Farm, FarmCheck, FarmError, FarmOptions, SpaceRequest};
use bytesize::ByteSize;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::hashes::Blake3Hash;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A disk that does not even say within this time what is on it hangs; its farm is set aside.
const CHECK_WITHIN: Duration = Duration::from_secs(60);
/// Opening reads all metadata, 1 GB for 8000 sectors, and may have to reserve the plot's space.
const OPEN_WITHIN: Duration = Duration::from_secs(600);

/// A farm, why its disk does not give it, or what ends the start.
type Opened<T> = Result<std::result::Result<T, String>>;

/// Opens all farms that can be opened, or none at all when something was asked for wrongly.
pub(super) async fn open(
    paths: &[FarmPath],
    genesis_hash: Blake3Hash,
    pieces_in_sector: u16,
    home: Option<Home>,
) -> Result<FarmSet> {
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
    for (number, farm) in options.iter().enumerate() {
        let same = |other: &FarmOptions| absolute(&other.directory) == absolute(&farm.directory);
        if options[..number].iter().any(same) {
            bail!(named_twice(&farm.directory));
        }
    }
    let checked = on_every_disk(&options, CHECK_WITHIN, Farm::check).await?;
    let checks = options.iter().zip(&checked);
    let sound: Vec<_> = checks
        .filter_map(|(options, check)| Some((options, check.as_ref().ok()?)))
        .collect();
    refuse_twins(&sound)?;
    refuse_too_many_for_one_disk(&sound)?;

    let sound: Vec<_> = sound.into_iter().map(|(options, _)| options.clone()).collect();
    let mut opened = on_every_disk(&sound, OPEN_WITHIN, Farm::open).await?.into_iter();
    let mut farms = Vec::with_capacity(options.len());
    for (options, check) in options.into_iter().zip(checked) {
        let farm = match check {
            Ok(_) => opened.next().context("every farm that was looked at is opened")?,
            Err(reason) => Err(reason),
        };
        farms.push((options, farm.map(Arc::new)));
    }
    if farms.iter().all(|(_, farm)| farm.is_err()) {
        let reasons: Vec<_> = farms.into_iter().filter_map(|(_, farm)| farm.err()).collect();
        bail!("no farm can be opened: {}", reasons.join("; "));
    }
    for (options, farm) in &farms {
        match farm {
            Ok(farm) => preflight::tell(farm),
            Err(reason) => tracing::error!(
                directory = %options.directory.display(),
                "farm set aside, the others farm on; check its disk, it is tried again: {reason}"
            ),
        }
    }
    Ok(FarmSet::new(farms, home))
}

/// The same for all farms at once, each on a thread of its own: a disk that hangs is waited for only so long.
async fn on_every_disk<T: Send + 'static>(
    options: &[FarmOptions],
    within: Duration,
    work: impl Fn(&FarmOptions) -> std::result::Result<T, FarmError> + Copy + Send + 'static,
) -> Result<Vec<std::result::Result<T, String>>> {
    let deadline = Instant::now() + within;
    let mut tasks = JoinSet::new();
    for (number, options) in options.iter().cloned().enumerate() {
        tasks.spawn_blocking(move || (number, work(&options)));
    }
    let mut outcomes: BTreeMap<usize, Opened<T>> = BTreeMap::new();
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {
        let (number, outcome) = ended.context("opening a farm crashed")?;
        let outcome = match outcome {
            Ok(done) => Ok(Ok(done)),
            Err(error) if error.is_the_disks() => Ok(Err(error.to_string())),
            Err(error) => Err(anyhow!(error)),
        };
        outcomes.insert(number, outcome);
    }
    // What comes later is closed at once; the farm is tried again.
    tasks.detach_all();
    (0..options.len())
        .map(|number| {
            outcomes
                .remove(&number)
                .unwrap_or_else(|| Ok(Err(format!("its disk does not answer within {within:?}"))))
        })
        .collect()
}

fn absolute(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf())
}

fn named_twice(directory: &Path) -> String {
    format!(
        "the farm {} is named twice; name each directory once",
        directory.display()
    )
}

fn refuse_twins(farms: &[(&FarmOptions, &FarmCheck)]) -> Result<()> {
    for (number, (options, check)) in farms.iter().enumerate() {
        for (other, other_check) in &farms[..number] {
            if check.directory == other_check.directory {
                bail!(named_twice(&check.directory));
            }
            if check.public_key.is_some() && check.public_key == other_check.public_key {
                bail!(same_identity(other, options));
            }
        }
    }
    Ok(())
}

/// Each of several farms may fit a disk that does not hold all of them.
fn refuse_too_many_for_one_disk(farms: &[(&FarmOptions, &FarmCheck)]) -> Result<()> {
    let mut disks: BTreeMap<u64, (u64, u64, Vec<String>)> = BTreeMap::new();
    for (options, check) in farms {
        let (needed, free, names) = disks.entry(check.device).or_default();
        *needed = needed.saturating_add(check.needed);
        *free = check.free;
        names.push(options.directory.display().to_string());
    }
    for (needed, free, names) in disks.into_values() {
        if names.len() > 1 && needed > free {
            bail!(
                "the farms {} are on one file system and need {} of it together, but only {} are free; give them fewer sectors",
                names.join(", "),
                ByteSize(needed),
                ByteSize(free)
            );
        }
    }
    Ok(())
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

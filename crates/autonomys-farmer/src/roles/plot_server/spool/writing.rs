//! Writes one finished sector so that a stop at any moment leaves the old state or the new one.
//!
//! The bytes go to a file of a new name. The description names that file, is written beside it, and takes the place of an older one by
//! one rename: before it the old sector stands, after it the new one, and files that no description names are deleted at the next
//! start. What was written leaves the page cache at once: a sector would push out what others on the machine read all the time.

use super::{Description, Place};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use parity_scale_codec::Encode;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_farmer_components::plotting::EncodedRecords;
use subspace_farmer_components::sector::SectorMetadataChecksummed;
use thiserror::Error;

/// Bytes that are written before they are synced and leave the page cache.
const WINDOW: u64 = 64 * 1024 * 1024;

/// Why a sector is not in the spool. What was written of it is deleted.
#[derive(Debug, Error)]
pub(in super::super) enum StoreError {
    /// No space, or the user's quota is used up.
    #[error("no space is left for {}", path.display())]
    Full {
        /// What was written.
        path: PathBuf,
    },
    /// The disk or its file system.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("writing was abandoned")]
    Abandoned,
}

impl StoreError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::Full { path },
            _ => Self::Disk { action, path, source },
        }
    }
}

/// What has been done when a step is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Step {
    /// The file of the bytes is there, empty.
    Made,
    /// A part of the bytes is written.
    Part,
    /// The bytes are on the disk.
    Synced,
    /// The description is written under another name.
    Described,
    /// It is on the disk.
    DescriptionSynced,
    /// It has its name.
    Renamed,
    /// Its name is on the disk.
    DirectorySynced,
}

/// How a sector is written: threads, the flag to stop, and who hears how far it is.
pub(in super::super) struct Writing<'a> {
    pub(in super::super) pool: &'a rayon::ThreadPool,
    pub(in super::super) abandoned: &'a AtomicBool,
    pub(in super::super) progress: &'a dyn Fn(u64),
    /// Called after each step; an error ends the writing there.
    pub(in super::super) after: &'a dyn Fn(Step) -> Result<(), StoreError>,
}

/// Writes the sector; leaves everything as it is when it fails. Blocking.
pub(super) fn write_sector(
    place: &Place<'_>,
    records: &EncodedRecords,
    writing: &Writing<'_>,
) -> Result<Description, StoreError> {
    let path = place.sector();
    let failed = |action| move |error| StoreError::new(action, &place.sector(), error);
    // Never over an older one.
    let mut file = File::create_new(&path).map_err(failed("create"))?;
    (writing.after)(Step::Made)?;
    let length = records.sector_size();
    reserve(&file, length).map_err(failed("reserve space for"))?;
    let (mut written, mut settled) = (0, 0);
    let sector = records.write_sector(writing.pool, |part| {
        if writing.abandoned.load(Ordering::Relaxed) {
            return Err(StoreError::Abandoned);
        }
        file.write_all(part).map_err(failed("write"))?;
        written += part.len() as u64;
        if written - settled >= WINDOW {
            settle(&file, settled, written).map_err(failed("sync"))?;
            settled = written;
        }
        (writing.progress)(written);
        (writing.after)(Step::Part)
    })?;
    file.sync_all().map_err(failed("sync"))?;
    settle(&file, settled, written).map_err(failed("sync"))?;
    (writing.after)(Step::Synced)?;

    let description = Description::new(
        place,
        length,
        *sector.hash,
        SectorMetadataChecksummed::encode(&sector.metadata),
    );
    let temporary = place.new_description();
    let failed = |action| move |error| StoreError::new(action, &place.new_description(), error);
    let mut file = File::create(&temporary).map_err(failed("create"))?;
    file.write_all(&Blake3Checksummed(description.clone()).encode())
        .map_err(failed("write"))?;
    (writing.after)(Step::Described)?;
    file.sync_all().map_err(failed("sync"))?;
    (writing.after)(Step::DescriptionSynced)?;
    fs::rename(&temporary, place.description()).map_err(failed("rename"))?;
    (writing.after)(Step::Renamed)?;
    File::open(place.directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::new("sync", place.directory, error))?;
    (writing.after)(Step::DirectorySynced)?;
    Ok(description)
}

/// Reserves blocks, so that a full disk shows before anything is written.
fn reserve(file: &File, length: u64) -> io::Result<()> {
    let length = i64::try_from(length).map_err(io::Error::other)?;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // File systems without it show a full disk when it is full.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has these bytes written to the disk and dropped from the page cache.
fn settle(file: &File, from: u64, to: u64) -> io::Result<()> {
    file.sync_data()?;
    forget(file, from, to - from);
    Ok(())
}

/// Tells the system that these bytes of the file, which are on the disk, will not be needed soon.
pub(super) fn forget(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // A hint: where it is not taken the page cache is fuller than it needs to be.
    let _ = posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

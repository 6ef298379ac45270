//! Finished sectors on disk until their farms have them.
//!
//! A sector is two files: `<key>.<number>.sector`, its bytes, and `<key>.done`, its description (version, key, number of the file,
//! length, BLAKE3, sector metadata, and a hash over all of that). The descriptions are the spool's index. How they are written
//! ([`writing`]) makes sure that a description stands for a whole sector; everything else in the directory was never finished and is
//! deleted at the next start. [`space`] limits what sectors take, [`serving`] gives them to their farms.

mod serving;
pub(super) mod space;
pub(super) mod writing;

pub(super) use serving::SpoolSectors;

use super::delivery::Delivery;
use anyhow::{Context, Result, bail, ensure};
use autonomys_cluster::plot_jobs::JobId;
use autonomys_transfer::SectorKey;
use parity_scale_codec::{Decode, Encode};
use parking_lot::Mutex;
use space::Space;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::plotting::EncodedRecords;
use tokio::sync::watch;
use writing::{StoreError, Writing, write_sector};

const VERSION: u8 = 1;
/// A description is the metadata and a few hashes; anything larger is not one.
const MAX_DESCRIPTION: u64 = 512 * 1024;
/// What a disk that has failed has to take before sectors are written to it again.
const PROBE: [u8; 4096] = [0x5a; 4096];

/// What a `.done` file says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Description {
    version: u8,
    public_key: [u8; 32],
    sector_index: u16,
    history_size: u64,
    /// Part of the name of the file with the bytes.
    number: u64,
    length: u64,
    checksum: [u8; 32],
    metadata: Vec<u8>,
}

impl Description {
    fn new(place: &Place<'_>, length: u64, checksum: [u8; 32], metadata: Vec<u8>) -> Self {
        Self {
            version: VERSION,
            public_key: place.key.public_key,
            sector_index: place.key.sector_index,
            history_size: place.key.history_size,
            number: place.number,
            length,
            checksum,
            metadata,
        }
    }

    fn key(&self) -> SectorKey {
        SectorKey {
            public_key: self.public_key,
            sector_index: self.sector_index,
            history_size: self.history_size,
        }
    }
}

/// Names of the files of one sector.
struct Place<'a> {
    directory: &'a Path,
    key: SectorKey,
    number: u64,
}

impl Place<'_> {
    fn name(&self) -> String {
        let SectorKey {
            public_key,
            sector_index,
            history_size,
        } = self.key;
        format!("{}-{sector_index}-{history_size}", hex::encode(public_key))
    }

    fn sector(&self) -> PathBuf {
        self.directory
            .join(format!("{}.{:016x}.sector", self.name(), self.number))
    }

    fn description(&self) -> PathBuf {
        self.directory.join(format!("{}.done", self.name()))
    }

    fn new_description(&self) -> PathBuf {
        self.directory.join(format!("{}.new", self.name()))
    }
}

/// One finished sector.
#[derive(Debug, Clone)]
pub(super) struct SpooledSector {
    description: Arc<Description>,
    pub(super) delivery: Arc<Delivery>,
}

impl SpooledSector {
    fn new(description: Description) -> Self {
        Self {
            delivery: Arc::new(Delivery::new(description.length)),
            description: Arc::new(description),
        }
    }

    pub(super) fn key(&self) -> SectorKey {
        self.description.key()
    }

    pub(super) fn job_id(&self) -> JobId {
        let description = &self.description;
        JobId {
            public_key: description.public_key.into(),
            sector_index: description.sector_index,
            history_size: HistorySize::from_segments(description.history_size).unwrap_or(HistorySize::ONE),
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.description.length
    }

    /// BLAKE3 of the bytes.
    pub(super) fn checksum(&self) -> Blake3Hash {
        Blake3Hash::from(self.description.checksum)
    }

    /// The sector's metadata as it goes to the farm's disk.
    pub(super) fn metadata(&self) -> Vec<u8> {
        self.description.metadata.clone()
    }

    fn place<'a>(&self, directory: &'a Path) -> Place<'a> {
        Place {
            directory,
            key: self.key(),
            number: self.description.number,
        }
    }
}

/// The directory of finished sectors.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    sectors: Mutex<HashMap<SectorKey, SpooledSector>>,
    space: Arc<Space>,
    changes: watch::Sender<()>,
    /// Tells the files of one key apart.
    next_number: AtomicU64,
    _lock: File,
}

impl Spool {
    /// Opens the directory, makes it when missing, deletes what was never finished. Blocking.
    pub(super) fn open(directory: &Path, space: Arc<Space>) -> Result<Self> {
        let sectors_directory = directory.join("sectors");
        fs::create_dir_all(&sectors_directory)
            .with_context(|| format!("cannot create the directory {}", sectors_directory.display()))?;
        let lock = lock(directory)?;
        let sectors = scan(&sectors_directory)?;
        let last_number = sectors.values().map(|sector| sector.description.number).max();
        for sector in sectors.values() {
            space.add(sector.length());
        }
        Ok(Self {
            directory: sectors_directory,
            sectors: Mutex::new(sectors),
            space,
            changes: watch::Sender::new(()),
            next_number: AtomicU64::new(last_number.map_or(0, |last| last.wrapping_add(1))),
            _lock: lock,
        })
    }

    /// Stores a finished sector durably; an older one under the same key makes way. Blocking.
    pub(super) fn store(
        &self,
        key: SectorKey,
        records: &EncodedRecords,
        writing: &Writing<'_>,
    ) -> Result<SpooledSector, StoreError> {
        let place = Place {
            directory: &self.directory,
            key,
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
        };
        let description = write_sector(&place, records, writing).inspect_err(|_| {
            // What cannot be deleted now is deleted at the next start.
            let _ = fs::remove_file(place.new_description());
            let named = load(&place.description()).is_ok_and(|named| named.number == place.number);
            if !named {
                let _ = fs::remove_file(place.sector());
            }
        })?;
        let sector = SpooledSector::new(description);
        let older = self.sectors.lock().insert(key, sector.clone());
        self.space.add(sector.length());
        if let Some(older) = older {
            self.space.remove(older.length());
            if let Err(error) = remove_if_there(&older.place(&self.directory).sector()) {
                tracing::warn!("{error:#}");
            }
        }
        self.changes.send_replace(());
        Ok(sector)
    }

    /// Whether the disk takes and keeps a few bytes. Blocking.
    pub(super) fn probe(&self) -> std::io::Result<()> {
        let path = self.directory.join("probe");
        let mut file = File::create(&path)?;
        let outcome = file.write_all(&PROBE).and_then(|()| file.sync_all());
        let removed = fs::remove_file(&path);
        outcome.and(removed)
    }

    /// Deletes a sector; one that is not there is fine. Blocking.
    pub(super) fn remove(&self, key: &SectorKey) -> Result<()> {
        let Some(sector) = self.sectors.lock().remove(key) else {
            return Ok(());
        };
        self.space.remove(sector.length());
        self.changes.send_replace(());
        let place = sector.place(&self.directory);
        // In this order a stop in between leaves bytes without a description, which the next start deletes.
        remove_if_there(&place.description())?;
        remove_if_there(&place.sector())
    }

    /// Deletes exactly this sector; one that was made anew under the same key stays. Blocking.
    pub(super) fn discard(&self, sector: &SpooledSector) -> Result<()> {
        let same = self
            .sectors
            .lock()
            .get(&sector.key())
            .is_some_and(|now| now.description == sector.description);
        if same { self.remove(&sector.key()) } else { Ok(()) }
    }

    /// The finished sector of this key, if there is one.
    pub(super) fn get(&self, key: &SectorKey) -> Option<SpooledSector> {
        self.sectors.lock().get(key).cloned()
    }

    pub(super) fn sectors(&self) -> Vec<SpooledSector> {
        self.sectors.lock().values().cloned().collect()
    }

    /// Tells of every sector that is stored or removed from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// The sectors that are whole; everything else is deleted.
fn scan(directory: &Path) -> Result<HashMap<SectorKey, SpooledSector>> {
    let read = || format!("cannot read the directory {}", directory.display());
    let entries = fs::read_dir(directory).with_context(read)?;
    let paths = entries
        .map(|entry| Ok(entry.with_context(read)?.path()))
        .collect::<Result<Vec<_>>>()?;
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|found| found == extension);
    let mut sectors = HashMap::new();
    let mut named = HashSet::new();
    for path in paths.iter().filter(|path| is(path, "done")) {
        match load_whole(directory, path) {
            Ok(description) => {
                let sector = SpooledSector::new(description);
                named.insert(sector.place(directory).sector());
                sectors.insert(sector.key(), sector);
            }
            Err(error) => {
                tracing::warn!("a spooled sector is not usable and is deleted: {error:#}");
                remove_if_there(path)?;
            }
        }
    }
    for path in paths
        .iter()
        .filter(|path| !is(path, "done") && !named.contains(*path))
    {
        remove_if_there(path)?;
    }
    Ok(sectors)
}

fn load(path: &Path) -> Result<Description> {
    let size = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    ensure!(size <= MAX_DESCRIPTION, "{} has {size} bytes", path.display());
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // The version first: another one has another layout.
    ensure!(
        bytes.first() == Some(&VERSION),
        "{} has version {:?}, this release knows version {VERSION}",
        path.display(),
        bytes.first()
    );
    let Blake3Checksummed(description) = Blake3Checksummed::<Description>::decode(&mut bytes.as_slice())
        .with_context(|| format!("{} is damaged", path.display()))?;
    Ok(description)
}

/// A description whose bytes are there and have the right length.
fn load_whole(directory: &Path, path: &Path) -> Result<Description> {
    let description = load(path)?;
    let place = Place {
        directory,
        key: description.key(),
        number: description.number,
    };
    ensure!(
        place.description() == path,
        "{} has the name of another sector",
        path.display()
    );
    let length = fs::metadata(place.sector()).map_or(0, |metadata| metadata.len());
    ensure!(
        length == description.length,
        "{} belongs to a sector of {} bytes, of which {length} are there",
        path.display(),
        description.length
    );
    Ok(description)
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "the directory {} is in use by another process; stop that one or name another directory",
            directory.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

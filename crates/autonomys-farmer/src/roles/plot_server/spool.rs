//! Finished sectors on disk until their farms have them.
//!
//! A sector is two files: `<key>.sector`, its bytes, and `<key>.done`, what is said about it (version, key, length, BLAKE3, sector
//! metadata, and a hash over all of that). The second is written after the first is on the disk, so a sector without a valid
//! `.done` was never finished and is deleted at the next start.

use super::Shared;
use anyhow::{Context, Result, bail, ensure};
use autonomys_cluster::plot_jobs::{JobId, ReadySector};
use autonomys_transfer::error::ErrorCode;
use autonomys_transfer::{OpenSector, Refusal, SectorKey, SectorSource};
use bytes::Bytes;
use futures::future::BoxFuture;
use nix::sys::statvfs::statvfs;
use parity_scale_codec::{Decode, Encode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::HistorySize;
use subspace_farmer_components::plotting::EncodedSector;
use subspace_farmer_components::sector::SectorMetadataChecksummed;
use tokio::sync::watch;

const VERSION: u8 = 0;
/// A `.done` file is the metadata and a few hashes; anything larger is not one.
const MAX_DONE_FILE: u64 = 512 * 1024;

/// What a `.done` file says.
#[derive(Debug, Clone, Encode, Decode)]
struct Done {
    version: u8,
    public_key: [u8; 32],
    sector_index: u16,
    history_size: u64,
    length: u64,
    checksum: [u8; 32],
    metadata: Vec<u8>,
}

/// One finished sector.
#[derive(Debug, Clone)]
pub(super) struct SpooledSector {
    done: Arc<Done>,
}

impl SpooledSector {
    pub(super) fn key(&self) -> SectorKey {
        SectorKey {
            public_key: self.done.public_key,
            sector_index: self.done.sector_index,
            history_size: self.done.history_size,
        }
    }

    pub(super) fn job_id(&self) -> JobId {
        JobId {
            public_key: self.done.public_key.into(),
            sector_index: self.done.sector_index,
            history_size: HistorySize::from_segments(self.done.history_size).unwrap_or(HistorySize::ONE),
        }
    }

    /// What the job's record says once the sector can be fetched.
    pub(super) fn ready(&self, shared: &Shared) -> ReadySector {
        ReadySector {
            server: shared.instance,
            addresses: shared.addresses.clone(),
            session_key: Some(shared.session_key),
            length: self.done.length,
            checksum: Blake3Hash::from(self.done.checksum),
            metadata: self.done.metadata.clone(),
        }
    }
}

/// The directory of finished sectors.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    sectors: Mutex<HashMap<SectorKey, SpooledSector>>,
    changes: watch::Sender<()>,
    /// Bytes of the largest sector so far: as much is kept free before the next job is taken.
    largest: AtomicU64,
    _lock: File,
}

impl Spool {
    /// Opens the directory, makes it when missing, deletes what was never finished.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let sectors_directory = directory.join("sectors");
        fs::create_dir_all(&sectors_directory)
            .with_context(|| format!("cannot create the directory {}", sectors_directory.display()))?;
        let lock = lock(directory)?;
        let spool = Self {
            directory: sectors_directory,
            sectors: Mutex::default(),
            changes: watch::Sender::new(()),
            largest: AtomicU64::new(0),
            _lock: lock,
        };
        spool.scan()?;
        Ok(spool)
    }

    fn scan(&self) -> Result<()> {
        let read = || format!("cannot read the directory {}", self.directory.display());
        for entry in fs::read_dir(&self.directory).with_context(read)? {
            let path = entry.with_context(read)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("done") => match self.load(&path) {
                    Ok(sector) => {
                        self.sectors.lock().insert(sector.key(), sector);
                    }
                    Err(error) => {
                        tracing::warn!("a spooled sector is not usable and is deleted: {error:#}");
                        remove_if_there(&path)?;
                    }
                },
                Some("sector" | "new") if !path.with_extension("done").exists() => remove_if_there(&path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn load(&self, path: &Path) -> Result<SpooledSector> {
        let size = fs::metadata(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .len();
        ensure!(size <= MAX_DONE_FILE, "{} has {size} bytes", path.display());
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Blake3Checksummed(done) = Blake3Checksummed::<Done>::decode(&mut bytes.as_slice())
            .with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(
            done.version == VERSION,
            "{} has version {}, which this release does not know",
            path.display(),
            done.version
        );
        let sector = SpooledSector { done: Arc::new(done) };
        let length = fs::metadata(self.path(&sector.key(), "sector")).map_or(0, |metadata| metadata.len());
        ensure!(
            length == sector.done.length,
            "{} belongs to a sector of {length} bytes",
            path.display()
        );
        Ok(sector)
    }

    fn path(&self, key: &SectorKey, extension: &str) -> PathBuf {
        let name = format!(
            "{}-{}-{}",
            hex::encode(key.public_key),
            key.sector_index,
            key.history_size
        );
        self.directory.join(name).with_extension(extension)
    }

    /// Stores a finished sector durably.
    pub(super) fn store(&self, key: SectorKey, encoded: &EncodedSector) -> Result<SpooledSector> {
        let done = Done {
            version: VERSION,
            public_key: key.public_key,
            sector_index: key.sector_index,
            history_size: key.history_size,
            length: encoded.sector.len() as u64,
            checksum: *blake3::hash(&encoded.sector).as_bytes(),
            metadata: SectorMetadataChecksummed::encode(&encoded.metadata),
        };
        self.largest.fetch_max(done.length, Ordering::Relaxed);
        let path = self.path(&key, "sector");
        let write = |path: &Path, bytes: &[u8]| -> Result<()> {
            let failed = || format!("cannot write {}; free space on its disk", path.display());
            let mut file = File::create(path).with_context(failed)?;
            file.write_all(bytes).with_context(failed)?;
            file.sync_all().with_context(failed)
        };
        write(&path, &encoded.sector).inspect_err(|_| drop(fs::remove_file(&path)))?;
        let temporary = self.path(&key, "new");
        write(&temporary, &Blake3Checksummed(done.clone()).encode())?;
        let finished = self.path(&key, "done");
        fs::rename(&temporary, &finished)
            .with_context(|| format!("cannot rename {}", temporary.display()))?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("cannot sync {}", self.directory.display()))?;
        let sector = SpooledSector { done: Arc::new(done) };
        self.sectors.lock().insert(key, sector.clone());
        self.changes.send_replace(());
        Ok(sector)
    }

    /// Deletes a sector; one that is not there is fine.
    pub(super) fn remove(&self, key: &SectorKey) -> Result<()> {
        self.sectors.lock().remove(key);
        // In this order a crash leaves a sector without its second file, which the next start deletes.
        remove_if_there(&self.path(key, "done"))?;
        remove_if_there(&self.path(key, "sector"))?;
        self.changes.send_replace(());
        Ok(())
    }

    /// Deletes exactly this sector; one that was made anew under the same key stays.
    pub(super) fn discard(&self, sector: &SpooledSector) -> Result<()> {
        let same = self
            .sectors
            .lock()
            .get(&sector.key())
            .is_some_and(|now| Arc::ptr_eq(&now.done, &sector.done));
        if same { self.remove(&sector.key()) } else { Ok(()) }
    }

    /// The finished sector of this key, if there is one.
    pub(super) fn get(&self, key: &SectorKey) -> Option<SpooledSector> {
        self.sectors.lock().get(key).cloned()
    }

    /// Whether `sectors` more sectors as large as those so far fit on the disk. Blocking.
    pub(super) fn has_room(&self, sectors: u64) -> bool {
        let needed = self.largest.load(Ordering::Relaxed) * sectors;
        // A disk that cannot be asked says so when it is written.
        statvfs(&self.directory).map_or(true, |disk| {
            disk.blocks_available() * disk.fragment_size() >= needed
        })
    }

    pub(super) fn len(&self) -> usize {
        self.sectors.lock().len()
    }

    pub(super) fn sectors(&self) -> Vec<SpooledSector> {
        self.sectors.lock().values().cloned().collect()
    }

    /// Tells of every sector that is stored or removed from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn open_sector(&self, key: &SectorKey) -> Result<SpoolFile, Refusal> {
        let sector = self
            .sectors
            .lock()
            .get(key)
            .cloned()
            .ok_or_else(|| Refusal::sector_not_found(key))?;
        let file = File::open(self.path(key, "sector"))
            .map_err(|error| Refusal::new(ErrorCode::Internal, format!("{key} cannot be opened: {error}")))?;
        Ok(SpoolFile {
            file: Arc::new(file),
            length: sector.done.length,
        })
    }
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

/// An open sector of the spool.
struct SpoolFile {
    file: Arc<File>,
    length: u64,
}

impl OpenSector for SpoolFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let file = Arc::clone(&self.file);
        Box::pin(async move {
            let read = move || {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)
                    .map(|()| Bytes::from(bytes))
            };
            let failed = |reason: String| {
                Refusal::new(
                    ErrorCode::Internal,
                    format!("the sector cannot be read: {reason}"),
                )
            };
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))
        })
    }
}

/// The spool as the data plane sees it.
pub(super) struct SpoolSectors(pub(super) Arc<Spool>);

impl SectorSource for SpoolSectors {
    fn open(&self, key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>> {
        let spool = Arc::clone(&self.0);
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || spool.open_sector(&key)).await;
            let opened = opened.map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))??;
            Ok(Arc::new(opened) as Arc<dyn OpenSector>)
        })
    }

    fn acknowledge(&self, key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>> {
        let spool = Arc::clone(&self.0);
        Box::pin(async move {
            let failed = |reason: String| Refusal::new(ErrorCode::Internal, reason);
            tokio::task::spawn_blocking(move || spool.remove(&key))
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(format!("{error:#}")))
        })
    }
}

#[cfg(test)]
mod tests;

//! A farm that is open: its sectors, what state each is in, and the files behind them.

mod inspect;
mod open;
mod reading;
mod writer;

pub use open::{FarmCheck, FarmOptions, SpaceRequest};
pub use reading::WinningSector;
pub use writer::SectorWriter;

use crate::error::FarmError;
use crate::identity::Identity;
use crate::info::FarmInfo;
use crate::lock::FarmLock;
use crate::metadata_file::MetadataFile;
use crate::plot_file::PlotFile;
use parking_lot::RwLock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::LoadedSector;

/// What is known of one sector of a farm.
#[derive(Debug, Clone)]
pub enum SectorState {
    /// Nothing usable is in its place: it has to be plotted.
    Missing,
    /// Plotted; audited on every slot.
    Plotted(Arc<LoadedSector>),
    /// Its bytes are being written; not audited.
    Writing,
}

/// An open farm; cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Farm {
    directory: PathBuf,
    identity: Arc<Identity>,
    public_key_hash: Blake3Hash,
    info: FarmInfo,
    metadata: MetadataFile,
    plot: PlotFile,
    /// One state a sector; locked for moments only, never across I/O.
    sectors: RwLock<Vec<SectorState>>,
    /// Held as long as the farm is open.
    _lock: Option<FarmLock>,
}

impl Farm {
    /// The farm directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the farm says about itself.
    pub fn info(&self) -> &FarmInfo {
        &self.info
    }

    /// The key pair that owns the plots.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key pair, for who needs it longer than the farm is open.
    pub fn shared_identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// The public key that owns the plots.
    pub fn public_key(&self) -> PublicKey {
        self.info.public_key
    }

    /// BLAKE3 of the public key, part of every sector's identity.
    pub fn public_key_hash(&self) -> &Blake3Hash {
        &self.public_key_hash
    }

    /// Pieces a sector.
    pub fn pieces_in_sector(&self) -> u16 {
        self.info.pieces_in_sector
    }

    /// Bytes of one sector.
    pub fn sector_size(&self) -> u64 {
        self.plot.sector_size()
    }

    /// Whether sectors are written past the page cache.
    pub fn is_direct(&self) -> bool {
        self.plot.is_direct()
    }

    /// Bytes of the farm's two large files that the file system has set no blocks aside for: 0 where it reserves.
    pub fn unreserved_bytes(&self) -> u64 {
        open::unreserved(&self.directory)
    }

    /// Bytes that are free on the farm's file system; 0 when it does not say.
    pub fn free_bytes(&self) -> u64 {
        open::free(&self.directory)
    }

    /// Sectors that the farm has room for.
    pub fn target_sector_count(&self) -> u16 {
        u16::try_from(self.sectors.read().len()).unwrap_or(u16::MAX)
    }

    /// State of one sector.
    pub fn sector_state(&self, sector_index: SectorIndex) -> Result<SectorState, FarmError> {
        let sectors = self.sectors.read();
        sectors
            .get(usize::from(sector_index))
            .cloned()
            .ok_or(FarmError::NoSuchSector {
                sector_index,
                sectors: u16::try_from(sectors.len()).unwrap_or(u16::MAX),
            })
    }

    /// Plotted sectors, ascending.
    pub fn plotted_sectors(&self) -> Vec<Arc<LoadedSector>> {
        let sectors = self.sectors.read();
        sectors
            .iter()
            .filter_map(|state| match state {
                SectorState::Plotted(sector) => Some(Arc::clone(sector)),
                SectorState::Missing | SectorState::Writing => None,
            })
            .collect()
    }

    /// Indexes of sectors that have to be plotted, ascending.
    pub fn missing_sectors(&self) -> Vec<SectorIndex> {
        let sectors = self.sectors.read();
        (0..)
            .zip(sectors.iter())
            .filter(|(_, state)| matches!(state, SectorState::Missing))
            .map(|(index, _)| index)
            .collect()
    }

    /// Reads a whole plotted sector and compares it with the checksum at its end.
    pub fn sector_is_intact(&self, sector_index: SectorIndex) -> Result<bool, FarmError> {
        self.plot.sector_is_intact(sector_index)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_tests;

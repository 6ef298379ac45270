//! Taking a new sector, range by range, and committing it.
//!
//! Order on disk, so that a crash anywhere leaves a sector that is either plotted or missing, never half:
//!
//! 1. when an old sector is replaced, its record in the metadata is made invalid and synced;
//! 2. the bytes are written and synced;
//! 3. the whole sector is read back and compared with its checksum;
//! 4. the new record is written and synced, then the header when the sector is new.

use super::open::has_all_chunks;
use super::{Farm, SectorState};
use crate::error::FarmError;
use std::sync::Arc;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::{LoadedSector, SectorMetadataChecksummed};

/// The right to write one sector. Dropped without [`commit`](Self::commit), the sector counts as missing if any byte was written,
/// and is what it was before otherwise.
#[derive(Debug)]
pub struct SectorWriter {
    farm: Arc<Farm>,
    sector_index: SectorIndex,
    /// Whether the sector is in state [`SectorState::Writing`] because of this writer.
    writing: bool,
}

impl Farm {
    /// Starts writing a sector. The old contents stay audited until the first byte is written.
    pub fn write_sector(self: &Arc<Self>, sector_index: SectorIndex) -> Result<SectorWriter, FarmError> {
        if matches!(self.sector_state(sector_index)?, SectorState::Writing) {
            return Err(FarmError::SectorBusy { sector_index });
        }
        Ok(SectorWriter {
            farm: Arc::clone(self),
            sector_index,
            writing: false,
        })
    }

    fn replace_state(&self, sector_index: SectorIndex, state: SectorState) -> SectorState {
        std::mem::replace(&mut self.sectors.write()[usize::from(sector_index)], state)
    }
}

impl SectorWriter {
    /// Writes bytes of the sector.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FarmError> {
        self.begin()?;
        self.farm.plot.write(self.sector_index, offset, bytes)
    }

    /// Takes the sector out of audits, once, before its bytes change.
    fn begin(&mut self) -> Result<(), FarmError> {
        if self.writing {
            return Ok(());
        }
        let sector_index = self.sector_index;
        match self.farm.replace_state(sector_index, SectorState::Writing) {
            // Somebody else began in the meantime; the sector is theirs.
            SectorState::Writing => return Err(FarmError::SectorBusy { sector_index }),
            SectorState::Missing => {}
            before @ SectorState::Plotted(_) => {
                if let Err(error) = self.farm.metadata.invalidate(sector_index) {
                    // Its bytes are as they were.
                    self.farm.replace_state(sector_index, before);
                    return Err(error);
                }
            }
        }
        self.writing = true;
        Ok(())
    }

    /// Makes the sector part of the farm: syncs, verifies and records it.
    pub fn commit(mut self, metadata: SectorMetadataChecksummed) -> Result<(), FarmError> {
        let sector_index = self.sector_index;
        let mismatch = |reason: &str| FarmError::SectorMetadata {
            sector_index,
            reason: reason.to_string(),
        };
        if metadata.0.sector_index != sector_index {
            return Err(mismatch("it names another sector index"));
        }
        if metadata.0.pieces_in_sector != self.farm.pieces_in_sector() {
            return Err(mismatch("it has another number of pieces"));
        }
        if !has_all_chunks(&metadata.0) {
            return Err(mismatch(
                "its s-bucket sizes do not add up to the chunks of its records",
            ));
        }
        self.begin()?;
        self.farm.plot.sync()?;
        if !self.farm.plot.sector_is_intact(sector_index)? {
            return Err(FarmError::SectorChecksum { sector_index });
        }
        self.farm.metadata.commit(sector_index, &metadata)?;
        let loaded = LoadedSector::new(&self.farm.public_key_hash, metadata.0);
        self.farm
            .replace_state(sector_index, SectorState::Plotted(Arc::new(loaded)));
        self.writing = false;
        Ok(())
    }
}

impl Drop for SectorWriter {
    fn drop(&mut self) {
        if self.writing {
            self.farm.replace_state(self.sector_index, SectorState::Missing);
        }
    }
}

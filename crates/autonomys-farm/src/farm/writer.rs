//! Taking a new sector, range by range, and committing it.
//!
//! Order on disk, so that a crash anywhere leaves a sector that is either plotted or missing, never half:
//!
//! 1. when an old sector is replaced, its record in the metadata is made invalid and synced;
//! 2. the bytes are written and synced;
//! 3. the whole sector is read back and compared with its checksum;
//! 4. the new record is written and synced, then the header when the sector is new.

use super::{Farm, SectorState};
use crate::error::FarmError;
use std::sync::Arc;
use subspace_core_primitives::pieces::NUM_CHUNKS;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::{LoadedSector, SectorMetadataChecksummed};

/// The right to write one sector. Dropped without [`commit`](Self::commit), the sector counts as missing if any byte was written,
/// and is what it was before otherwise.
#[derive(Debug)]
pub struct SectorWriter {
    farm: Arc<Farm>,
    sector_index: SectorIndex,
    /// State to go back to as long as nothing was written.
    before: Option<SectorState>,
    committed: bool,
}

impl Farm {
    /// Starts writing a sector. The old contents stay audited until the first byte is written.
    pub fn write_sector(self: &Arc<Self>, sector_index: SectorIndex) -> Result<SectorWriter, FarmError> {
        let before = self.sector_state(sector_index)?;
        if matches!(before, SectorState::Writing) {
            return Err(FarmError::SectorBusy { sector_index });
        }
        Ok(SectorWriter {
            farm: Arc::clone(self),
            sector_index,
            before: Some(before),
            committed: false,
        })
    }
}

impl SectorWriter {
    /// Writes bytes of the sector.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FarmError> {
        if let Some(before) = self.before.take() {
            self.begin(before)?;
        }
        self.farm.plot.write(self.sector_index, offset, bytes)
    }

    fn begin(&mut self, before: SectorState) -> Result<(), FarmError> {
        {
            let mut sectors = self.farm.sectors.write();
            let state = &mut sectors[usize::from(self.sector_index)];
            if matches!(state, SectorState::Writing) {
                // Somebody else began in the meantime; the sector is theirs.
                self.committed = true;
                return Err(FarmError::SectorBusy {
                    sector_index: self.sector_index,
                });
            }
            *state = SectorState::Writing;
        }
        if matches!(before, SectorState::Plotted(_)) {
            self.farm.metadata.invalidate(self.sector_index)?;
        }
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
        let stored: u32 = metadata.0.s_bucket_sizes.iter().copied().map(u32::from).sum();
        if stored as usize != usize::from(self.farm.pieces_in_sector()) * NUM_CHUNKS {
            return Err(mismatch(
                "its s-bucket sizes do not add up to the chunks of its records",
            ));
        }
        self.farm.plot.sync()?;
        if !self.farm.plot.sector_is_intact(sector_index)? {
            return Err(FarmError::SectorChecksum { sector_index });
        }
        self.farm.metadata.commit(sector_index, &metadata)?;
        let loaded = LoadedSector::new(&self.farm.public_key_hash, metadata.0);
        self.farm.sectors.write()[usize::from(sector_index)] = SectorState::Plotted(Arc::new(loaded));
        self.committed = true;
        Ok(())
    }
}

impl Drop for SectorWriter {
    fn drop(&mut self) {
        if !self.committed && self.before.is_none() {
            self.farm.sectors.write()[usize::from(self.sector_index)] = SectorState::Missing;
        }
    }
}

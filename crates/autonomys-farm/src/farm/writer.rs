//! Writing one sector so that a crash anywhere leaves a sector that is either plotted or missing, never half:
//!
//! 1. when an old sector is replaced, its record in the metadata is made invalid and synced;
//! 2. the bytes are written, in whole blocks that pass the page cache by, and synced; how far they have come is remembered on the
//!    way ([`crate::partial`]);
//! 3. the whole sector is read back from the disk and compared with its checksum;
//! 4. the new record is written and synced, then the header when the sector is new.

use super::open::has_all_chunks;
use super::{Farm, SectorState};
use crate::error::FarmError;
use crate::partial::{self, SectorOrigin};
use crate::staging::Staging;
use std::sync::Arc;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::{LoadedSector, SectorMetadataChecksummed};

/// A sector is remembered so many times on its way: a restart repeats at most this part of it, and each time costs a sync.
const CHECKPOINTS: u64 = 32;
/// Small sectors are not worth a sync more often than after this many bytes.
const MIN_CHECKPOINT: u64 = 512 * 1024;

/// The right to write one sector. Dropped without [`commit`](Self::commit), the sector counts as missing if any byte was written,
/// and is what it was before otherwise.
#[derive(Debug)]
pub struct SectorWriter {
    farm: Arc<Farm>,
    sector_index: SectorIndex,
    /// Whether the sector is in state [`SectorState::Writing`] because of this writer.
    writing: bool,
    staging: Staging,
    progress: Option<Progress>,
}

/// How far a sector that can be resumed has come.
#[derive(Debug)]
struct Progress {
    origin: SectorOrigin,
    /// Bytes written from the beginning without a gap.
    written: u64,
    /// Of these, bytes that are remembered as being on the disk.
    remembered: u64,
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
            staging: Staging::new(),
            progress: None,
        })
    }

    fn replace_state(&self, sector_index: SectorIndex, state: SectorState) -> SectorState {
        std::mem::replace(&mut self.sectors.write()[usize::from(sector_index)], state)
    }
}

impl SectorWriter {
    /// Says which sector is written, from its beginning on and in order, and gives the number of its bytes that are in place already
    /// because an earlier writer was stopped: the next byte to write. Remembers progress from now on.
    ///
    /// # Errors
    /// [`FarmError::SectorBusy`] when somebody else writes the sector.
    pub fn resume(&mut self, origin: SectorOrigin) -> Result<u64, FarmError> {
        // An old sector is in its place, so whatever is remembered is of before it came there.
        let is_missing = matches!(self.farm.sector_state(self.sector_index)?, SectorState::Missing);
        let written = if is_missing {
            partial::load(&self.farm.directory, self.sector_index, &origin).min(self.farm.sector_size())
        } else {
            0
        };
        if written > 0 {
            self.take_out_of_audits()?;
        }
        self.progress = Some(Progress {
            origin,
            written,
            remembered: written,
        });
        Ok(written)
    }

    /// Writes bytes of the sector.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FarmError> {
        self.begin()?;
        let plot = &self.farm.plot;
        plot.write(&mut self.staging, self.sector_index, offset, bytes)?;
        let Some(progress) = &mut self.progress else {
            return Ok(());
        };
        if offset != progress.written {
            // With a gap it cannot be said how far the sector has come.
            self.progress = None;
            return Ok(());
        }
        progress.written += bytes.len() as u64;
        let step = (plot.sector_size() / CHECKPOINTS).max(MIN_CHECKPOINT);
        if progress.written - progress.remembered >= step {
            plot.flush(&mut self.staging)?;
            plot.sync()?;
            let stored = partial::store(
                &self.farm.directory,
                self.sector_index,
                &progress.origin,
                progress.written,
            );
            if let Err(error) = stored {
                tracing::debug!(sector = self.sector_index, %error, "how far a sector has come cannot be remembered");
            }
            progress.remembered = progress.written;
        }
        Ok(())
    }

    /// Once, before the first byte changes: what was remembered of another sector is forgotten, and this one leaves the audits.
    fn begin(&mut self) -> Result<(), FarmError> {
        if self.writing {
            return Ok(());
        }
        self.take_out_of_audits()?;
        self.forget_progress();
        Ok(())
    }

    fn take_out_of_audits(&mut self) -> Result<(), FarmError> {
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

    fn forget_progress(&self) {
        if let Err(error) = partial::remove(&self.farm.directory, self.sector_index) {
            // Its checksum will not fit, and the sector is pulled from the beginning then.
            tracing::debug!(sector = self.sector_index, %error, "how far a sector had come cannot be forgotten");
        }
    }

    /// Makes the sector part of the farm: syncs, verifies and records it.
    pub fn commit(mut self, metadata: SectorMetadataChecksummed) -> Result<(), FarmError> {
        self.check(&metadata)?;
        self.begin()?;
        self.sync()?;
        self.verify()?;
        self.farm.metadata.commit(self.sector_index, &metadata)?;
        self.forget_progress();
        let loaded = LoadedSector::new(&self.farm.public_key_hash, metadata.0);
        self.farm
            .replace_state(self.sector_index, SectorState::Plotted(Arc::new(loaded)));
        self.writing = false;
        Ok(())
    }

    fn check(&self, metadata: &SectorMetadataChecksummed) -> Result<(), FarmError> {
        let mismatch = |reason: &str| FarmError::SectorMetadata {
            sector_index: self.sector_index,
            reason: reason.to_string(),
        };
        if metadata.0.sector_index != self.sector_index {
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
        Ok(())
    }

    /// All bytes are on the disk afterwards.
    pub(super) fn sync(&mut self) -> Result<(), FarmError> {
        self.farm.plot.flush(&mut self.staging)?;
        self.farm.plot.sync()
    }

    /// Reads the sector back and compares it with its checksum; nothing of a sector that differs is resumed.
    pub(super) fn verify(&self) -> Result<(), FarmError> {
        let sector_index = self.sector_index;
        if self.farm.plot.sector_is_intact(sector_index)? {
            return Ok(());
        }
        self.forget_progress();
        Err(FarmError::SectorChecksum { sector_index })
    }
}

impl Drop for SectorWriter {
    fn drop(&mut self) {
        if self.writing {
            self.farm.replace_state(self.sector_index, SectorState::Missing);
        }
    }
}

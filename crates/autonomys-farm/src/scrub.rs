//! Looking through a farm from outside: every sector is read and compared with its checksum, and its record with the one in it.
//!
//! Nothing is locked for that, so it also goes while a plot-client has the farm. A sector that is plotted again meanwhile is told from
//! a damaged one by its record, which is made invalid before the first byte changes. Repairing makes the records of damaged sectors
//! invalid and nothing else, so that they are plotted again; for that the farm must not be in use.

use crate::error::FarmError;
use crate::info::FarmInfo;
use crate::lock::FarmLock;
use crate::metadata_file::{MetadataFile, Record};
use crate::plot_file::PlotFile;
use std::fmt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::sectors::SectorIndex;

/// A farm to look through.
#[derive(Debug)]
pub struct FarmScrub {
    directory: PathBuf,
    info: FarmInfo,
    metadata: MetadataFile,
    plot: PlotFile,
    sectors: u16,
    /// Held when damaged sectors are to be marked.
    lock: Option<FarmLock>,
}

/// What a look at one sector found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectorVerdict {
    /// All of it is as it was plotted.
    Intact,
    /// Nothing is plotted there; it is going to be.
    Missing,
    /// It was plotted again while it was read.
    Changed,
    /// It earns nothing, or less than it should.
    Damaged(SectorDamage),
}

/// What is wrong with a sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectorDamage {
    /// Its record in `metadata.bin` has a wrong checksum.
    Metadata,
    /// Its record speaks of another sector, or of sectors of another size.
    OtherSector,
    /// Its bytes in `plot.bin` do not match the checksum at their end.
    Checksum,
    /// It cannot be read; what the system says.
    Unreadable(String),
}

impl fmt::Display for SectorDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("its record in metadata.bin is damaged"),
            Self::OtherSector => f.write_str("its record in metadata.bin is that of another sector"),
            Self::Checksum => f.write_str("its bytes in plot.bin do not match their checksum"),
            Self::Unreadable(reason) => write!(f, "it cannot be read: {reason}"),
        }
    }
}

impl FarmScrub {
    /// Opens the farm in a directory; with `repair` it is locked, so that [`Self::mark_missing`] may be used.
    ///
    /// # Errors
    /// [`FarmError::NoFarm`] when there is no farm, [`FarmError::InUse`] when a farm to repair is in use, otherwise what is wrong
    /// with its files.
    pub fn open(directory: &Path, repair: bool) -> Result<Self, FarmError> {
        let info = FarmInfo::load(directory)?.ok_or_else(|| FarmError::NoFarm {
            path: directory.to_path_buf(),
        })?;
        let lock = if repair {
            Some(FarmLock::take(directory)?)
        } else {
            None
        };
        let metadata = MetadataFile::open_existing(directory, repair)?;
        let sectors = metadata.header()?.plotted_sector_count;
        let plot = PlotFile::open_to_read(directory, sectors, info.pieces_in_sector)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            info,
            metadata,
            plot,
            sectors,
            lock,
        })
    }

    /// The farm directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Sectors that the metadata speaks of, plotted or not.
    pub fn sectors(&self) -> u16 {
        self.sectors
    }

    /// Bytes of a sector.
    pub fn sector_size(&self) -> u64 {
        self.plot.sector_size()
    }

    /// Reads one sector; tells of every part with its number of bytes.
    pub fn check(&self, sector_index: SectorIndex, progress: &mut dyn FnMut(u64)) -> SectorVerdict {
        let unreadable =
            |error: FarmError| SectorVerdict::Damaged(SectorDamage::Unreadable(error.to_string()));
        let record = match self.metadata.examine(sector_index) {
            Ok(record) => record,
            Err(error) => return unreadable(error),
        };
        let checksum = match record {
            Record::Empty => return SectorVerdict::Missing,
            Record::Damaged => return self.unless_changed(sector_index, None, SectorDamage::Metadata),
            Record::Of {
                checksum,
                sector_index: recorded,
                pieces_in_sector,
            } if recorded != sector_index || pieces_in_sector != self.info.pieces_in_sector => {
                return self.unless_changed(sector_index, Some(checksum), SectorDamage::OtherSector);
            }
            Record::Of { checksum, .. } => checksum,
        };
        match self.plot.sector_is_intact_with(sector_index, progress) {
            Ok(true) => SectorVerdict::Intact,
            Ok(false) => self.unless_changed(sector_index, Some(checksum), SectorDamage::Checksum),
            Err(error) => unreadable(error),
        }
    }

    /// The damage, unless the sector's record is another one by now.
    fn unless_changed(
        &self,
        sector_index: SectorIndex,
        before: Option<[u8; 32]>,
        damage: SectorDamage,
    ) -> SectorVerdict {
        let same = match (self.metadata.examine(sector_index), before) {
            (Ok(Record::Of { checksum, .. }), Some(before)) => checksum == before,
            (Ok(Record::Damaged), None) | (Err(_), _) => true,
            _ => false,
        };
        if same {
            SectorVerdict::Damaged(damage)
        } else {
            SectorVerdict::Changed
        }
    }

    /// Makes the sector's record invalid, so that it is plotted again at the next start of the plot-client. Its bytes stay.
    ///
    /// # Errors
    /// [`FarmError::Io`]; [`FarmError::InUse`] when the farm was not opened for repair.
    pub fn mark_missing(&self, sector_index: SectorIndex) -> Result<(), FarmError> {
        if self.lock.is_none() {
            return Err(FarmError::InUse {
                path: self.directory.clone(),
            });
        }
        self.metadata.invalidate(sector_index)
    }
}

//! `metadata.bin`: a header, then one record a sector at a fixed place.

use crate::allocation::{MAX_SECTORS, metadata_file_size};
use crate::error::{FarmError, IoContext};
use parity_scale_codec::{Decode, Encode};
use parking_lot::Mutex;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::SectorMetadataChecksummed;

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "metadata.bin";
/// Bytes reserved for the header; records follow.
pub const RESERVED_METADATA: u64 = 1024 * 1024;

const VERSION: u8 = 0;
const HEADER_SIZE: usize = 3;

/// The open file.
#[derive(Debug)]
pub struct MetadataFile {
    file: File,
    path: PathBuf,
    /// Held while the header is read and raised: sectors are committed side by side, and it must never fall back.
    header: Mutex<()>,
}

/// Header: version and how many records have ever been written, counted as highest sector index + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct MetadataHeader {
    /// Version of the file, 0.
    pub version: u8,
    /// Highest plotted sector index + 1.
    pub plotted_sector_count: u16,
}

impl MetadataFile {
    /// Opens the file of the farm in `directory`, making it when `create` is set, with room for `sectors` records.
    pub fn open(directory: &Path, sectors: u16, create: bool) -> Result<Self, FarmError> {
        let path = directory.join(FILE_NAME);
        let file = File::options()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        let this = Self {
            file,
            path,
            header: Mutex::new(()),
        };
        let length = this.file.metadata().at("read", &this.path)?.len();
        if length < RESERVED_METADATA {
            if !create {
                return Err(this.damaged(format!("it has only {length} bytes")));
            }
            crate::plot_file::allocate(&this.file, &this.path, metadata_file_size(sectors))?;
            this.write_header(MetadataHeader {
                version: VERSION,
                plotted_sector_count: 0,
            })?;
        } else if length < metadata_file_size(sectors) {
            crate::plot_file::allocate(&this.file, &this.path, metadata_file_size(sectors))?;
        }
        Ok(this)
    }

    fn damaged(&self, reason: String) -> FarmError {
        FarmError::Damaged {
            path: self.path.clone(),
            reason,
        }
    }

    /// Reads the header.
    pub fn header(&self) -> Result<MetadataHeader, FarmError> {
        let mut bytes = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut bytes, 0).at("read", &self.path)?;
        let header =
            MetadataHeader::decode(&mut bytes.as_slice()).map_err(|error| self.damaged(error.to_string()))?;
        if header.version != VERSION {
            return Err(FarmError::UnknownVersion {
                path: self.path.clone(),
                version: header.version.to_string(),
            });
        }
        if header.plotted_sector_count > MAX_SECTORS {
            let count = header.plotted_sector_count;
            return Err(self.damaged(format!(
                "it speaks of {count} sectors, and a farm has at most {MAX_SECTORS}"
            )));
        }
        Ok(header)
    }

    fn write_header(&self, header: MetadataHeader) -> Result<(), FarmError> {
        self.file
            .write_all_at(&header.encode(), 0)
            .at("write", &self.path)
    }

    /// Forgets every record.
    pub fn start_anew(&self) -> Result<(), FarmError> {
        self.write_header(MetadataHeader {
            version: VERSION,
            plotted_sector_count: 0,
        })?;
        self.sync()
    }

    fn record_offset(sector_index: SectorIndex) -> u64 {
        RESERVED_METADATA + u64::from(sector_index) * SectorMetadataChecksummed::ENCODED_SIZE as u64
    }

    /// Reads the record of a sector; `None` when it is empty or its checksum is wrong, which means the sector has to be plotted.
    pub fn record(&self, sector_index: SectorIndex) -> Result<Option<SectorMetadataChecksummed>, FarmError> {
        let mut bytes = vec![0; SectorMetadataChecksummed::ENCODED_SIZE];
        self.file
            .read_exact_at(&mut bytes, Self::record_offset(sector_index))
            .at("read", &self.path)?;
        Ok(SectorMetadataChecksummed::decode(&mut bytes.as_slice()).ok())
    }

    /// Writes the record of a sector durably, then the header when the sector is new.
    pub fn commit(
        &self,
        sector_index: SectorIndex,
        metadata: &SectorMetadataChecksummed,
    ) -> Result<(), FarmError> {
        self.file
            .write_all_at(&metadata.encode(), Self::record_offset(sector_index))
            .at("write", &self.path)?;
        self.sync()?;
        let _raising = self.header.lock();
        let header = self.header()?;
        if header.plotted_sector_count <= sector_index {
            self.write_header(MetadataHeader {
                version: VERSION,
                plotted_sector_count: sector_index + 1,
            })?;
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the record of a sector invalid, durably: its bytes in the plot are about to be replaced, and a crash in between must
    /// leave a sector that is plotted again, not one whose metadata speaks of other bytes.
    pub fn invalidate(&self, sector_index: SectorIndex) -> Result<(), FarmError> {
        let zeroes = vec![0; SectorMetadataChecksummed::ENCODED_SIZE];
        self.file
            .write_all_at(&zeroes, Self::record_offset(sector_index))
            .at("write", &self.path)?;
        self.sync()
    }

    fn sync(&self) -> Result<(), FarmError> {
        self.file.sync_data().at("sync", &self.path)
    }
}

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

/// What stands in the place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Nothing: the sector is not plotted.
    Empty,
    /// Something with a wrong checksum.
    Damaged,
    /// A record.
    Of {
        /// Sector that it speaks of.
        sector_index: SectorIndex,
        /// Pieces of that sector.
        pieces_in_sector: u16,
        /// BLAKE3 of the whole record, to tell it from others.
        checksum: [u8; 32],
    },
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

    /// Opens the file of a farm that there is, to write only if `write` is set.
    pub fn open_existing(directory: &Path, write: bool) -> Result<Self, FarmError> {
        let path = directory.join(FILE_NAME);
        let file = File::options()
            .read(true)
            .write(write)
            .open(&path)
            .at("open", &path)?;
        let length = file.metadata().at("read", &path)?.len();
        let this = Self {
            file,
            path,
            header: Mutex::new(()),
        };
        if length < RESERVED_METADATA {
            return Err(this.damaged(format!("it has only {length} bytes")));
        }
        Ok(this)
    }

    /// Reads the header of the farm in `directory`, and nothing else.
    pub fn read_header(directory: &Path) -> Result<MetadataHeader, FarmError> {
        Self::open_existing(directory, false)?.header()
    }

    /// Writes the header as it is, durably: a disk that takes this takes writes.
    pub fn probe(&self) -> Result<(), FarmError> {
        let _raising = self.header.lock();
        self.write_header(self.header()?)?;
        self.sync()
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

    /// Says what stands in the place of a sector's record.
    pub fn examine(&self, sector_index: SectorIndex) -> Result<Record, FarmError> {
        let mut bytes = vec![0; SectorMetadataChecksummed::ENCODED_SIZE];
        self.file
            .read_exact_at(&mut bytes, Self::record_offset(sector_index))
            .at("read", &self.path)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Record::Empty);
        }
        Ok(match SectorMetadataChecksummed::decode(&mut bytes.as_slice()) {
            // What the official farmer puts in the place of a damaged record.
            Ok(record) if record.0.s_bucket_sizes.iter().all(|size| *size == 0) => Record::Empty,
            Ok(record) => Record::Of {
                sector_index: record.0.sector_index,
                pieces_in_sector: record.0.pieces_in_sector,
                checksum: *blake3::hash(&bytes).as_bytes(),
            },
            Err(_) => Record::Damaged,
        })
    }

    /// Writes the record of a sector durably, then the header when the sector is new.
    pub fn commit(
        &self,
        sector_index: SectorIndex,
        metadata: &SectorMetadataChecksummed,
    ) -> Result<(), FarmError> {
        self.write_record(sector_index, metadata)?;
        self.raise_header(sector_index)
    }

    /// First half of [`Self::commit`]: the record.
    pub(crate) fn write_record(
        &self,
        sector_index: SectorIndex,
        metadata: &SectorMetadataChecksummed,
    ) -> Result<(), FarmError> {
        self.file
            .write_all_at(&metadata.encode(), Self::record_offset(sector_index))
            .at("write", &self.path)?;
        self.sync()
    }

    /// Second half: the header.
    pub(crate) fn raise_header(&self, sector_index: SectorIndex) -> Result<(), FarmError> {
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

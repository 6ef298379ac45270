//! `plot.bin`: sectors back to back, sector k at k times the sector size.

use crate::allocation::plot_file_size;
use crate::error::{FarmError, IoContext};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::read_at::Section;
use subspace_farmer_components::sector::sector_size;

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "plot.bin";
/// Bytes read at a time when a whole sector is hashed.
const HASH_BUFFER: usize = 1024 * 1024;

/// The open file.
#[derive(Debug)]
pub struct PlotFile {
    file: File,
    path: PathBuf,
    sector_size: u64,
    sectors: u16,
}

/// Makes `file` at least `size` bytes long with its blocks reserved, so that a full disk shows now and not in the middle of a sector.
pub(crate) fn allocate(file: &File, path: &Path, size: u64) -> Result<(), FarmError> {
    let length = i64::try_from(size)
        .map_err(std::io::Error::other)
        .at("reserve space for", path)?;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        // File systems without it: the length is set, blocks come when they are written.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => file.set_len(size).at("reserve space for", path),
        Err(error) => Err(std::io::Error::from(error)).at("reserve space for", path),
    }
}

impl PlotFile {
    /// Opens the file of the farm in `directory`, making it when `create` is set, with room for `sectors` sectors.
    pub fn open(
        directory: &Path,
        sectors: u16,
        pieces_in_sector: u16,
        create: bool,
    ) -> Result<Self, FarmError> {
        let path = directory.join(FILE_NAME);
        let file = File::options()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        let size = plot_file_size(sectors, pieces_in_sector);
        if file.metadata().at("read", &path)?.len() < size {
            allocate(&file, &path, size)?;
        }
        Ok(Self {
            file,
            path,
            sector_size: sector_size(pieces_in_sector) as u64,
            sectors,
        })
    }

    /// Bytes of one sector.
    pub fn sector_size(&self) -> u64 {
        self.sector_size
    }

    fn place(&self, sector_index: SectorIndex, offset: u64, size: usize) -> Result<u64, FarmError> {
        if sector_index >= self.sectors {
            return Err(FarmError::NoSuchSector {
                sector_index,
                sectors: self.sectors,
            });
        }
        let size = size as u64;
        if offset.checked_add(size).is_none_or(|end| end > self.sector_size) {
            return Err(FarmError::OutsideSector {
                sector_index,
                offset,
                size,
                length: self.sector_size,
            });
        }
        Ok(u64::from(sector_index) * self.sector_size + offset)
    }

    /// Reads bytes of a sector.
    pub fn read(&self, sector_index: SectorIndex, offset: u64, buffer: &mut [u8]) -> Result<(), FarmError> {
        let place = self.place(sector_index, offset, buffer.len())?;
        self.file.read_exact_at(buffer, place).at("read", &self.path)
    }

    /// Writes bytes of a sector.
    pub fn write(&self, sector_index: SectorIndex, offset: u64, bytes: &[u8]) -> Result<(), FarmError> {
        let place = self.place(sector_index, offset, bytes.len())?;
        self.file.write_all_at(bytes, place).at("write", &self.path)
    }

    /// Waits until everything written is on the disk.
    pub fn sync(&self) -> Result<(), FarmError> {
        self.file.sync_data().at("sync", &self.path)
    }

    /// Whether a sector's bytes match the checksum at its end.
    pub fn sector_is_intact(&self, sector_index: SectorIndex) -> Result<bool, FarmError> {
        let mut hasher = blake3::Hasher::new();
        let content = self.sector_size - Blake3Hash::SIZE as u64;
        let mut buffer = vec![0; HASH_BUFFER];
        let mut offset = 0;
        while offset < content {
            let size = usize::try_from(content - offset)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            self.read(sector_index, offset, &mut buffer[..size])?;
            hasher.update(&buffer[..size]);
            offset += size as u64;
        }
        let mut checksum = [0; Blake3Hash::SIZE];
        self.read(sector_index, content, &mut checksum)?;
        Ok(hasher.finalize() == checksum)
    }

    /// The whole plot as something to read from.
    pub fn whole(&self) -> &File {
        &self.file
    }

    /// One sector as something to read from.
    pub fn sector(&self, sector_index: SectorIndex) -> Result<Section<&File>, FarmError> {
        let start = self.place(sector_index, 0, 0)?;
        Ok(Section::new(&self.file, start))
    }
}

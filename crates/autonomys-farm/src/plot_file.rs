//! `plot.bin`: sectors back to back, sector k at k times the sector size.
//!
//! Audits and proofs read through the page cache; sectors are written, and read back whole, by direct I/O where the file system has it.

use crate::allocation::{PAGE, plot_file_size};
use crate::direct::{self, AlignedBuffer};
use crate::error::{FarmError, IoContext};
use crate::staging::Staging;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use parking_lot::Mutex;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::read_at::Section;
use subspace_farmer_components::sector::sector_size;

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "plot.bin";
/// Bytes read at a time when a whole sector is hashed; whole blocks.
const HASH_BUFFER: usize = 1024 * 1024;

/// The open file.
#[derive(Debug)]
pub struct PlotFile {
    file: File,
    /// The same file for direct I/O.
    direct: Option<File>,
    /// Held while a block that belongs to two sectors is read, changed and written.
    edges: Mutex<()>,
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
            direct: direct::open(&path),
            edges: Mutex::new(()),
            file,
            path,
            sector_size: sector_size(pieces_in_sector) as u64,
            sectors,
        })
    }

    /// Opens the file of a farm to look at its sectors only.
    pub fn open_to_read(directory: &Path, sectors: u16, pieces_in_sector: u16) -> Result<Self, FarmError> {
        let path = directory.join(FILE_NAME);
        Ok(Self {
            file: File::open(&path).at("open", &path)?,
            direct: direct::open_to_read(&path),
            edges: Mutex::new(()),
            path,
            sector_size: sector_size(pieces_in_sector) as u64,
            sectors,
        })
    }

    /// Whether sectors are written by direct I/O.
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    pub(crate) fn direct(&self) -> Option<&File> {
        self.direct.as_ref()
    }

    pub(crate) fn edges(&self) -> &Mutex<()> {
        &self.edges
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

    /// Bytes of a sector on their way into the file; they are there after [`Self::flush`].
    pub(crate) fn write(
        &self,
        staging: &mut Staging,
        sector_index: SectorIndex,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), FarmError> {
        let place = self.place(sector_index, offset, bytes.len())?;
        staging.write(self, place, bytes).at("write", &self.path)
    }

    /// Writes what is staged.
    pub(crate) fn flush(&self, staging: &mut Staging) -> Result<(), FarmError> {
        staging.flush(self).at("write", &self.path)
    }

    /// Waits until everything written is on the disk.
    pub fn sync(&self) -> Result<(), FarmError> {
        self.file.sync_data().at("sync", &self.path)
    }

    /// Whether a sector's bytes match the checksum at its end.
    pub fn sector_is_intact(&self, sector_index: SectorIndex) -> Result<bool, FarmError> {
        self.sector_is_intact_with(sector_index, &mut |_| {})
    }

    /// As [`Self::sector_is_intact`]; tells of every part with its number of bytes.
    pub fn sector_is_intact_with(
        &self,
        sector_index: SectorIndex,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool, FarmError> {
        let start = self.place(sector_index, 0, 0)?;
        let end = start + self.sector_size;
        let content_end = end - Blake3Hash::SIZE as u64;
        let mut hasher = blake3::Hasher::new();
        let mut checksum = Vec::with_capacity(Blake3Hash::SIZE);
        let mut buffer = AlignedBuffer::new(HASH_BUFFER);
        // Blocks that the sector shares with its neighbours are read whole and used in part.
        let mut place = start / PAGE * PAGE;
        while place < end {
            let wanted = usize::try_from((end - place).next_multiple_of(PAGE))
                .unwrap_or(usize::MAX)
                .min(HASH_BUFFER);
            let bytes = &mut buffer.bytes_mut()[..wanted];
            self.read_blocks(place, bytes)?;
            let part = |from: u64, to: u64| {
                let inside = |at: u64| (at.clamp(place, place + wanted as u64) - place) as usize;
                inside(from)..inside(to)
            };
            let content = part(start, content_end);
            progress(content.len() as u64);
            hasher.update(&bytes[content]);
            checksum.extend_from_slice(&bytes[part(content_end, end)]);
            place += wanted as u64;
        }
        Ok(checksum == hasher.finalize().as_bytes())
    }

    /// Reads whole blocks, from the disk itself where that can be done. What lies behind the end of the file stays as it is.
    fn read_blocks(&self, place: u64, bytes: &mut [u8]) -> Result<(), FarmError> {
        let file = self.direct.as_ref().unwrap_or(&self.file);
        // A file may end with its last sector instead of with a block.
        let sectors_end = u64::from(self.sectors) * self.sector_size;
        let mut filled = 0;
        while filled < bytes.len() && place + (filled as u64) < sectors_end {
            match file.read_at(&mut bytes[filled..], place + filled as u64) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()).at("read", &self.path),
                Ok(size) => filled += size,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).at("read", &self.path),
            }
        }
        Ok(())
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

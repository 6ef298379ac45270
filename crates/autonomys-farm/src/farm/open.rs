//! Opening a farm directory, or making a new farm in it.

use super::{Farm, SectorState};
use crate::allocation::{
    CACHE_PERCENTAGE, allocated_space_for, metadata_file_size, plot_file_size, sectors_that_fit,
    space_per_sector, target_sector_count,
};
use crate::error::{FarmError, IoContext};
use crate::identity::{self, Identity};
use crate::info::{self, FarmInfo};
use crate::lock::FarmLock;
use crate::metadata_file::{self, MetadataFile};
use crate::mounts;
use crate::plot_file::{self, PlotFile};
use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use parking_lot::RwLock;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::NUM_CHUNKS;
use subspace_farmer_components::sector::{LoadedSector, SectorMetadata};
use ulid::Ulid;

/// File-system space that `sectors=max` leaves alone, for the small files and the file system's own needs.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Bytes read of a plot that comes back, to see that it can be read.
const PROBE: usize = 4096;

/// How much space the operator gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceRequest {
    /// This many sectors.
    Sectors(u16),
    /// As many sectors as fit on the file system.
    Maximum,
    /// This many bytes for everything, as the official farmer counts them.
    Bytes(u64),
}

/// What is needed to open a farm.
#[derive(Debug, Clone)]
pub struct FarmOptions {
    /// The farm directory; made when missing.
    pub directory: PathBuf,
    /// Space to use.
    pub space: SpaceRequest,
    /// Hash of block 0 of the chain to farm.
    pub genesis_hash: Blake3Hash,
    /// Pieces a sector on this chain.
    pub pieces_in_sector: u16,
}

/// What a look at a farm directory found; nothing was written for it.
#[derive(Debug, Clone)]
pub struct FarmCheck {
    /// The farm directory, without links where it is there already.
    pub directory: PathBuf,
    /// Owner of the farm; `None` when there is no key yet and one would be made.
    pub public_key: Option<PublicKey>,
    /// Number of the file system that holds the directory, or would hold it.
    pub device: u64,
    /// Bytes that are free on that file system.
    pub free: u64,
    /// Bytes that the farm's two large files still need of it.
    pub needed: u64,
}

/// What stands in a directory and what is asked of it, once it was found to fit together.
struct Look {
    existing: Option<FarmInfo>,
    identity: Option<Identity>,
    /// Sectors that the metadata speaks of.
    plotted: u16,
    /// Sectors that the farm gets.
    sectors: u16,
}

impl Farm {
    /// Finds out whether [`Self::open`] has anything to refuse, without writing anything or making the directory.
    ///
    /// # Errors
    /// What [`Self::open`] would say.
    pub fn check(options: &FarmOptions) -> Result<FarmCheck, FarmError> {
        let directory = match options.directory.canonicalize() {
            Ok(directory) => directory,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => options.directory.clone(),
            Err(error) => return Err(error).at("find the directory", &options.directory),
        };
        FarmLock::check(&directory)?;
        let look = Look::at(options, &directory)?;
        let there = existing_ancestor(&directory);
        let device = fs::metadata(&there)
            .at("ask for the file system of", &there)?
            .dev();
        let space = Space::of(&directory)?;
        let wanted =
            plot_file_size(look.sectors, options.pieces_in_sector) + metadata_file_size(look.sectors);
        Ok(FarmCheck {
            directory,
            public_key: look.identity.map(|identity| identity.public_key()),
            device,
            free: space.free,
            needed: wanted.saturating_sub(space.occupied),
        })
    }

    /// Opens the farm in a directory, or makes one there. Everything that can be wrong is found before anything is written.
    ///
    /// # Errors
    /// [`FarmError`], which says whether the disk is to blame ([`FarmError::is_the_disks`]).
    pub fn open(options: &FarmOptions) -> Result<Self, FarmError> {
        if !options.directory.is_dir() {
            refuse_missing_mount(&options.directory)?;
        }
        fs::create_dir_all(&options.directory).at("create the directory", &options.directory)?;
        let directory = options
            .directory
            .canonicalize()
            .at("find the directory", &options.directory)?;
        let lock = FarmLock::take(&directory)?;
        let mut lock = Some(lock);
        let opened = Self::open_locked(options, directory.clone(), &mut lock);
        if opened.is_err() && lock.is_some() && matches!(FarmInfo::load(&directory), Ok(None)) {
            // No farm was made: the empty lock file goes too, while it is still ours. If it cannot, it does no harm.
            let _ = fs::remove_file(directory.join(info::FILE_NAME));
        }
        opened
    }

    /// Opens the farm of `public_key` again; never makes one. The disk has to take a write as well.
    ///
    /// # Errors
    /// [`FarmError::Gone`] when another farm or none is in the directory, otherwise as [`Self::open`].
    pub fn reopen(options: &FarmOptions, public_key: PublicKey) -> Result<Self, FarmError> {
        match FarmInfo::load(&options.directory)? {
            Some(info) if info.public_key == public_key => {}
            _ => {
                return Err(FarmError::Gone {
                    path: options.directory.clone(),
                });
            }
        }
        let farm = Self::open(options)?;
        farm.metadata.probe()?;
        if let Some(sector) = farm.plotted_sectors().first() {
            farm.plot.read(sector.sector_index, 0, &mut [0; PROBE])?;
        }
        Ok(farm)
    }

    /// Leaves the lock where it is when nothing can be opened.
    fn open_locked(
        options: &FarmOptions,
        directory: PathBuf,
        lock: &mut Option<FarmLock>,
    ) -> Result<Self, FarmError> {
        let Look {
            existing,
            identity,
            plotted,
            sectors,
        } = Look::at(options, &directory)?;

        let identity = match identity {
            Some(identity) => identity,
            None => {
                let identity = Identity::generate()?;
                identity.store(&directory)?;
                identity
            }
        };
        let metadata = MetadataFile::open(&directory, sectors, true)?;
        if existing.is_none() {
            // Left-overs of a farm without a description may belong to anything.
            metadata.start_anew()?;
        }
        let plot = PlotFile::open(&directory, sectors, options.pieces_in_sector, true)?;
        let allocated_space = match options.space {
            SpaceRequest::Bytes(bytes) => bytes,
            SpaceRequest::Sectors(_) | SpaceRequest::Maximum => {
                allocated_space_for(sectors, options.pieces_in_sector)
            }
        };
        let info = FarmInfo {
            id: existing.as_ref().map_or_else(Ulid::new, |info| info.id),
            genesis_hash: options.genesis_hash,
            public_key: identity.public_key(),
            pieces_in_sector: options.pieces_in_sector,
            allocated_space,
        };
        // The description comes last: a farm without one is made anew, and nothing in it was ever plotted.
        if existing.as_ref() != Some(&info) {
            info.store(&directory)?;
            *lock = Some(FarmLock::take(&directory)?);
        }
        let public_key_hash = info.public_key.hash();
        let states = load_sectors(
            &metadata,
            &public_key_hash,
            plotted,
            sectors,
            options.pieces_in_sector,
        )?;
        Ok(Self {
            directory,
            identity: Arc::new(identity),
            public_key_hash,
            info,
            metadata,
            plot,
            sectors: RwLock::new(states),
            _lock: lock.take(),
        })
    }
}

impl Look {
    fn at(options: &FarmOptions, directory: &Path) -> Result<Self, FarmError> {
        let existing = FarmInfo::load(directory)?;
        let identity = Identity::load(directory)?;
        let plotted = match &existing {
            Some(info) => {
                check_belongs(info, identity.as_ref(), options, directory)?;
                MetadataFile::read_header(directory)?.plotted_sector_count
            }
            None => {
                refuse_missing_mount(directory)?;
                0
            }
        };
        let sectors = sector_count(options, directory)?;
        if sectors < plotted {
            return Err(FarmError::WouldShrink {
                path: directory.to_path_buf(),
                plotted,
                requested: sectors,
            });
        }
        Ok(Self {
            existing,
            identity,
            plotted,
            sectors,
        })
    }
}

/// A new farm must not fill the disk that a mount point stands on while the disk that belongs there is away.
fn refuse_missing_mount(directory: &Path) -> Result<(), FarmError> {
    match mounts::missing_mount(directory) {
        Some(mount_point) => Err(FarmError::NotMounted {
            path: directory.to_path_buf(),
            mount_point,
        }),
        None => Ok(()),
    }
}

fn check_belongs(
    info: &FarmInfo,
    identity: Option<&Identity>,
    options: &FarmOptions,
    directory: &Path,
) -> Result<(), FarmError> {
    let path = directory.to_path_buf();
    if info.genesis_hash != options.genesis_hash {
        return Err(FarmError::WrongGenesis {
            path,
            found: info.genesis_hash.to_string(),
            expected: options.genesis_hash.to_string(),
        });
    }
    if info.pieces_in_sector != options.pieces_in_sector {
        return Err(FarmError::WrongPiecesInSector {
            path,
            found: info.pieces_in_sector,
            expected: options.pieces_in_sector,
        });
    }
    let path = directory.join(identity::FILE_NAME);
    match identity {
        Some(identity) if identity.public_key() == info.public_key => Ok(()),
        Some(identity) => Err(FarmError::WrongIdentity {
            path,
            identity: identity.public_key().to_string(),
            farm: info.public_key.to_string(),
        }),
        None => Err(FarmError::Damaged {
            path,
            reason: "it is missing, and without it the plots of this farm earn nothing".to_string(),
        }),
    }
}

/// Sectors of the farm, checked against the file system.
fn sector_count(options: &FarmOptions, directory: &Path) -> Result<u16, FarmError> {
    let pieces_in_sector = options.pieces_in_sector;
    let space = Space::of(directory)?;
    let available = space.free + space.occupied;
    let fitting = sectors_that_fit(available, pieces_in_sector);
    let sectors = match options.space {
        SpaceRequest::Sectors(sectors) => sectors,
        SpaceRequest::Maximum => sectors_that_fit(available.saturating_sub(RESERVE), pieces_in_sector),
        SpaceRequest::Bytes(bytes) => target_sector_count(bytes, pieces_in_sector, CACHE_PERCENTAGE),
    };
    if sectors == 0 {
        return Err(FarmError::TooSmall {
            path: directory.to_path_buf(),
            pieces_in_sector,
            needed: ByteSize(allocated_space_for(1, pieces_in_sector)).to_string(),
        });
    }
    if sectors > fitting {
        return Err(FarmError::DoesNotFit {
            path: directory.to_path_buf(),
            requested: sectors,
            needed: ByteSize(u64::from(sectors) * space_per_sector(pieces_in_sector)).to_string(),
            available: ByteSize(available).to_string(),
            fitting,
        });
    }
    Ok(sectors)
}

/// Space of a farm's file system.
struct Space {
    /// Bytes that anybody may still take.
    free: u64,
    /// Bytes that the farm's two large files occupy already.
    occupied: u64,
}

impl Space {
    fn of(directory: &Path) -> Result<Self, FarmError> {
        let there = existing_ancestor(directory);
        let file_system = statvfs(&there)
            .map_err(std::io::Error::from)
            .at("ask for the free space of", directory)?;
        let occupied = |name: &str| {
            /// Unit of `st_blocks`, whatever the file system's block size.
            const BLOCK: u64 = 512;
            fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.blocks() * BLOCK)
        };
        Ok(Self {
            free: file_system.blocks_available() * file_system.fragment_size(),
            occupied: occupied(plot_file::FILE_NAME) + occupied(metadata_file::FILE_NAME),
        })
    }
}

/// Bytes of the farm's large files without blocks.
pub(super) fn unreserved(directory: &Path) -> u64 {
    let length = |name: &str| fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
    let lengths = length(plot_file::FILE_NAME) + length(metadata_file::FILE_NAME);
    Space::of(directory).map_or(0, |space| lengths.saturating_sub(space.occupied))
}

/// Free bytes of the directory's file system.
pub(super) fn free(directory: &Path) -> u64 {
    Space::of(directory).map_or(0, |space| space.free)
}

/// The directory, or what of the way to it is there.
fn existing_ancestor(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let there = absolute.ancestors().find(|ancestor| ancestor.exists());
    there.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Whether the s-buckets hold what a plotted sector holds. The official farmer replaces damaged records by empty ones.
pub(super) fn has_all_chunks(metadata: &SectorMetadata) -> bool {
    let stored: u32 = metadata.s_bucket_sizes.iter().copied().map(u32::from).sum();
    stored as usize == usize::from(metadata.pieces_in_sector) * NUM_CHUNKS
}

pub(super) fn load_sectors(
    metadata: &MetadataFile,
    public_key_hash: &Blake3Hash,
    plotted: u16,
    sectors: u16,
    pieces_in_sector: u16,
) -> Result<Vec<SectorState>, FarmError> {
    let mut states = Vec::with_capacity(usize::from(sectors));
    for sector_index in 0..plotted {
        let state = match metadata.record(sector_index)? {
            Some(record)
                if record.0.sector_index == sector_index
                    && record.0.pieces_in_sector == pieces_in_sector
                    && has_all_chunks(&record.0) =>
            {
                SectorState::Plotted(Arc::new(LoadedSector::new(public_key_hash, record.0)))
            }
            _ => {
                tracing::warn!(
                    sector_index,
                    "the metadata of a sector is damaged or missing: it is plotted again"
                );
                SectorState::Missing
            }
        };
        states.push(state);
    }
    states.resize(usize::from(sectors), SectorState::Missing);
    Ok(states)
}

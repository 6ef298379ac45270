//! Opening a farm directory, or making a new farm in it.

use super::{Farm, SectorState};
use crate::allocation::{
    CACHE_PERCENTAGE, allocated_space_for, sectors_that_fit, space_per_sector, target_sector_count,
};
use crate::error::{FarmError, IoContext};
use crate::identity::{self, Identity};
use crate::info::{self, FarmInfo};
use crate::lock::FarmLock;
use crate::metadata_file::{self, MetadataFile};
use crate::plot_file::{self, PlotFile};
use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use parking_lot::RwLock;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::NUM_CHUNKS;
use subspace_farmer_components::sector::{LoadedSector, SectorMetadata};
use ulid::Ulid;

/// File-system space that `sectors=max` leaves alone, for the small files and the file system's own needs.
const RESERVE: u64 = 64 * 1024 * 1024;

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

impl Farm {
    /// Opens the farm in a directory, or makes one there. Everything that can be wrong is found before anything is written.
    pub fn open(options: &FarmOptions) -> Result<Self, FarmError> {
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

    /// Leaves the lock where it is when nothing can be opened.
    fn open_locked(
        options: &FarmOptions,
        directory: PathBuf,
        lock: &mut Option<FarmLock>,
    ) -> Result<Self, FarmError> {
        let existing = FarmInfo::load(&directory)?;
        let stored_identity = Identity::load(&directory)?;
        if let Some(info) = &existing {
            check_belongs(info, stored_identity.as_ref(), options, &directory)?;
        }
        let plotted = match &existing {
            Some(_) => {
                MetadataFile::open(&directory, 0, false)?
                    .header()?
                    .plotted_sector_count
            }
            None => 0,
        };
        let sectors = sector_count(options, &directory)?;
        if sectors < plotted {
            return Err(FarmError::WouldShrink {
                path: directory,
                plotted,
                requested: sectors,
            });
        }

        let identity = match stored_identity {
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
            identity,
            public_key_hash,
            info,
            metadata,
            plot,
            sectors: RwLock::new(states),
            _lock: lock.take(),
        })
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
    let available = available_space(directory)?;
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

/// Bytes that the farm's two large files may have together: what is free plus what they already occupy.
fn available_space(directory: &Path) -> Result<u64, FarmError> {
    let file_system = statvfs(directory)
        .map_err(std::io::Error::from)
        .at("ask for the free space of", directory)?;
    let free = file_system.blocks_available() * file_system.fragment_size();
    let occupied = |name: &str| {
        /// Unit of `st_blocks`, whatever the file system's block size.
        const BLOCK: u64 = 512;
        fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.blocks() * BLOCK)
    };
    Ok(free + occupied(plot_file::FILE_NAME) + occupied(metadata_file::FILE_NAME))
}

/// Whether the s-buckets hold what a plotted sector holds. The official farmer replaces damaged records by empty ones.
pub(super) fn has_all_chunks(metadata: &SectorMetadata) -> bool {
    let stored: u32 = metadata.s_bucket_sizes.iter().copied().map(u32::from).sum();
    stored as usize == usize::from(metadata.pieces_in_sector) * NUM_CHUNKS
}

fn load_sectors(
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

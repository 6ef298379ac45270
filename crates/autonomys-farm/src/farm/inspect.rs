//! Looking at a farm that another process may be farming.

use super::Farm;
use super::open::load_sectors;
use crate::error::{FarmError, IoContext};
use crate::identity::Identity;
use crate::info::FarmInfo;
use crate::metadata_file::MetadataFile;
use crate::plot_file::{self, PlotFile};
use parking_lot::RwLock;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use subspace_farmer_components::sector::sector_size;

impl Farm {
    /// Opens the farm in a directory to read from it, also while another process farms it: takes no lock, makes nothing and changes
    /// nothing. It sees the sectors that are plotted at this moment; one that is plotted anew later reads as damaged.
    ///
    /// # Errors
    /// When there is no farm, or it cannot be read.
    pub fn inspect(directory: &Path) -> Result<Self, FarmError> {
        let no_farm = || FarmError::NoFarm {
            path: directory.to_path_buf(),
        };
        let info = FarmInfo::load(directory)?.ok_or_else(no_farm)?;
        let identity = Identity::load(directory)?.ok_or_else(no_farm)?;
        let metadata = MetadataFile::open_existing(directory, false)?;
        let recorded = metadata.header()?.plotted_sector_count;
        // A file that lost its end has fewer.
        let path = directory.join(plot_file::FILE_NAME);
        let length = fs::metadata(&path).at("read", &path)?.len();
        let present = length / sector_size(info.pieces_in_sector) as u64;
        let sectors = recorded.min(u16::try_from(present).unwrap_or(u16::MAX));
        let public_key_hash = info.public_key.hash();
        let states = load_sectors(
            &metadata,
            &public_key_hash,
            sectors,
            sectors,
            info.pieces_in_sector,
        )?;
        Ok(Self {
            directory: directory.to_path_buf(),
            identity: Arc::new(identity),
            public_key_hash,
            plot: PlotFile::open_to_read(directory, sectors, info.pieces_in_sector)?,
            info,
            metadata,
            sectors: RwLock::new(states),
            _lock: None,
        })
    }
}

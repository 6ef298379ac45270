//! Where sectors are, seen from outside: in the files of spools and farms, whether NATS answers or not.

use super::plan::TWINS;
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::{self, MetadataFile};
use autonomys_farm::plot_file;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::sector::sector_size;

/// Places of a sector that are looked at to see whether its bytes change.
const SAMPLES: u64 = 32;
/// Bytes at each place: random ones differ for certain.
const SAMPLE: usize = 8;

/// A sector of one of the farms.
pub(crate) type SectorKey = (PublicKey, SectorIndex);

/// Name of a sector's files in a spool: `<public key>-<sector index>-<history size>.<extension>`.
pub(crate) fn spooled_key(path: &Path) -> Option<SectorKey> {
    let mut parts = path.file_stem()?.to_str()?.split('-');
    let key: [u8; 32] = hex::decode(parts.next()?).ok()?.try_into().ok()?;
    Some((key.into(), parts.next()?.parse().ok()?))
}

/// Files of a spool with their extensions.
pub(crate) fn spool_files(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|entry| entry.path()).collect()
}

/// One farm.
pub(crate) struct FarmFiles {
    pub(crate) directory: PathBuf,
    pub(crate) public_key: PublicKey,
    sectors: u16,
    pieces_in_sector: u16,
    plot: File,
    committed: BTreeSet<SectorIndex>,
    /// Of the metadata file, when `committed` was read.
    read_at: Option<SystemTime>,
}

impl FarmFiles {
    /// The farm, once it is there.
    pub(crate) fn open(directory: &Path, sectors: u16) -> Option<Self> {
        let info = FarmInfo::load(directory).unwrap()?;
        let plot = File::open(directory.join(plot_file::FILE_NAME)).ok()?;
        MetadataFile::open(directory, 0, false).ok()?;
        Some(Self {
            directory: directory.to_path_buf(),
            public_key: info.public_key,
            sectors,
            pieces_in_sector: info.pieces_in_sector,
            plot,
            committed: BTreeSet::new(),
            read_at: None,
        })
    }

    /// Sectors whose metadata is on the disk.
    pub(crate) fn committed(&mut self) -> &BTreeSet<SectorIndex> {
        let path = self.directory.join(metadata_file::FILE_NAME);
        let changed_at = fs::metadata(path).unwrap().modified().unwrap();
        if self.read_at != Some(changed_at) {
            let metadata = MetadataFile::open(&self.directory, 0, false).unwrap();
            let written = metadata.header().unwrap().plotted_sector_count.min(self.sectors);
            self.committed = (0..written)
                .filter(|sector| metadata.record(*sector).unwrap().is_some())
                .collect();
            self.read_at = Some(changed_at);
        }
        &self.committed
    }

    pub(crate) fn is_complete(&mut self) -> bool {
        self.committed().len() == usize::from(self.sectors)
    }

    /// Some bytes of each sector that is not committed; a change of them says that bytes arrive.
    pub(crate) fn samples(&mut self) -> BTreeMap<SectorIndex, Vec<u8>> {
        let size = sector_size(self.pieces_in_sector) as u64;
        let committed = self.committed().clone();
        let missing = (0..self.sectors).filter(|sector| !committed.contains(sector));
        missing
            .map(|sector| {
                let mut samples = vec![0; SAMPLE * SAMPLES as usize];
                for (place, sample) in (0..).zip(samples.chunks_mut(SAMPLE)) {
                    let offset = u64::from(sector) * size + place * (size / SAMPLES);
                    self.plot.read_exact_at(sample, offset).unwrap();
                }
                (sector, samples)
            })
            .collect()
    }
}

/// All farms and spools.
pub(crate) struct Field {
    pub(crate) farms: [FarmFiles; TWINS],
    /// Directories of finished sectors.
    pub(crate) spools: [PathBuf; TWINS],
}

impl Field {
    /// Sectors that are finished and in a spool.
    pub(crate) fn spooled(&self, server: usize) -> Vec<SectorKey> {
        spool_files(&self.spools[server])
            .iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "done"))
            .filter_map(|path| spooled_key(path))
            .collect()
    }

    /// Committed sectors of all farms.
    pub(crate) fn committed(&mut self) -> BTreeSet<SectorKey> {
        let mut all = BTreeSet::new();
        for farm in &mut self.farms {
            let key = farm.public_key;
            all.extend(farm.committed().iter().map(|sector| (key, *sector)));
        }
        all
    }

    /// Bytes of the sectors that are not committed yet.
    pub(crate) fn samples(&mut self) -> BTreeMap<SectorKey, Vec<u8>> {
        let mut all = BTreeMap::new();
        for farm in &mut self.farms {
            let key = farm.public_key;
            all.extend(
                farm.samples()
                    .into_iter()
                    .map(|(sector, bytes)| ((key, sector), bytes)),
            );
        }
        all
    }

    pub(crate) fn is_complete(&mut self) -> bool {
        self.farms.iter_mut().all(FarmFiles::is_complete)
    }

    /// Whether nothing at all is in the spools.
    pub(crate) fn spools_are_empty(&self) -> bool {
        self.spools.iter().all(|spool| spool_files(spool).is_empty())
    }
}

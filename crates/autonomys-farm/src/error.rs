//! What can be wrong with a farm directory.

use std::path::PathBuf;
use thiserror::Error;

/// Why a farm cannot be opened, created or used. Every message names the directory or file and what to do.
#[derive(Debug, Error)]
pub enum FarmError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "create the directory".
        action: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the farm open.
    #[error("the farm {} is in use by another process; stop that one or name another directory", path.display())]
    InUse {
        /// The farm directory.
        path: PathBuf,
    },
    /// The farm belongs to another chain.
    #[error(
        "the farm {} was made for the chain with genesis {found}, but this cluster farms {expected}; \
         use another directory, or a cluster of that chain", path.display()
    )]
    WrongGenesis {
        /// The farm directory.
        path: PathBuf,
        /// Genesis hash in the farm.
        found: String,
        /// Genesis hash of the cluster.
        expected: String,
    },
    /// The farm has sectors of another size.
    #[error(
        "the farm {} has {found} pieces a sector, but this chain has {expected}; use another directory, \
         or delete the farm to plot it anew", path.display()
    )]
    WrongPiecesInSector {
        /// The farm directory.
        path: PathBuf,
        /// Pieces a sector in the farm.
        found: u16,
        /// Pieces a sector of the chain.
        expected: u16,
    },
    /// Identity and description do not belong together.
    #[error(
        "the key in {} is {identity}, but the farm was plotted with {farm}; restore the identity.bin that belongs to it",
        path.display()
    )]
    WrongIdentity {
        /// The identity file.
        path: PathBuf,
        /// Public key of the identity file.
        identity: String,
        /// Public key in the description.
        farm: String,
    },
    /// A file does not have the form it must have.
    #[error("{} is damaged: {reason}; restore it from a backup, or delete the farm to plot it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has a version this program does not know.
    #[error("{} has version {version}, which this program does not know; use a newer one", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Version found.
        version: String,
    },
    /// The disk that belongs to a mount point is away.
    #[error(
        "{} belongs to the mount point {}, which /etc/fstab names and on which nothing is mounted; mount its disk",
        path.display(), mount_point.display()
    )]
    NotMounted {
        /// The farm directory.
        path: PathBuf,
        /// Where the disk belongs.
        mount_point: PathBuf,
    },
    /// A farm that was there a moment ago is not.
    #[error("the farm that was in {} is not there any more; is its disk mounted?", path.display())]
    Gone {
        /// The farm directory.
        path: PathBuf,
    },
    /// No farm is in the directory.
    #[error("there is no farm in {}; name the directory of a farm, and see whether its disk is mounted", path.display())]
    NoFarm {
        /// The directory.
        path: PathBuf,
    },
    /// More sectors were asked for than fit the file system.
    #[error(
        "{requested} sectors need {needed} in {}, but only {available} are free; {fitting} sectors fit: \
         give sectors={fitting} or sectors=max", path.display()
    )]
    DoesNotFit {
        /// The farm directory.
        path: PathBuf,
        /// Sectors asked for.
        requested: u16,
        /// Bytes they need, for people.
        needed: String,
        /// Bytes there are, for people.
        available: String,
        /// Sectors that would fit.
        fitting: u16,
    },
    /// Not even one sector fits.
    #[error(
        "the space given for {} does not hold one sector of {pieces_in_sector} pieces, which needs {needed}; give it more",
        path.display()
    )]
    TooSmall {
        /// The farm directory.
        path: PathBuf,
        /// Pieces a sector.
        pieces_in_sector: u16,
        /// Bytes that one sector needs, for people.
        needed: String,
    },
    /// The farm would lose plotted sectors.
    #[error(
        "the farm {} has {plotted} plotted sectors, more than the {requested} asked for; sectors are never thrown away by a \
         smaller number: give at least sectors={plotted}, or delete the farm", path.display()
    )]
    WouldShrink {
        /// The farm directory.
        path: PathBuf,
        /// Sectors plotted.
        plotted: u16,
        /// Sectors asked for.
        requested: u16,
    },
    /// A sector index beyond the farm's sectors.
    #[error("sector {sector_index} is beyond the {sectors} sectors of the farm")]
    NoSuchSector {
        /// Index asked for.
        sector_index: u16,
        /// Sectors of the farm.
        sectors: u16,
    },
    /// The sector is being written by somebody else.
    #[error("sector {sector_index} is already being written")]
    SectorBusy {
        /// Its index.
        sector_index: u16,
    },
    /// The bytes of a sector are not those its checksum speaks of.
    #[error("sector {sector_index} does not match its checksum after writing; it has to be fetched again")]
    SectorChecksum {
        /// Its index.
        sector_index: u16,
    },
    /// The metadata of a sector does not belong to it.
    #[error("the metadata of sector {sector_index} does not belong to it: {reason}")]
    SectorMetadata {
        /// Its index.
        sector_index: u16,
        /// What differs.
        reason: String,
    },
    /// A range outside a sector.
    #[error("bytes {offset}..{} are outside the {length} bytes of sector {sector_index}", offset + size)]
    OutsideSector {
        /// Its index.
        sector_index: u16,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        size: u64,
        /// Bytes of the sector.
        length: u64,
    },
    /// The sector holds nothing to read.
    #[error("sector {sector_index} is not plotted, so nothing can be read from it")]
    NotPlotted {
        /// Its index.
        sector_index: u16,
    },
    /// A piece could not be read back.
    #[error("{reason}")]
    ReadingPiece {
        /// Why, naming sector and piece offset.
        reason: String,
    },
    /// A proof could not be prepared.
    #[error("sector {sector_index} cannot be proved: {reason}")]
    Proving {
        /// Its index.
        sector_index: u16,
        /// Why.
        reason: String,
    },
}

impl FarmError {
    /// Whether the disk is to blame, so that the same may succeed once somebody has seen to it: a file operation that failed for
    /// another reason than missing rights or an impossible path, a damaged file, a disk that is away. Everything else is a
    /// question of what was asked for.
    pub fn is_the_disks(&self) -> bool {
        use std::io::ErrorKind::{InvalidFilename, NotADirectory, PermissionDenied};
        match self {
            Self::Io { source, .. } => {
                !matches!(source.kind(), PermissionDenied | NotADirectory | InvalidFilename)
            }
            Self::Damaged { .. } | Self::NotMounted { .. } | Self::Gone { .. } => true,
            _ => false,
        }
    }

    /// Whether the disk has no room left. What is on it can be read all the same.
    pub fn is_full_disk(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// Gives a file operation its name and place.
pub(crate) trait IoContext<T> {
    /// Turns a plain I/O error into [`FarmError::Io`].
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, FarmError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, FarmError> {
        self.map_err(|source| FarmError::Io {
            action,
            path: path.to_path_buf(),
            source,
        })
    }
}

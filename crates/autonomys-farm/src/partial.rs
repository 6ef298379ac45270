//! `sector-K.partial`: how far sector K has come while it is pulled, so that a restart goes on from there.
//!
//! It says of which sector the first bytes are (by the checksum of the whole) and how many of them are on the disk. It is believed
//! for resuming only: whether a sector is one is decided by its own checksum and its record in the metadata, which comes last. So
//! a file that is too old or lost costs nothing but a transfer from the beginning, and it is written without syncs.

use parity_scale_codec::{Decode, DecodeAll, Encode};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::HistorySize;

const VERSION: u8 = 0;
/// The content has a fixed size below this.
const MAX_FILE_SIZE: u64 = 256;

/// Which sector the bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorOrigin {
    /// History size that it was plotted at.
    pub history_size: HistorySize,
    /// BLAKE3 of all its bytes.
    pub checksum: Blake3Hash,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Partial {
    version: u8,
    sector_index: SectorIndex,
    history_size: u64,
    checksum: [u8; Blake3Hash::SIZE],
    written: u64,
}

fn path(directory: &Path, sector_index: SectorIndex) -> PathBuf {
    directory.join(format!("sector-{sector_index}.partial"))
}

/// Bytes of this sector that are on the disk already, from its beginning; 0 when nothing, or nothing of use, is known.
pub(crate) fn load(directory: &Path, sector_index: SectorIndex, origin: &SectorOrigin) -> u64 {
    let path = path(directory, sector_index);
    let has_right_size = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_FILE_SIZE);
    let bytes = if has_right_size {
        fs::read(&path).ok()
    } else {
        None
    };
    let decoded =
        bytes.and_then(|bytes| Blake3Checksummed::<Partial>::decode_all(&mut bytes.as_slice()).ok());
    match decoded {
        Some(Blake3Checksummed(partial))
            if partial.version == VERSION
                && partial.sector_index == sector_index
                && partial.history_size == origin.history_size.get()
                && partial.checksum == *origin.checksum =>
        {
            partial.written
        }
        _ => 0,
    }
}

/// Remembers that so many bytes of the sector are on the disk.
pub(crate) fn store(
    directory: &Path,
    sector_index: SectorIndex,
    origin: &SectorOrigin,
    written: u64,
) -> io::Result<()> {
    let path = path(directory, sector_index);
    let content = Blake3Checksummed(Partial {
        version: VERSION,
        sector_index,
        history_size: origin.history_size.get(),
        checksum: *origin.checksum,
        written,
    });
    let new = path.with_extension("partial.new");
    fs::write(&new, content.encode())?;
    fs::rename(&new, &path)
}

/// Forgets the sector; one that is not known is fine.
pub(crate) fn remove(directory: &Path, sector_index: SectorIndex) -> io::Result<()> {
    match fs::remove_file(path(directory, sector_index)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_sector_is_resumed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let here = directory.path();
        let origin = SectorOrigin {
            history_size: HistorySize::ONE,
            checksum: Blake3Hash::from([7; 32]),
        };
        assert_eq!(load(here, 3, &origin), 0);
        store(here, 3, &origin, 1 << 30).expect("written");
        assert_eq!(load(here, 3, &origin), 1 << 30);
        assert_eq!(load(here, 4, &origin), 0);
        let other = SectorOrigin {
            checksum: Blake3Hash::from([8; 32]),
            ..origin
        };
        assert_eq!(load(here, 3, &other), 0);

        // Damage and a torn write are no progress.
        let path = path(here, 3);
        let whole = fs::read(&path).expect("there");
        assert!(whole.len() as u64 <= MAX_FILE_SIZE);
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            fs::write(&path, bytes).expect("written");
            assert_eq!(load(here, 3, &origin), 0, "byte {position}");
            fs::write(&path, &whole[..position]).expect("written");
            assert_eq!(load(here, 3, &origin), 0, "cut at {position}");
        }
        remove(here, 3).expect("removed");
        remove(here, 3).expect("not there");
    }
}

//! The table of segment headers beside the segment files.
//!
//! Headers are opaque bytes here; who stores them has checked them against the chain. Each has its own checksum, so a record torn
//! by a crash reads as absent and is stored again.

use crate::error::CacheError;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::segments::SegmentIndex;

/// First bytes of the file.
const MAGIC: [u8; 8] = *b"AFSHDRS\n";

/// Version of the format.
const VERSION: u32 = 1;

/// Bytes of the file's own header and of each record, a divisor of 512 so that no record crosses a disk sector.
const RECORD_SIZE: usize = 128;

/// Longest segment header in bytes; those of the chain have 94 or 98.
pub const MAX_SEGMENT_HEADER_LEN: usize = RECORD_SIZE - 1 - 16;

const FILE_NAME: &str = "segment-headers.bin";

/// The open table.
#[derive(Debug)]
pub(super) struct HeaderTable {
    file: File,
    path: PathBuf,
    identity: [u8; 32],
}

impl HeaderTable {
    pub(super) fn open(directory: &Path, identity: [u8; 32]) -> Result<Self, CacheError> {
        let path = directory.join(FILE_NAME);
        let wanted = file_header(&identity);
        if !path.exists() {
            let temporary = path.with_extension("tmp");
            let create = || -> io::Result<()> {
                std::fs::write(&temporary, wanted)?;
                File::open(&temporary)?.sync_all()?;
                std::fs::rename(&temporary, &path)?;
                File::open(directory)?.sync_all()
            };
            create().map_err(|error| CacheError::write("Creating", &path, RECORD_SIZE as u64, error))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| CacheError::io("Opening", &path, error))?;
        let mut found = [0; RECORD_SIZE];
        if let Err(error) = file.read_exact_at(&mut found, 0) {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => CacheError::NotAStore {
                    path,
                    reason: "it is too short",
                },
                _ => CacheError::io("Reading", &path, error),
            });
        }
        if found[..8] != MAGIC {
            return Err(CacheError::NotAStore {
                path,
                reason: "it does not start like a table of segment headers",
            });
        }
        let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
        if version != VERSION {
            return Err(CacheError::UnsupportedVersion {
                path,
                found: version,
                known: VERSION,
            });
        }
        if found != wanted {
            return Err(CacheError::Mismatch { path, what: "chain" });
        }
        Ok(Self { file, path, identity })
    }

    pub(super) fn get(&self, segment_index: SegmentIndex) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(offset) = offset(segment_index) else {
            return Ok(None);
        };
        let mut record = [0; RECORD_SIZE];
        match self.file.read_exact_at(&mut record, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(CacheError::io("Reading", &self.path, error)),
        }
        let length = usize::from(record[0]);
        if length == 0
            || length > MAX_SEGMENT_HEADER_LEN
            || record[112..] != self.checksum(segment_index, &record)
        {
            return Ok(None);
        }
        Ok(Some(record[1..1 + length].to_vec()))
    }

    pub(super) fn put(&self, segment_index: SegmentIndex, header: &[u8]) -> Result<(), CacheError> {
        let bad = |reason| CacheError::BadSegment {
            segment_index: segment_index.get(),
            reason,
        };
        if header.is_empty() || header.len() > MAX_SEGMENT_HEADER_LEN {
            return Err(bad("its header is empty or longer than the limit"));
        }
        let offset = offset(segment_index).ok_or_else(|| bad("its index is beyond any chain"))?;
        let mut record = [0; RECORD_SIZE];
        record[0] = header.len() as u8;
        record[1..=header.len()].copy_from_slice(header);
        let checksum = self.checksum(segment_index, &record);
        record[112..].copy_from_slice(&checksum);
        self.file
            .write_all_at(&record, offset)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| CacheError::write("Writing", &self.path, RECORD_SIZE as u64, error))
    }

    fn checksum(&self, segment_index: SegmentIndex, record: &[u8; RECORD_SIZE]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&self.identity)
            .update(&segment_index.to_bytes())
            .update(&record[..112]);
        hasher.finalize().as_bytes()[..16]
            .try_into()
            .expect("a hash has 32 bytes")
    }
}

/// Segments beyond this many would make the file absurd: 2^32 segments are a billion gigabytes of pieces.
const MAX_SEGMENTS: u64 = 1 << 32;

fn offset(segment_index: SegmentIndex) -> Option<u64> {
    (segment_index.get() < MAX_SEGMENTS).then(|| (segment_index.get() + 1) * RECORD_SIZE as u64)
}

fn file_header(identity: &[u8; 32]) -> [u8; RECORD_SIZE] {
    let mut bytes = [0; RECORD_SIZE];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(RECORD_SIZE as u32).to_le_bytes());
    bytes[16..48].copy_from_slice(identity);
    bytes
}

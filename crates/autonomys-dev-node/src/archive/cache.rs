//! Cache of archived segments, addressed by what they were made from.
//!
//! The genesis block of a development chain is a function of its seed text, so its first segment is the same every time;
//! archiving it costs tens of core-seconds. A cached segment is named after the BLAKE3 hash of the KZG parameters' name and
//! the raw segment. Every piece is checked against its hash before a cached segment is used.

use super::segment_file::{self, SegmentFile};
use crate::error::DevNodeError;
use rayon::ThreadPool;
use std::path::{Path, PathBuf};
use subspace_archiving::{NewArchivedSegment, RawSegment};
use subspace_core_primitives::hashes::{blake3_hash_list, blake3_hash_parallel};
use subspace_kzg::{Kzg, TablesOrigin};

const DOMAIN: &[u8] = b"autonomys development node, archived segment, version 1";

/// The directory of cached segments.
#[derive(Debug, Clone)]
pub struct SegmentCache {
    directory: PathBuf,
}

impl SegmentCache {
    /// Uses (and creates) a directory.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(directory: &Path) -> Result<Self, DevNodeError> {
        std::fs::create_dir_all(directory).map_err(DevNodeError::io("create", directory))?;
        Ok(Self {
            directory: directory.to_path_buf(),
        })
    }

    /// Gives `kzg` its fixed-base tables, from a file beside the segments when an earlier process has left them there.
    pub fn load_tables(&self, kzg: &Kzg, pool: &ThreadPool) {
        if kzg.is_precomputed() {
            return;
        }
        if let TablesOrigin::Built {
            stored: Err(error), ..
        } = kzg.precompute_cached(&self.directory, pool)
        {
            tracing::warn!(%error, "the tables of the KZG parameters could not be kept");
        }
    }

    fn path(&self, raw: &RawSegment, kzg: &Kzg, pool: &ThreadPool) -> PathBuf {
        let parameters = kzg.reference_string().kind().to_string();
        let raw_hash = blake3_hash_parallel(&raw.bytes, pool);
        let key = blake3_hash_list(&[DOMAIN, parameters.as_bytes(), raw_hash.as_ref()]);
        self.directory.join(format!("{key}.segment"))
    }

    /// A cached segment with the path of its file, when there is a sound one.
    pub fn find(&self, raw: &RawSegment, kzg: &Kzg, pool: &ThreadPool) -> Option<(SegmentFile, PathBuf)> {
        let path = self.path(raw, kzg, pool);
        if !path.exists() {
            return None;
        }
        let found = SegmentFile::open(&path).and_then(|segment| segment.check_pieces(pool).map(|()| segment));
        match found {
            Ok(segment) => {
                let header = segment.header();
                let fits = header.segment_index() == raw.segment_index
                    && header.prev_segment_header_hash() == raw.prev_segment_header_hash
                    && header.last_archived_block() == raw.last_archived_block;
                fits.then_some((segment, path))
            }
            Err(error) => {
                tracing::warn!(%error, "a cached segment is not used and will be replaced");
                None
            }
        }
    }

    /// Adds a segment. A cache that cannot be written is no reason to stop.
    pub fn add(&self, raw: &RawSegment, segment: &NewArchivedSegment, kzg: &Kzg, pool: &ThreadPool) {
        let path = self.path(raw, kzg, pool);
        // Processes that fill the cache at the same time write the same, each under a name of its own.
        let own = path.with_extension(format!("{}", std::process::id()));
        let result =
            segment_file::write(&own, segment, pool).and_then(|()| segment_file::publish(&own, &path));
        if let Err(error) = result {
            tracing::warn!(%error, "the archived segment could not be cached");
            let _ = std::fs::remove_file(&own);
        }
    }
}

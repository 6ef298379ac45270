//! Fixed-base tables as a file, so that a process reads them instead of computing for seconds.
//!
//! One file of 48 MiB for each reference string, the same for all instruction sets: a header, the points as they lie in memory, and
//! BLAKE3 over both. What is wrong with a file is noticed, said, and mended by building the tables again.

use crate::Kzg;
use crate::msm::FixedBaseTables;
use blake3::Hasher;
use blst::blst_p1_affine;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Changes with everything that changes the content of files.
const VERSION: u32 = 1;

/// In the byte order of the machine, as the points are.
const MAGIC: u64 = 0x6b7a_672d_7461_626c;

/// Magic number 8, version 4, multiples of each point 4, BLAKE3 of the reference string 32.
const HEADER_LENGTH: usize = 48;

/// Longer files than this are not read, whatever they are.
const MAX_FILE_LENGTH: u64 = 64 << 20;

/// Where fixed-base tables came from.
#[derive(Debug)]
pub enum TablesOrigin {
    /// They had been there before.
    Present,
    /// The file.
    Loaded,
    /// They were computed.
    Built {
        /// Why they could not be loaded.
        reason: RebuildReason,
        /// Whether the file is there for the next process.
        stored: Result<(), TableStoreError>,
    },
}

/// Why tables were not taken from a file.
#[derive(Debug, thiserror::Error)]
pub enum RebuildReason {
    /// There is none.
    #[error("there is no file yet")]
    Missing,
    /// The file system refused.
    #[error("the file cannot be read: {0}")]
    Io(io::Error),
    /// Another length than that of the tables.
    #[error("the file has {given} bytes instead of {expected}")]
    Length {
        /// Bytes of the file.
        given: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// Written by another version of this software, or on another kind of machine.
    #[error("the file has another format")]
    Format,
    /// Made from other parameters.
    #[error("the file belongs to other KZG parameters")]
    Parameters,
    /// The content is not what was written.
    #[error("the checksum of the file is wrong")]
    Checksum,
}

/// Why tables could not be stored; those in memory are good all the same.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the tables to {}: {source}; check the path, its permissions and free space", path.display())]
pub struct TableStoreError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub source: io::Error,
}

impl Kzg {
    /// Like [`Kzg::precompute`], but takes the tables from a file in `directory` when a sound one is there, and leaves one there
    /// otherwise (temporary file, flush, rename). The name contains a hash of the reference string, so different ones can share a
    /// directory. 48 MiB in memory and on disk.
    pub fn precompute_cached(&self, directory: &Path, pool: &rayon::ThreadPool) -> TablesOrigin {
        let mut origin = TablesOrigin::Present;
        self.tables_or_init(|| {
            let powers = self.reference_string().g1_powers();
            let key = key(powers);
            let path = directory.join(format!("fixed-base-{}.bin", &key.to_hex()[..16]));
            match load(&path, powers, &key, pool) {
                Ok(multiples) => {
                    origin = TablesOrigin::Loaded;
                    FixedBaseTables::from_multiples(multiples, self.simd_level(), pool)
                }
                Err(reason) => {
                    let multiples = FixedBaseTables::multiples(powers, pool);
                    let stored = store(&path, &multiples, &key, pool).map_err(|source| TableStoreError {
                        path: path.clone(),
                        source,
                    });
                    origin = TablesOrigin::Built { reason, stored };
                    FixedBaseTables::from_multiples(multiples, self.simd_level(), pool)
                }
            }
        });
        origin
    }
}

/// What tells reference strings apart.
fn key(powers: &[blst_p1_affine]) -> blake3::Hash {
    blake3::hash(bytes_of(powers))
}

fn header(key: &blake3::Hash) -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    header[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    header[12..16].copy_from_slice(&(FixedBaseTables::MULTIPLES as u32).to_ne_bytes());
    header[16..].copy_from_slice(key.as_bytes());
    header
}

fn load(
    path: &Path,
    powers: &[blst_p1_affine],
    key: &blake3::Hash,
    pool: &rayon::ThreadPool,
) -> Result<Vec<blst_p1_affine>, RebuildReason> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RebuildReason::Missing,
        _ => RebuildReason::Io(error),
    })?;
    let count = powers.len() * FixedBaseTables::MULTIPLES;
    let expected = (HEADER_LENGTH + count * size_of::<blst_p1_affine>() + blake3::OUT_LEN) as u64;
    let given = file.metadata().map_err(RebuildReason::Io)?.len();
    if given != expected || expected > MAX_FILE_LENGTH {
        return Err(RebuildReason::Length { given, expected });
    }
    let mut found = [0; HEADER_LENGTH];
    file.read_exact(&mut found).map_err(RebuildReason::Io)?;
    let header = header(key);
    if found[..16] != header[..16] {
        return Err(RebuildReason::Format);
    }
    if found != header {
        return Err(RebuildReason::Parameters);
    }
    let mut multiples = FixedBaseTables::empty(powers.len());
    file.read_exact(bytes_of_mut(&mut multiples))
        .map_err(RebuildReason::Io)?;
    let mut checksum = [0; blake3::OUT_LEN];
    file.read_exact(&mut checksum).map_err(RebuildReason::Io)?;
    if blake3::Hash::from_bytes(checksum) != self::checksum(&header, &multiples, pool) {
        return Err(RebuildReason::Checksum);
    }
    // The first multiple of each point is the point.
    let firsts = multiples.iter().step_by(FixedBaseTables::MULTIPLES);
    if !firsts.eq(powers) {
        return Err(RebuildReason::Parameters);
    }
    Ok(multiples)
}

fn store(
    path: &Path,
    multiples: &[blst_p1_affine],
    key: &blake3::Hash,
    pool: &rayon::ThreadPool,
) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let header = header(key);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&header)?;
    file.write_all(bytes_of(multiples))?;
    file.write_all(checksum(&header, multiples, pool).as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn checksum(
    header: &[u8; HEADER_LENGTH],
    multiples: &[blst_p1_affine],
    pool: &rayon::ThreadPool,
) -> blake3::Hash {
    let mut hasher = Hasher::new();
    hasher.update(header);
    pool.install(|| hasher.update_rayon(bytes_of(multiples)));
    hasher.finalize()
}

fn bytes_of(points: &[blst_p1_affine]) -> &[u8] {
    // SAFETY: a point is twelve u64 without padding, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(points.as_ptr().cast(), size_of_val(points)) }
}

fn bytes_of_mut(points: &mut [blst_p1_affine]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; any bytes are twelve u64, and no code relies on more than that for memory to be sound.
    unsafe { std::slice::from_raw_parts_mut(points.as_mut_ptr().cast(), size_of_val(points)) }
}

#[cfg(test)]
mod tests;

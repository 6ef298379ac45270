//! How much of a file system a store may take.

use nix::sys::statvfs::statvfs;
use std::io;
use std::path::Path;

/// Left free on a file system when no size is given: at least this much, so that logs and other programs go on.
pub const RESERVE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// And at least this part of the file system (1/100), below which most file systems become slow.
pub const RESERVE_DIVISOR: u64 = 100;

/// What stays free on a file system of `total` bytes when no size is given; never more than half of it.
pub fn reserve(total: u64) -> u64 {
    RESERVE_BYTES.max(total / RESERVE_DIVISOR).min(total / 2)
}

/// Bytes that an unprivileged program may still write on the file system of `path`, or of its closest existing parent.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let (_, free) = total_and_free(path)?;
    Ok(free)
}

fn total_and_free(path: &Path) -> io::Result<(u64, u64)> {
    let existing = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let stats = statvfs(existing)?;
    Ok((
        stats.blocks() * stats.fragment_size(),
        stats.blocks_available() * stats.fragment_size(),
    ))
}

/// Bytes that a store file in `directory` may have: the given size, or all that is free and its own bytes less the reserve.
pub(crate) fn budget(directory: &Path, size: Option<u64>, own_bytes: u64) -> io::Result<u64> {
    if let Some(size) = size {
        return Ok(size);
    }
    let (total, free) = total_and_free(directory)?;
    Ok((free + own_bytes).saturating_sub(reserve(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_the_size_or_the_free_space_less_the_reserve() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(budget(directory.path(), Some(12_345), 7).unwrap(), 12_345);
        let (total, _) = total_and_free(directory.path()).unwrap();
        assert!(budget(directory.path(), None, 0).unwrap() <= total - reserve(total));
        assert!(reserve(u64::MAX / 2) >= u64::MAX / 2 / RESERVE_DIVISOR);
        assert_eq!(reserve(1_000_000), 500_000);
    }
}

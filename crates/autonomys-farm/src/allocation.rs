//! How many sectors fit into given bytes, and how many bytes given sectors need (`docs/protocol/farm-directory.md`).

use crate::metadata_file::RESERVED_METADATA;
use subspace_farmer_components::sector::{SectorMetadataChecksummed, sector_size};

/// Page size that file sizes are rounded up to, for direct I/O.
pub const PAGE: u64 = 4096;
/// Largest number of sectors: count and index share 16 bits.
pub const MAX_SECTORS: u16 = u16::MAX - 1;
/// Share of the space that the official farmer gives its piece cache unless told otherwise, in percent.
pub const CACHE_PERCENTAGE: u64 = 1;
/// What the official farmer sets aside before it counts sectors: two reserved mebibytes, the identity, and a hundred known peers.
const FIXED_SPACE: u64 = 2 * RESERVED_METADATA + crate::identity::FILE_SIZE + KNOWN_PEERS_SPACE;
/// Space of the official farmer's list of known peers.
const KNOWN_PEERS_SPACE: u64 = 961_284;

/// Bytes of one sector in `plot.bin` plus its record in `metadata.bin`.
pub fn space_per_sector(pieces_in_sector: u16) -> u64 {
    sector_size(pieces_in_sector) as u64 + SectorMetadataChecksummed::ENCODED_SIZE as u64
}

/// Bytes of `plot.bin` for `sectors` sectors.
pub fn plot_file_size(sectors: u16, pieces_in_sector: u16) -> u64 {
    (u64::from(sectors) * sector_size(pieces_in_sector) as u64).next_multiple_of(PAGE)
}

/// Bytes of `metadata.bin` for `sectors` sectors.
pub fn metadata_file_size(sectors: u16) -> u64 {
    (RESERVED_METADATA + u64::from(sectors) * SectorMetadataChecksummed::ENCODED_SIZE as u64)
        .next_multiple_of(PAGE)
}

/// Sectors that the official farmer makes of `allocated_space` bytes when `cache_percentage` of it is for its piece cache;
/// 0 when not even one fits.
pub fn target_sector_count(allocated_space: u64, pieces_in_sector: u16, cache_percentage: u64) -> u16 {
    let usable = allocated_space.saturating_sub(FIXED_SPACE) / 100 * (100 - cache_percentage);
    let count = usable.saturating_sub(PAGE) / space_per_sector(pieces_in_sector);
    u16::try_from(count).unwrap_or(u16::MAX).min(MAX_SECTORS)
}

/// Fewest bytes for which [`target_sector_count`] (with the usual cache percentage) gives `sectors`: what
/// `single_disk_farm.json` records for `sectors=N`, so that the official farmer sees the same number of sectors.
pub fn allocated_space_for(sectors: u16, pieces_in_sector: u16) -> u64 {
    let needed = u64::from(sectors) * space_per_sector(pieces_in_sector) + PAGE;
    FIXED_SPACE + needed.div_ceil(100 - CACHE_PERCENTAGE) * 100
}

/// Elements of `piece_cache.bin` in the space that `sectors` sectors leave of `allocated_space`.
pub fn piece_cache_elements(allocated_space: u64, sectors: u16, pieces_in_sector: u16) -> u64 {
    allocated_space
        .saturating_sub(FIXED_SPACE)
        .saturating_sub(plot_file_size(sectors, pieces_in_sector))
        .saturating_sub(u64::from(sectors) * SectorMetadataChecksummed::ENCODED_SIZE as u64)
        / crate::piece_cache::ELEMENT_SIZE as u64
}

/// Sectors whose two files fit into `bytes` of free space.
pub fn sectors_that_fit(bytes: u64, pieces_in_sector: u16) -> u16 {
    // Both files are rounded up to a page.
    let usable = bytes.saturating_sub(RESERVED_METADATA + 2 * PAGE);
    u16::try_from(usable / space_per_sector(pieces_in_sector))
        .unwrap_or(u16::MAX)
        .min(MAX_SECTORS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_thousand_sectors_do_not_fit_an_eight_terabyte_drive() {
        assert!(plot_file_size(8000, 1000) + metadata_file_size(8000) > 8_000_000_000_000);
        let fitting = sectors_that_fit(8_000_000_000_000, 1000);
        assert_eq!(fitting, 7568);
        assert!(plot_file_size(fitting, 1000) + metadata_file_size(fitting) <= 8_000_000_000_000);
        assert!(plot_file_size(fitting + 1, 1000) + metadata_file_size(fitting + 1) > 8_000_000_000_000);
    }

    proptest! {
        #[test]
        fn the_recorded_space_gives_back_the_sectors(sectors in 1..=MAX_SECTORS, pieces in 1u16..=1000) {
            let space = allocated_space_for(sectors, pieces);
            prop_assert_eq!(target_sector_count(space, pieces, CACHE_PERCENTAGE), sectors);
            prop_assert_eq!(target_sector_count(space - 100, pieces, CACHE_PERCENTAGE), sectors - 1);
        }

        #[test]
        fn what_fits_fits(bytes in 0u64..20_000_000_000_000, pieces in 1u16..=1000) {
            let sectors = sectors_that_fit(bytes, pieces);
            if sectors > 0 {
                prop_assert!(plot_file_size(sectors, pieces) + metadata_file_size(sectors) <= bytes);
            }
        }
    }
}

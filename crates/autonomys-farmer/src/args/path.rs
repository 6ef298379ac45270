//! The `path=DIR[,sectors=N|max][,size=SIZE]` arguments of caches and farms, and of utilities that look at farms.

use bytesize::ByteSize;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// How much of a farm's disk the operator gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FarmAllocation {
    /// `sectors=N`.
    Sectors(u16),
    /// `sectors=max`: as many as fit on the file system.
    MaximumSectors,
    /// `size=SIZE`, in bytes, the official farmer's way: everything of the farm stays within it.
    Bytes(u64),
}

/// One farm of a plot-client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FarmPath {
    pub(crate) directory: PathBuf,
    pub(crate) allocation: FarmAllocation,
}

/// One directory of a cache; without a size it may use the file system up to its reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachePath {
    pub(crate) directory: PathBuf,
    pub(crate) size: Option<u64>,
}

/// The directory of a farm that is there; how much of its disk it may use is of no interest, so a plot-client's arguments fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FarmDirectory(pub(crate) PathBuf);

/// Why a `path=` argument was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum PathArgError {
    #[error("it must begin with path=, as in path=/mnt/nvme0,sectors=100")]
    NoPath,
    #[error("the directory after path= is empty; name one, as in path=/mnt/nvme0")]
    EmptyDirectory,
    #[error("{key}= is given twice; give it once")]
    Twice { key: &'static str },
    #[error("{0:?} is not known here; use {1}")]
    UnknownPart(String, &'static str),
    #[error("sectors={0} is not a number from 1 to 65534 and not the word max")]
    Sectors(String),
    #[error("size={0} is not a size; write a number with a unit, as in size=500GB or size=7T")]
    Size(String),
    #[error("sectors= and size= are both given; give only one of them")]
    SectorsAndSize,
    #[error("it needs the space to use: add sectors=N, sectors=max or size=SIZE")]
    NoAllocation,
}

/// Key and value of one part after the directory.
type Part = (&'static str, String);

/// Splits off the parts; a comma belongs to the directory unless a known key follows it.
fn parts(text: &str, keys: &'static [&'static str]) -> Result<(PathBuf, Vec<Part>), PathArgError> {
    let usage = if keys.contains(&"sectors") {
        "sectors=N, sectors=max or size=SIZE"
    } else {
        "size=SIZE"
    };
    let rest = text.strip_prefix("path=").ok_or(PathArgError::NoPath)?;
    let mut pieces = rest.split(',');
    let directory = pieces.next().unwrap_or_default();
    if directory.is_empty() {
        return Err(PathArgError::EmptyDirectory);
    }
    let mut found: Vec<Part> = Vec::new();
    for piece in pieces {
        let (key, value) = piece
            .split_once('=')
            .and_then(|(key, value)| {
                keys.iter()
                    .find(|known| **known == key)
                    .map(|known| (*known, value))
            })
            .ok_or_else(|| PathArgError::UnknownPart(piece.to_string(), usage))?;
        if found.iter().any(|(earlier, _)| *earlier == key) {
            return Err(PathArgError::Twice { key });
        }
        found.push((key, value.to_string()));
    }
    Ok((PathBuf::from(directory), found))
}

fn parse_size(value: &str) -> Result<u64, PathArgError> {
    let size = value
        .parse::<ByteSize>()
        .map_err(|_| PathArgError::Size(value.to_string()))?;
    if size.as_u64() == 0 {
        Err(PathArgError::Size(value.to_string()))
    } else {
        Ok(size.as_u64())
    }
}

fn parse_sectors(value: &str) -> Result<FarmAllocation, PathArgError> {
    if value == "max" {
        return Ok(FarmAllocation::MaximumSectors);
    }
    match value.parse::<u16>() {
        // Sector counts and indexes share 16 bits, so index 65 535 is never used (docs/protocol/sectors.md).
        Ok(count) if (1..=65_534).contains(&count) => Ok(FarmAllocation::Sectors(count)),
        _ => Err(PathArgError::Sectors(value.to_string())),
    }
}

impl FromStr for FarmPath {
    type Err = PathArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (directory, found) = parts(text, &["sectors", "size"])?;
        let allocation = match found.as_slice() {
            [] => return Err(PathArgError::NoAllocation),
            [("sectors", value)] => parse_sectors(value)?,
            [(_, value)] => FarmAllocation::Bytes(parse_size(value)?),
            _ => return Err(PathArgError::SectorsAndSize),
        };
        Ok(Self {
            directory,
            allocation,
        })
    }
}

impl FromStr for FarmDirectory {
    type Err = PathArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (directory, _) = parts(text, &["sectors", "size"])?;
        Ok(Self(directory))
    }
}

impl FromStr for CachePath {
    type Err = PathArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (directory, found) = parts(text, &["size"])?;
        let size = found.first().map(|(_, value)| parse_size(value)).transpose()?;
        Ok(Self { directory, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(text: &str) -> Result<FarmPath, PathArgError> {
        text.parse()
    }

    #[test]
    fn the_tutorials_farms_are_understood() {
        assert_eq!(
            farm("path=/mnt/nvme0n1/,sectors=8000"),
            Ok(FarmPath {
                directory: "/mnt/nvme0n1/".into(),
                allocation: FarmAllocation::Sectors(8000)
            })
        );
        assert_eq!(
            farm("path=relative/dir,size=7T").map(|farm| farm.allocation),
            Ok(FarmAllocation::Bytes(7_000_000_000_000))
        );
        assert_eq!(
            farm("path=/a,sectors=max").map(|farm| farm.allocation),
            Ok(FarmAllocation::MaximumSectors)
        );
    }

    #[test]
    fn malformed_farms_are_refused_with_the_reason() {
        assert_eq!(farm("/mnt/a,sectors=1"), Err(PathArgError::NoPath));
        assert_eq!(farm("path=,sectors=1"), Err(PathArgError::EmptyDirectory));
        assert_eq!(farm("path=/a"), Err(PathArgError::NoAllocation));
        assert_eq!(farm("path=/a,sectors=0"), Err(PathArgError::Sectors("0".into())));
        assert_eq!(
            farm("path=/a,sectors=65535"),
            Err(PathArgError::Sectors("65535".into()))
        );
        assert_eq!(
            farm("path=/a,sectors=1,size=1G"),
            Err(PathArgError::SectorsAndSize)
        );
        assert_eq!(
            farm("path=/a,sectors=1,sectors=2"),
            Err(PathArgError::Twice { key: "sectors" })
        );
        assert_eq!(farm("path=/a,size=lots"), Err(PathArgError::Size("lots".into())));
        assert!(matches!(
            farm("path=/a,sector=3"),
            Err(PathArgError::UnknownPart(..))
        ));
    }

    #[test]
    fn the_directory_of_a_farm_is_taken_with_and_without_its_space() {
        let farm = FarmDirectory("/mnt/nvme0n1/".into());
        assert_eq!("path=/mnt/nvme0n1/".parse(), Ok(farm.clone()));
        assert_eq!("path=/mnt/nvme0n1/,sectors=8000".parse(), Ok(farm));
        assert_eq!("/mnt/nvme0n1".parse::<FarmDirectory>(), Err(PathArgError::NoPath));
    }

    #[test]
    fn caches_take_an_optional_size_only() {
        assert_eq!(
            "path=/var/cache".parse(),
            Ok(CachePath {
                directory: "/var/cache".into(),
                size: None
            })
        );
        assert_eq!(
            "path=/c,size=1GiB".parse::<CachePath>().map(|cache| cache.size),
            Ok(Some(1 << 30))
        );
        assert!("path=/c,sectors=1".parse::<CachePath>().is_err());
    }
}

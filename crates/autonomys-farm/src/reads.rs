//! How a farm's disk is read: io_uring or a pool of threads, single chunks or whole sectors, chosen for each disk by what is quicker on it.
//!
//! [`FarmReader`] belongs to one farm. It audits with one engine and with the other in turn until it knows which is quicker there, so a start
//! reads nothing for it; only how to read a record is measured ([`FarmReader::measure_records`]), with a few megabytes.

mod chooser;
mod farm_reader;
mod record_reads;
mod ring;

pub use farm_reader::{FarmReader, FarmReaderError, RecordReading, TimedAudit, TimedProofInput};

use ring::ReadRing;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// What keeps many reads in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadEngine {
    /// The kernel's queue.
    IoUring,
    /// One thread a read.
    Threads,
}

impl ReadEngine {
    /// All engines, the preferred one first.
    pub const ALL: [Self; 2] = [Self::IoUring, Self::Threads];

    /// Whether it works in this process; tried once.
    ///
    /// # Errors
    /// Says why not, and what to do.
    pub fn check(self) -> Result<(), ReadEngineError> {
        static IO_URING: LazyLock<Result<(), String>> =
            LazyLock::new(|| ReadRing::new().map(drop).map_err(|error| error.to_string()));
        match (self, &*IO_URING) {
            (Self::IoUring, Err(reason)) => Err(ReadEngineError::Unavailable(reason.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ReadEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io-uring",
            Self::Threads => "threads",
        })
    }
}

/// Which engines a farm may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineSelection {
    /// Whichever of those that work is quicker on the disk.
    #[default]
    Auto,
    /// This one.
    Only(ReadEngine),
}

impl EngineSelection {
    /// Whether it can be had.
    ///
    /// # Errors
    /// When the operator wants an engine that does not work here.
    pub fn check(self) -> Result<(), ReadEngineError> {
        self.engines().map(drop)
    }

    /// The engines to use.
    ///
    /// # Errors
    /// When the operator wants one that does not work here.
    pub(crate) fn engines(self) -> Result<Vec<ReadEngine>, ReadEngineError> {
        match self {
            Self::Auto => Ok(ReadEngine::ALL
                .into_iter()
                .filter(|engine| match engine.check() {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::debug!(%error, "farms are read by threads");
                        false
                    }
                })
                .collect()),
            Self::Only(engine) => engine.check().map(|()| vec![engine]),
        }
    }
}

impl FromStr for EngineSelection {
    type Err = ReadEngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        ReadEngine::ALL
            .into_iter()
            .find(|engine| engine.to_string() == text)
            .map(Self::Only)
            .ok_or_else(|| ReadEngineError::Unknown(text.to_string()))
    }
}

impl fmt::Display for EngineSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(engine) => write!(f, "{engine}"),
        }
    }
}

/// Why a read engine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadEngineError {
    /// No such engine.
    #[error("{0:?} is no read engine; use auto, io-uring or threads")]
    Unknown(String),
    /// The kernel, its administrator or a container does not allow it.
    #[error(
        "io_uring cannot be used here ({0}); choose the read engine auto or threads, or allow it: sysctl kernel.io_uring_disabled=0, \
         and in a container a seccomp profile that has its calls"
    )]
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_typed_as_they_are_shown() {
        for selection in [
            EngineSelection::Auto,
            EngineSelection::Only(ReadEngine::IoUring),
            EngineSelection::Only(ReadEngine::Threads),
        ] {
            assert_eq!(selection.to_string().parse(), Ok(selection));
        }
        let error = "uring"
            .parse::<EngineSelection>()
            .expect_err("unknown")
            .to_string();
        assert!(
            error.contains("\"uring\"") && error.contains("threads"),
            "{error}"
        );
        assert_eq!(
            EngineSelection::Only(ReadEngine::Threads).engines(),
            Ok(vec![ReadEngine::Threads])
        );
        assert!(
            EngineSelection::Auto
                .engines()
                .expect("threads always work")
                .contains(&ReadEngine::Threads)
        );
    }
}

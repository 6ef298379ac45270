//! Remembers in a cache's directory in which epoch everything there was last checked, so that a restart does not do it again.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const FILE: &str = "checked-epoch";

/// The file of one directory.
#[derive(Debug, Clone)]
pub(super) struct CheckedEpoch(PathBuf);

impl CheckedEpoch {
    /// Of this directory.
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// The epoch; 0, in which everything is checked as it comes, when nothing is remembered. Blocking.
    pub(super) fn get(&self) -> u64 {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Remembers the epoch. Blocking.
    pub(super) fn set(&self, epoch: u64) -> Result<()> {
        let temporary = self.0.with_extension("tmp");
        std::fs::write(&temporary, format!("{epoch}\n"))
            .and_then(|()| std::fs::rename(&temporary, &self.0))
            .with_context(|| format!("cannot write {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = CheckedEpoch::of(directory.path());
        assert_eq!(epoch.get(), 0);
        epoch.set(7).unwrap();
        epoch.set(8).unwrap();
        assert_eq!(CheckedEpoch::of(directory.path()).get(), 8);
        std::fs::write(directory.path().join(FILE), "nonsense").unwrap();
        assert_eq!(epoch.get(), 0);
        let missing = CheckedEpoch::of(&directory.path().join("missing"));
        assert!(format!("{:#}", missing.set(1).unwrap_err()).contains("cannot write"));
    }
}

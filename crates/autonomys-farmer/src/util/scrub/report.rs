//! What was found, for people and for scripts.

use autonomys_farm::scrub::SectorDamage;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use subspace_core_primitives::sectors::SectorIndex;

/// The result of a run; serialised as the one line of `--json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) farms: Vec<FarmReport>,
}

/// What one farm is like.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct FarmReport {
    pub(super) directory: String,
    pub(super) intact: u64,
    /// Not plotted.
    pub(super) missing: u64,
    /// Plotted again while they were read.
    pub(super) changed: u64,
    pub(super) damaged: Vec<DamagedSector>,
}

/// One damaged sector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DamagedSector {
    pub(super) sector: SectorIndex,
    pub(super) damage: String,
    /// It is plotted again from the next start of the plot-client on.
    pub(super) marked: bool,
}

impl Report {
    /// Damaged sectors of all farms.
    pub(super) fn damaged(&self) -> usize {
        self.farms.iter().map(|farm| farm.damaged.len()).sum()
    }
}

impl FarmReport {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.display().to_string(),
            ..Self::default()
        }
    }

    pub(super) fn add_damaged(&mut self, sector: SectorIndex, damage: &SectorDamage, marked: bool) {
        self.damaged.push(DamagedSector {
            sector,
            damage: damage.to_string(),
            marked,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for farm in &self.farms {
            let FarmReport {
                directory,
                intact,
                missing,
                changed,
                damaged,
            } = farm;
            for DamagedSector {
                sector,
                damage,
                marked,
            } in damaged
            {
                let outcome = if *marked { " (will be plotted again)" } else { "" };
                writeln!(f, "DAMAGED sector {sector} of {directory}: {damage}{outcome}")?;
            }
            write!(
                f,
                "{directory}: {intact} sectors intact, {} damaged",
                damaged.len()
            )?;
            if *missing > 0 {
                write!(f, ", {missing} not plotted")?;
            }
            if *changed > 0 {
                write!(f, ", {changed} plotted again while they were read")?;
            }
            writeln!(f)?;
        }
        let unmarked = self
            .farms
            .iter()
            .flat_map(|farm| &farm.damaged)
            .any(|sector| !sector.marked);
        if unmarked {
            writeln!(
                f,
                "Stop the plot-client and add --repair to have damaged sectors plotted again."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_sectors_are_named_with_what_to_do() {
        let mut farm = FarmReport::new(Path::new("/mnt/nvme0"));
        farm.intact = 5;
        assert_eq!(
            Report {
                farms: vec![farm.clone()]
            }
            .to_string(),
            "/mnt/nvme0: 5 sectors intact, 0 damaged\n"
        );
        farm.missing = 1;
        farm.add_damaged(3, &SectorDamage::Checksum, false);
        let text = Report {
            farms: vec![farm.clone()],
        }
        .to_string();
        assert!(
            text.contains("DAMAGED sector 3 of /mnt/nvme0: its bytes"),
            "{text}"
        );
        assert!(
            text.contains("5 sectors intact, 1 damaged, 1 not plotted"),
            "{text}"
        );
        assert!(text.contains("add --repair"), "{text}");
        farm.damaged[0].marked = true;
        let text = Report { farms: vec![farm] }.to_string();
        assert!(
            text.contains("(will be plotted again)") && !text.contains("add --repair"),
            "{text}"
        );
    }
}

//! The audit of many sectors.

use super::{AuditChallenge, AuditResult, audit_sector};
use crate::read_at::{ReadAt, Section};
use crate::sector::LoadedSector;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::io;
use subspace_core_primitives::sectors::SectorIndex;

/// Sectors that one task audits at a time, with one buffer.
const SECTORS_PER_TASK: usize = 16;

/// A sector and where it starts in the plot.
#[derive(Debug, Clone, Copy)]
pub struct SectorInPlot<'a> {
    /// The sector.
    pub sector: &'a LoadedSector,
    /// First byte of the sector in the plot.
    pub start: u64,
}

/// A sector that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("sector {sector_index} cannot be audited: {source}; check the disk")]
pub struct AuditError {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// What the system says.
    pub source: io::Error,
}

/// What auditing a plot found, both lists in the order of the sectors.
#[derive(Debug, Default)]
pub struct PlotAudit {
    /// Sectors with winning chunks.
    pub results: Vec<AuditResult>,
    /// Sectors that could not be read; the others are not affected.
    pub errors: Vec<AuditError>,
}

/// Audits all sectors for which `skip` is false (such as those being overwritten just now).
///
/// With a pool the sectors are spread over its threads, so that as many reads are in flight.
pub fn audit_plot<P: ReadAt + ?Sized>(
    plot: &P,
    sectors: &[SectorInPlot<'_>],
    challenge: &AuditChallenge,
    skip: &(dyn Fn(SectorIndex) -> bool + Sync),
    pool: Option<&ThreadPool>,
) -> PlotAudit {
    let audit = |buffer: &mut Vec<u8>, SectorInPlot { sector, start }: &SectorInPlot<'_>| {
        if skip(sector.sector_index) {
            return None;
        }
        audit_sector(sector, &Section::new(plot, *start), challenge, buffer)
            .map_err(|source| AuditError {
                sector_index: sector.sector_index,
                source,
            })
            .transpose()
    };
    let mut plot_audit = PlotAudit::default();
    let mut add = |outcome| match outcome {
        Ok(result) => plot_audit.results.push(result),
        Err(error) => plot_audit.errors.push(error),
    };
    match pool {
        Some(pool) => pool
            .install(|| {
                sectors
                    .par_iter()
                    .with_min_len(SECTORS_PER_TASK)
                    .map_init(Vec::new, audit)
                    .flatten_iter()
                    .collect::<Vec<_>>()
            })
            .into_iter()
            .for_each(&mut add),
        None => {
            let mut buffer = Vec::new();
            sectors
                .iter()
                .filter_map(|sector| audit(&mut buffer, sector))
                .for_each(&mut add);
        }
    }
    plot_audit
}

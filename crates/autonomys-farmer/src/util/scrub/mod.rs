//! `util scrub`: every sector of farms against its checksum, each farm on a thread of its own.
//!
//! Needs neither a cluster nor the plot-client's end: only `--repair` wants the farm for itself. [`report`] tells what was found.

mod report;

use super::progress::Progress;
use crate::args::path::FarmDirectory;
use anyhow::{Context, Result, bail};
use autonomys_farm::FarmError;
use autonomys_farm::scrub::{FarmScrub, SectorVerdict};
use clap::Args;
use parking_lot::Mutex;
use report::{FarmReport, Report};
use std::process::ExitCode;

/// Exit code when anything was bad, whether it could be repaired or not.
const SOMETHING_BAD: u8 = 2;
/// Progress counts these: a bar that moves within a sector.
const MEBIBYTE: u64 = 1024 * 1024;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct ScrubArgs {
    /// Directory of a farm; what follows it in a plot-client's argument may stay
    #[arg(value_name = "path=DIR", required = true)]
    farms: Vec<FarmDirectory>,
    /// Have damaged sectors plotted again from the plot-client's next start on; the farm must not be in use
    #[arg(long)]
    repair: bool,
    /// One JSON line instead of a list
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ScrubArgs) -> Result<ExitCode> {
    let farms = args.farms.iter().map(|farm| open(farm, args.repair));
    let farms = farms.collect::<Result<Vec<_>>>()?;
    let report = scrub(&farms, args.repair)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.damaged() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(SOMETHING_BAD)
    })
}

fn open(farm: &FarmDirectory, repair: bool) -> Result<FarmScrub> {
    match FarmScrub::open(&farm.0, repair) {
        Ok(scrub) => Ok(scrub),
        Err(FarmError::InUse { path }) => bail!(
            "the farm {} is in use; stop its plot-client for --repair, or leave --repair out to look through it while it farms",
            path.display()
        ),
        Err(error) => Err(error.into()),
    }
}

fn scrub(farms: &[FarmScrub], repair: bool) -> Result<Report> {
    let bytes: u64 = farms
        .iter()
        .map(|farm| u64::from(farm.sectors()) * farm.sector_size())
        .sum();
    let progress = Mutex::new((Progress::start("MiB read", bytes / MEBIBYTE), 0_u64));
    let add = |bytes: u64| {
        let (progress, done) = &mut *progress.lock();
        *done += bytes;
        progress.set(*done / MEBIBYTE);
    };
    let reports = std::thread::scope(|scope| {
        let threads: Vec<_> = farms
            .iter()
            .map(|farm| scope.spawn(|| scrub_farm(farm, repair, &add)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("looking through a farm crashed"))?
            })
            .collect::<Result<Vec<_>>>()
    });
    progress.into_inner().0.finish();
    Ok(Report { farms: reports? })
}

fn scrub_farm(farm: &FarmScrub, repair: bool, add: &(dyn Fn(u64) + Sync)) -> Result<FarmReport> {
    let mut report = FarmReport::new(farm.directory());
    for sector in 0..farm.sectors() {
        let mut read = 0;
        let verdict = farm.check(sector, &mut |bytes| {
            read += bytes;
            add(bytes);
        });
        // What is not read because there is nothing, or no more, to read counts as done.
        add(farm.sector_size().saturating_sub(read));
        match verdict {
            SectorVerdict::Intact => report.intact += 1,
            SectorVerdict::Missing => report.missing += 1,
            SectorVerdict::Changed => report.changed += 1,
            SectorVerdict::Damaged(damage) => {
                if repair {
                    farm.mark_missing(sector).with_context(|| {
                        format!(
                            "sector {sector} of {} is damaged and cannot be marked",
                            farm.directory().display()
                        )
                    })?;
                }
                report.add_damaged(sector, &damage, repair);
            }
        }
    }
    Ok(report)
}

//! `util benchmark audit`.

use super::farm_path;
use super::samples::{Spread, Stopwatch};
use super::synthetic::HollowPlot;
use crate::roles::chain::available_processors;
use anyhow::{Context, Result, ensure};
use autonomys_farm::Farm;
use autonomys_farm::reads::{EngineSelection, FarmReader, ReadEngine};
use clap::Args;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;
use subspace_core_primitives::hashes::blake3_hash;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot};
use subspace_farmer_components::sector::LoadedSector;

/// As a plot-client reads.
const READERS: usize = 8;
/// Engines this close to each other are equally good.
const NEAR: f64 = 1.1;

/// The same challenge again and again.
const PAGE_CACHE: &str = "page cache";
/// Another challenge each time, after the pages of the file were dropped.
const DISK: &str = "disk";

/// Options of the benchmark.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Farm to audit, which may be farmed meanwhile; without one, sectors are made up in a hollow file [default: none]
    #[arg(value_name = "path=DIR", value_parser = farm_path)]
    farm: Option<PathBuf>,
    /// Sectors to make up
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=65_534))]
    sectors: u16,
    /// Pieces of a sector that is made up
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pieces_in_sector: u16,
    /// Audits of each kind
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    audits: u32,
    /// One JSON line instead of a table
    #[arg(long)]
    json: bool,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Report {
    /// None when the sectors were made up.
    farm: Option<PathBuf>,
    sectors: usize,
    pieces_in_sector: u16,
    processors: usize,
    measured: Vec<Measured>,
    /// Engines that cannot be used here, and why.
    unavailable: Vec<String>,
    recommended: Vec<String>,
}

/// One engine on one kind of reads.
#[derive(Debug, Serialize)]
struct Measured {
    engine: String,
    /// [`PAGE_CACHE`] or [`DISK`].
    reads: &'static str,
    audit: Spread,
    sectors_per_second: f64,
    /// Processor time in percent of the wall time; 100 is one processor.
    processor_percent: f64,
    microseconds_of_processor_per_sector: f64,
}

/// What is audited.
struct Plot<'a> {
    file: &'a File,
    sectors: Vec<SectorInPlot<'a>>,
}

pub(super) fn run(args: &AuditArgs) -> Result<()> {
    let report = match &args.farm {
        Some(directory) => {
            let farm = Farm::inspect(directory)?;
            let sectors = farm.plotted_sectors();
            ensure!(
                !sectors.is_empty(),
                "no sector is plotted in {}",
                directory.display()
            );
            let plot = Plot {
                file: farm.plot_file(),
                sectors: sectors
                    .iter()
                    .map(|sector| SectorInPlot {
                        sector,
                        start: farm.sector_start(sector.sector_index),
                    })
                    .collect(),
            };
            measure(args, &plot, farm.pieces_in_sector(), Some(directory.clone()))?
        }
        None => {
            let directory = std::env::current_dir().context("the current directory is gone")?;
            let hollow = HollowPlot::new(&directory, args.sectors, args.pieces_in_sector)?;
            let size = hollow.sectors[0].layout().sector_size();
            let in_plot = |sector: &'_ LoadedSector| u64::from(sector.sector_index) * size;
            let plot = Plot {
                file: &hollow.file,
                sectors: hollow
                    .sectors
                    .iter()
                    .map(|sector| SectorInPlot {
                        sector,
                        start: in_plot(sector),
                    })
                    .collect(),
            };
            measure(args, &plot, args.pieces_in_sector, None)?
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn measure(
    args: &AuditArgs,
    plot: &Plot<'_>,
    pieces_in_sector: u16,
    farm: Option<PathBuf>,
) -> Result<Report> {
    let mut measured = Vec::new();
    let mut unavailable = Vec::new();
    for engine in ReadEngine::ALL {
        if let Err(error) = engine.check() {
            unavailable.push(error.to_string());
            continue;
        }
        let reader = FarmReader::new(EngineSelection::Only(engine), READERS, "benchmark")?;
        measured.push(measure_engine(args, plot, &reader, engine, PAGE_CACHE)?);
        // There is no disk behind a hollow file.
        if farm.is_some() {
            measured.push(measure_engine(args, plot, &reader, engine, DISK)?);
        }
    }
    let recommended = recommend(&measured, plot.sectors.len());
    Ok(Report {
        farm,
        sectors: plot.sectors.len(),
        pieces_in_sector,
        processors: available_processors(),
        measured,
        unavailable,
        recommended,
    })
}

fn measure_engine(
    args: &AuditArgs,
    plot: &Plot<'_>,
    reader: &FarmReader,
    engine: ReadEngine,
    reads: &'static str,
) -> Result<Measured> {
    let from_disk = reads == DISK;
    let audit = |number: u32| -> Result<(Duration, Duration)> {
        let challenge = AuditChallenge {
            global_challenge: blake3_hash(&number.to_le_bytes()),
            solution_range: 0,
        };
        let watch = Stopwatch::start();
        let (found, used) = reader.audit_file(plot.file, &plot.sectors, &challenge, &|_| false, engine);
        let elapsed = watch.elapsed();
        ensure!(used == engine, "{engine} failed while it was measured");
        if let Some(error) = found.errors.into_iter().next() {
            return Err(error.into());
        }
        Ok(elapsed)
    };
    if !from_disk {
        // Fills the page cache.
        audit(0)?;
    }
    let mut walls = Vec::new();
    let mut processor = Duration::ZERO;
    for number in 1..=args.audits {
        if from_disk {
            posix_fadvise(plot.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
                .context("cannot drop the pages of the plot file")?;
        }
        let (wall, computed) = audit(if from_disk { number } else { 0 })?;
        walls.push(wall);
        processor += computed;
    }
    let spread = Spread::of(&walls);
    let total: Duration = walls.iter().sum();
    let audited = plot.sectors.len() as f64 * f64::from(args.audits);
    Ok(Measured {
        engine: engine.to_string(),
        reads,
        audit: spread,
        sectors_per_second: plot.sectors.len() as f64 * 1000.0 / spread.median_ms,
        processor_percent: 100.0 * processor.as_secs_f64() / total.as_secs_f64(),
        microseconds_of_processor_per_sector: processor.as_secs_f64() * 1e6 / audited,
    })
}

/// What follows for an operator.
fn recommend(measured: &[Measured], sectors: usize) -> Vec<String> {
    // What the disk gives counts, where there is one.
    let has_disk = measured.iter().any(|measured| measured.reads == DISK);
    let kind = if has_disk { DISK } else { PAGE_CACHE };
    let mut engines: Vec<_> = measured
        .iter()
        .filter(|measured| measured.reads == kind)
        .collect();
    engines.sort_by(|one, other| other.sectors_per_second.total_cmp(&one.sectors_per_second));
    let mut lines = Vec::new();
    let Some(best) = engines.first() else { return lines };
    match engines.get(1) {
        Some(second) if best.sectors_per_second > second.sectors_per_second * NEAR => lines.push(format!(
            "--read-engine auto (the default) settles on {}, {:.1} times as fast here",
            best.engine,
            best.sectors_per_second / second.sectors_per_second
        )),
        Some(_) => {
            lines.push("--read-engine auto (the default): both engines are equally fast here".to_string())
        }
        None => lines.push(format!(
            "--read-engine auto (the default): only {} can be used here",
            best.engine
        )),
    }
    lines.push(format!(
        "up to {:.0} sectors on one disk are audited within the second between two slots (measured from the {kind}); here were {sectors}",
        best.sectors_per_second
    ));
    lines
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.farm {
            Some(farm) => writeln!(f, "farm {}", farm.display())?,
            None => writeln!(f, "made-up sectors in a hollow file: nothing is read from a disk")?,
        }
        writeln!(
            f,
            "{} sectors of {} pieces, {} processors",
            self.sectors, self.pieces_in_sector, self.processors
        )?;
        writeln!(
            f,
            "{:10}  {:10}  {:>11}  {:>19}  {:>9}  {:>9}",
            "engine", "reads from", "one audit", "least to most", "sectors/s", "processor"
        )?;
        for measured in &self.measured {
            let Spread {
                median_ms,
                least_ms,
                most_ms,
            } = measured.audit;
            writeln!(
                f,
                "{:10}  {:10}  {median_ms:>8.2} ms  {least_ms:>8.2} – {most_ms:>8.2}  {:>9.0}  {:>7.0} %  ({:.1} µs a sector)",
                measured.engine,
                measured.reads,
                measured.sectors_per_second,
                measured.processor_percent,
                measured.microseconds_of_processor_per_sector,
            )?;
        }
        for reason in &self.unavailable {
            writeln!(f, "{reason}")?;
        }
        writeln!(f, "recommended:")?;
        for line in &self.recommended {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

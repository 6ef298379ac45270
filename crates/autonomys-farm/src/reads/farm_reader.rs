//! Reads the sectors of one farm for audits and proofs, and knows how that is quickest on its disk.

use super::chooser::Chooser;
use super::record_reads::RingFile;
use super::ring::{QUEUE_DEPTH, ReadRing, Span};
use super::{EngineSelection, ReadEngine, ReadEngineError};
use crate::error::FarmError;
use crate::farm::{Farm, WinningSector};
use parking_lot::Mutex;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::NUM_CHUNKS;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::auditing::{
    AuditChallenge, AuditError, PlotAudit, SectorAudit, SectorInPlot, audit_plot,
};
use subspace_farmer_components::proving::{ProofInput, ProvableCandidate};
use subspace_farmer_components::read_at::{ReadAt, Section};
use subspace_farmer_components::reading::ReadMode;
use subspace_farmer_components::sector::LoadedSector;
use subspace_proof_of_space::ProofOfSpaceKind;

/// Threads that work on one audit through rings: each hashes what it has read, which takes 10 µs a sector, so four serve any drive.
const RING_WORKERS: usize = 4;
/// Fewer sectors than this are not worth a second thread.
const SECTORS_PER_WORKER: usize = 64;
/// Chunks that are read to see how long the 32 768 of a record take.
const SAMPLED_CHUNKS: u32 = 512;
/// Bytes that are read to see how long a whole sector takes.
const SAMPLED_BYTES: usize = 8 * 1024 * 1024;

/// How the chunks of a record are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordReading {
    /// Each by itself, many at once.
    Chunks(ReadEngine),
    /// The whole sector from first to last: disks that seek.
    WholeSector,
}

impl fmt::Display for RecordReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunks(engine) => write!(f, "chunks by {engine}"),
            Self::WholeSector => f.write_str("whole sector"),
        }
    }
}

/// An audit of all plotted sectors.
#[derive(Debug)]
pub struct TimedAudit {
    /// What was found.
    pub audit: PlotAudit,
    /// How it was read.
    pub engine: ReadEngine,
    /// Plotted sectors.
    pub sectors: usize,
    /// How long it took.
    pub took: Duration,
}

/// What the proof of a candidate needs.
#[derive(Debug)]
pub struct TimedProofInput {
    /// The record and the rest.
    pub input: ProofInput,
    /// How it was read.
    pub reading: RecordReading,
    /// How long it took.
    pub took: Duration,
}

/// Reads one farm. Bounded: at most 128 reads of an audit are in flight, whose buffers take 3 MiB for sectors of 1000 pieces.
pub struct FarmReader {
    /// One read a thread.
    pool: ThreadPool,
    /// Free ones; at most four are kept.
    rings: Mutex<Vec<ReadRing>>,
    chooser: Mutex<Chooser>,
    records: Mutex<RecordReading>,
}

impl fmt::Debug for FarmReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarmReader")
            .field("chooser", &*self.chooser.lock())
            .field("records", &*self.records.lock())
            .finish_non_exhaustive()
    }
}

impl FarmReader {
    /// Starts `threads` threads for the reads of the farm in `label`; it shows in the system's thread list.
    ///
    /// # Errors
    /// [`ReadEngineError`] when the selected engine does not work here; an I/O error when threads cannot be started.
    pub fn new(
        selection: EngineSelection,
        threads: usize,
        label: &'static str,
    ) -> Result<Self, FarmReaderError> {
        let engines = selection.engines()?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |number| format!("{label}-{number}"))
            .build()
            .map_err(|error| FarmReaderError::Threads(error.to_string()))?;
        let first = engines.first().copied().unwrap_or(ReadEngine::Threads);
        Ok(Self {
            pool,
            rings: Mutex::default(),
            chooser: Mutex::new(Chooser::new(engines)),
            records: Mutex::new(RecordReading::Chunks(first)),
        })
    }

    /// The engine that audits, once it is chosen.
    pub fn audit_engine(&self) -> Option<ReadEngine> {
        self.chooser.lock().chosen()
    }

    /// How records are read.
    pub fn record_reading(&self) -> RecordReading {
        *self.records.lock()
    }

    /// Audits every plotted sector of `farm`. Sectors being written are skipped; those that cannot be read are named in the result and do
    /// not affect the others.
    pub fn audit(&self, farm: &Farm, challenge: &AuditChallenge) -> TimedAudit {
        let engine = self.chooser.lock().next();
        let timed = self.audit_with(farm, challenge, engine);
        let decided = self.chooser.lock().learn(timed.engine, timed.sectors, timed.took);
        if decided && let Some(engine) = self.audit_engine() {
            tracing::debug!(directory = %farm.directory().display(), %engine, "audits use the quicker engine from now on");
        }
        timed
    }

    /// As [`Self::audit`], with this engine if it works.
    pub fn audit_with(&self, farm: &Farm, challenge: &AuditChallenge, engine: ReadEngine) -> TimedAudit {
        let started = Instant::now();
        let loaded = farm.plotted_sectors();
        let sectors: Vec<_> = loaded
            .iter()
            .map(|sector| SectorInPlot {
                sector,
                start: farm.sector_start(sector.sector_index),
            })
            .collect();
        let skip = |sector_index| !farm.is_plotted(sector_index);
        let (audit, engine) = self.audit_file(farm.plot_file(), &sectors, challenge, &skip, engine);
        TimedAudit {
            audit,
            engine,
            sectors: sectors.len(),
            took: started.elapsed(),
        }
    }

    /// Audits the sectors of a plot file for which `skip` is false, with this engine or, should it fail, with threads; says which it was.
    pub fn audit_file(
        &self,
        file: &File,
        sectors: &[SectorInPlot<'_>],
        challenge: &AuditChallenge,
        skip: &(dyn Fn(SectorIndex) -> bool + Sync),
        engine: ReadEngine,
    ) -> (PlotAudit, ReadEngine) {
        if engine == ReadEngine::IoUring {
            match self.audit_through_rings(file, sectors, challenge, skip) {
                Ok(audit) => return (audit, engine),
                Err(error) => self.ring_failed(&error),
            }
        }
        let audit = audit_plot(file, sectors, challenge, skip, Some(&self.pool));
        (audit, ReadEngine::Threads)
    }

    /// # Errors
    /// When a ring fails; what is wrong with the disk is in the result.
    fn audit_through_rings(
        &self,
        file: &File,
        sectors: &[SectorInPlot<'_>],
        challenge: &AuditChallenge,
        skip: &(dyn Fn(SectorIndex) -> bool + Sync),
    ) -> io::Result<PlotAudit> {
        let workers = sectors
            .len()
            .div_ceil(SECTORS_PER_WORKER)
            .min(RING_WORKERS)
            .min(self.pool.current_num_threads())
            .max(1);
        let at_once = QUEUE_DEPTH as usize / workers;
        let part = |sectors: &[SectorInPlot<'_>]| self.audit_part(file, sectors, challenge, skip, at_once);
        if workers == 1 {
            return part(sectors);
        }
        let parts: Vec<PlotAudit> = self.pool.install(|| {
            sectors
                .par_chunks(sectors.len().div_ceil(workers))
                .map(part)
                .collect::<io::Result<_>>()
        })?;
        let mut all = PlotAudit::default();
        for part in parts {
            all.results.extend(part.results);
            all.errors.extend(part.errors);
        }
        Ok(all)
    }

    fn audit_part(
        &self,
        file: &File,
        sectors: &[SectorInPlot<'_>],
        challenge: &AuditChallenge,
        skip: &(dyn Fn(SectorIndex) -> bool + Sync),
        at_once: usize,
    ) -> io::Result<PlotAudit> {
        let mut ring = match self.take_ring() {
            Some(ring) => ring,
            None => ReadRing::new()?,
        };
        let spans = sectors
            .iter()
            .filter(|SectorInPlot { sector, .. }| !skip(sector.sector_index))
            .enumerate()
            .filter_map(|(position, SectorInPlot { sector, start })| {
                let audit = SectorAudit::new(sector, &challenge.global_challenge)?;
                let span = Span {
                    offset: start + audit.offset,
                    length: audit.size,
                };
                Some((span, (position, audit)))
            });
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        ring.read_all(file, at_once, spans, |(position, audit), read| match read {
            Ok(s_bucket) => {
                results.extend(audit.judge(s_bucket, challenge).map(|result| (position, result)));
            }
            Err(source) => {
                let sector_index = audit.sector_index;
                errors.push((position, AuditError { sector_index, source }));
            }
        })?;
        self.give_back(ring);
        results.sort_by_key(|(position, _)| *position);
        errors.sort_by_key(|(position, _)| *position);
        Ok(PlotAudit {
            results: results.into_iter().map(|(_, result)| result).collect(),
            errors: errors.into_iter().map(|(_, error)| error).collect(),
        })
    }

    /// Reads what the proof of one candidate needs: the record's 32 768 chunks and its metadata.
    ///
    /// # Errors
    /// When the sector cannot be read or is another one by now.
    pub fn read_proof_input(
        &self,
        farm: &Farm,
        winner: &WinningSector,
        candidate: &ProvableCandidate,
        proof_of_space: ProofOfSpaceKind,
    ) -> Result<TimedProofInput, FarmError> {
        let reading = self.record_reading();
        self.read_proof_input_with(farm, winner, candidate, proof_of_space, reading)
    }

    /// As [`Self::read_proof_input`], read like this.
    ///
    /// # Errors
    /// As [`Self::read_proof_input`].
    pub fn read_proof_input_with(
        &self,
        farm: &Farm,
        winner: &WinningSector,
        candidate: &ProvableCandidate,
        proof_of_space: ProofOfSpaceKind,
        reading: RecordReading,
    ) -> Result<TimedProofInput, FarmError> {
        let started = Instant::now();
        let file = farm.plot_file();
        let start = farm.sector_start(winner.sector_index());
        let input = match reading {
            RecordReading::Chunks(ReadEngine::IoUring) => {
                let contents = Section::new(RingFile { reader: self, file }, start);
                farm.proof_input(
                    &contents,
                    ReadMode::SingleReads,
                    None,
                    winner,
                    candidate,
                    proof_of_space,
                )
            }
            RecordReading::Chunks(ReadEngine::Threads) => {
                let contents = Section::new(file, start);
                let pool = Some(&self.pool);
                farm.proof_input(
                    &contents,
                    ReadMode::SingleReads,
                    pool,
                    winner,
                    candidate,
                    proof_of_space,
                )
            }
            RecordReading::WholeSector => {
                let contents = Section::new(file, start);
                farm.proof_input(
                    &contents,
                    ReadMode::WholeSector,
                    None,
                    winner,
                    candidate,
                    proof_of_space,
                )
            }
        }?;
        Ok(TimedProofInput {
            input,
            reading,
            took: started.elapsed(),
        })
    }

    /// Reads some megabytes of a plotted sector in each way and keeps the way that reads a record most quickly. Returns what each way
    /// would take for a record, the chosen one first; nothing when no sector is plotted.
    ///
    /// # Errors
    /// When the disk cannot be read; the way stays as it was.
    pub fn measure_records(&self, farm: &Farm) -> io::Result<Vec<(RecordReading, Duration)>> {
        let sectors = farm.plotted_sectors();
        let Some(sector) = sectors.get(sectors.len() / 2) else {
            return Ok(Vec::new());
        };
        let start = farm.sector_start(sector.sector_index);
        let mut estimates = Vec::new();
        for (number, engine) in ReadEngine::ALL.into_iter().enumerate() {
            if self.chooser.lock().has(engine) {
                // Parts of the sector that lie apart, so that none is in the page cache because of another one.
                let took = self.sample_chunks(farm.plot_file(), start, sector, engine, number as u32)?;
                let records = NUM_CHUNKS as u32 / SAMPLED_CHUNKS;
                estimates.push((RecordReading::Chunks(engine), took * records));
            }
        }
        let took = sample_sequential(farm.plot_file(), start, sector)?;
        estimates.push((RecordReading::WholeSector, took));
        estimates.sort_by_key(|(_, estimate)| *estimate);
        *self.records.lock() = estimates[0].0;
        Ok(estimates)
    }

    /// Time for [`SAMPLED_CHUNKS`] chunks as far apart as a record's; `part` is which part of the sector.
    fn sample_chunks(
        &self,
        file: &File,
        start: u64,
        sector: &LoadedSector,
        engine: ReadEngine,
        part: u32,
    ) -> io::Result<Duration> {
        let layout = sector.layout();
        let apart = u32::from(sector.pieces_in_sector);
        let first = part * SAMPLED_CHUNKS;
        let offsets: Vec<_> = (first..first + SAMPLED_CHUNKS)
            .map(|number| start + layout.chunk_offset(number * apart))
            .collect();
        let mut chunks = vec![[0; 32]; offsets.len()];
        let started = Instant::now();
        match engine {
            ReadEngine::IoUring => RingFile { reader: self, file }.read_chunks(&offsets, &mut chunks)?,
            ReadEngine::Threads => {
                let each = offsets.len().div_ceil(self.pool.current_num_threads());
                self.pool.install(|| {
                    offsets
                        .par_chunks(each)
                        .zip(chunks.par_chunks_mut(each))
                        .try_for_each(|(offsets, chunks)| file.read_chunks(offsets, chunks))
                })?;
            }
        }
        Ok(started.elapsed())
    }

    /// A free ring, or a new one; `None` when there can be none.
    pub(super) fn take_ring(&self) -> Option<ReadRing> {
        let free = self.rings.lock().pop();
        free.or_else(|| ReadRing::new().ok())
    }

    /// Keeps a ring that works for the next time.
    pub(super) fn give_back(&self, ring: ReadRing) {
        let mut rings = self.rings.lock();
        if rings.len() < RING_WORKERS {
            rings.push(ring);
        }
    }

    /// Reads by threads from now on.
    pub(super) fn ring_failed(&self, error: &io::Error) {
        tracing::warn!(%error, "io_uring failed; this farm is read by threads from now on");
        self.chooser.lock().forget(ReadEngine::IoUring);
        let mut records = self.records.lock();
        if *records == RecordReading::Chunks(ReadEngine::IoUring) {
            *records = RecordReading::Chunks(ReadEngine::Threads);
        }
    }
}

/// What the chunks of a whole sector would take, one after the other.
fn sample_sequential(file: &File, start: u64, sector: &LoadedSector) -> io::Result<Duration> {
    const READ: usize = 4 * 1024 * 1024;
    let layout = sector.layout();
    let chunks = u32::from(sector.pieces_in_sector) * NUM_CHUNKS as u32;
    let total = u64::from(chunks) * 32;
    let sampled = (SAMPLED_BYTES as u64).min(total / 2);
    // The second half: chunks were sampled in the first.
    let mut offset = start + layout.chunk_offset(chunks / 2);
    let end = offset + sampled;
    let mut buffer = vec![0; READ];
    let started = Instant::now();
    while offset < end {
        let length = (end - offset).min(READ as u64) as usize;
        file.read_into(offset, &mut buffer[..length])?;
        offset += length as u64;
    }
    let factor = total as f64 / sampled.max(1) as f64;
    Ok(started.elapsed().mul_f64(factor))
}

/// Why a farm cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FarmReaderError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] ReadEngineError),
    /// The system gives no threads.
    #[error("cannot start threads that read ({0}); raise the limit of processes: ulimit -u")]
    Threads(String),
}

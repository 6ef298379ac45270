//! `util benchmark prove`.

use super::farm_path;
use super::samples::Spread;
use super::synthetic::SmallFarm;
use crate::args::kzg::precompute;
use crate::roles::chain::{available_processors, compute_pool, erasure_coding};
use crate::roles::priority::Priority;
use anyhow::{Context, Result, bail};
use autonomys_farm::reads::{EngineSelection, FarmReader, ReadEngine, RecordReading};
use autonomys_farm::{Farm, WinningSector};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::hashes::blake3_hash;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot, audit_plot};
use subspace_farmer_components::decoding::decode_chunks;
use subspace_farmer_components::proving::{ProofRequest, ProvableCandidate};
use subspace_farmer_components::sector::NUM_S_BUCKETS;
use subspace_kzg::{Kzg, ReferenceString};
use subspace_proof_of_space::{PosTable, ProofOfSpace, ProofOfSpaceKind, proof_of_space};

/// Threads that read chunks where threads do, as in a plot-client.
const READERS: usize = 8;
/// Challenges tried until one finds a chunk; four of five do.
const MAX_CHALLENGES: u64 = 1000;
/// Time from a slot's announcement to its end, less what audit and submission take.
const TIME_FOR_PROOF_MS: f64 = 3000.0;

/// Options of the benchmark.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Farm to prove chunks of, which may be farmed meanwhile; without one, a small sector is plotted first [default: none]
    #[arg(value_name = "path=DIR", value_parser = farm_path)]
    farm: Option<PathBuf>,
    /// Pieces of the sector that is plotted
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pieces_in_sector: u16,
    /// Proof of space that the farm is plotted with: chia, or fast-test for a development chain that says so
    #[arg(long, value_name = "KIND", default_value_t = ProofOfSpaceKind::Chia)]
    proof_of_space: ProofOfSpaceKind,
    /// Compute threads [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Proofs that are made
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// One JSON line instead of a table
    #[arg(long)]
    json: bool,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Report {
    /// None when a sector was plotted for the benchmark.
    farm: Option<PathBuf>,
    pieces_in_sector: u16,
    proof_of_space: String,
    threads: usize,
    proofs: u32,
    /// Each way to read the chunks of a record.
    reads: Vec<Stage>,
    /// What follows, one after the other.
    stages: Vec<Stage>,
    /// From the request to the proof, as a proof-server makes it.
    proof: Spread,
    /// From the candidate to the proof, the table made while the chunks are read, as a plot-client makes it.
    local: Spread,
    recommended: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Stage {
    name: String,
    time: Spread,
}

/// All that is needed to prove.
struct Bench {
    farm: Arc<Farm>,
    reader: FarmReader,
    kind: ProofOfSpaceKind,
    proof_of_space: Arc<dyn ProofOfSpace>,
    erasure_coding: ErasureCoding,
    kzg: Kzg,
    pool: Arc<rayon::ThreadPool>,
}

pub(super) fn run(args: &ProveArgs) -> Result<()> {
    let threads = args.threads.map_or_else(available_processors, usize::from);
    let pool = compute_pool("prove", threads, Priority::Normal)?;
    let proof_of_space: Arc<dyn ProofOfSpace> = proof_of_space(args.proof_of_space);
    let erasure_coding = erasure_coding();
    // Points of the development set cost as much as those of the network; no proof leaves this process.
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool));
    precompute(&kzg, &pool);
    let small = match &args.farm {
        Some(_) => None,
        None => Some(SmallFarm::plot(
            args.pieces_in_sector,
            &*proof_of_space,
            &erasure_coding,
            &pool,
        )?),
    };
    let farm = match (&args.farm, &small) {
        (Some(directory), _) => Arc::new(Farm::inspect(directory)?),
        (None, Some(small)) => Arc::clone(&small.farm),
        (None, None) => bail!("there is nothing to prove"),
    };
    let bench = Bench {
        farm,
        reader: FarmReader::new(EngineSelection::Auto, READERS, "benchmark")?,
        kind: args.proof_of_space,
        proof_of_space,
        erasure_coding,
        kzg,
        pool,
    };
    let report = bench.measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

impl Bench {
    fn measure(&self, args: &ProveArgs) -> Result<Report> {
        let ways: Vec<_> = ReadEngine::ALL
            .into_iter()
            .filter(|engine| engine.check().is_ok())
            .map(RecordReading::Chunks)
            .chain([RecordReading::WholeSector])
            .collect();
        let mut reads = vec![Vec::new(); ways.len()];
        let mut stages: [(&str, Vec<Duration>); 5] =
            ["table", "decode", "polynomial", "witness", "check"].map(|name| (name, Vec::new()));
        let (mut proofs, mut locals) = (Vec::new(), Vec::new());
        for number in 0..args.repeats {
            let (winner, candidate) = self.candidate(number)?;
            let mut request = None;
            for (way, samples) in ways.iter().zip(&mut reads) {
                let read = self
                    .reader
                    .read_proof_input_with(&self.farm, &winner, &candidate, self.kind, *way)?;
                samples.push(read.took);
                request = Some(read.input.request);
            }
            let request = request.context("a record can always be read by threads")?;
            let started = Instant::now();
            let mut last = started;
            let mut lap = |stage: usize| {
                let now = Instant::now();
                stages[stage].1.push(now - last);
                last = now;
            };
            let table = self.table(&winner, &candidate);
            lap(0);
            self.prove_in_stages(&request, &*table, &mut lap)?;
            proofs.push(started.elapsed());

            // As when no proof-server is there: reading and computing at once.
            let started = Instant::now();
            let (table, read) = std::thread::scope(|scope| {
                let table = scope.spawn(|| self.table(&winner, &candidate));
                let read = self
                    .reader
                    .read_proof_input(&self.farm, &winner, &candidate, self.kind);
                (table.join(), read)
            });
            let Ok(table) = table else {
                bail!("making a table crashed")
            };
            self.prove_in_stages(&read?.input.request, &*table, |_| {})?;
            locals.push(started.elapsed());
        }
        let reads: Vec<_> = ways
            .iter()
            .zip(&reads)
            .map(|(way, samples)| Stage {
                name: way.to_string(),
                time: Spread::of(samples),
            })
            .collect();
        let (proof, local) = (Spread::of(&proofs), Spread::of(&locals));
        Ok(Report {
            farm: args.farm.clone(),
            pieces_in_sector: self.farm.pieces_in_sector(),
            proof_of_space: self.kind.to_string(),
            threads: self.pool.current_num_threads(),
            proofs: args.repeats,
            recommended: recommend(&reads, proof, local),
            reads,
            stages: stages
                .into_iter()
                .map(|(name, samples)| Stage {
                    name: name.to_string(),
                    time: Spread::of(&samples),
                })
                .collect(),
            proof,
            local,
        })
    }

    /// A chunk to prove: of a sector and a record that come by chance, so that nothing of it is in the page cache but by chance.
    fn candidate(&self, number: u32) -> Result<(WinningSector, ProvableCandidate)> {
        let sectors = self.farm.plotted_sectors();
        for challenge in 0..MAX_CHALLENGES {
            let seed = [u64::from(number), challenge].map(u64::to_le_bytes).concat();
            let challenge = AuditChallenge {
                global_challenge: blake3_hash(&seed),
                solution_range: u64::MAX,
            };
            // Every chunk of its s-bucket wins, if there are any.
            let word = u64::from_le_bytes(challenge.global_challenge.as_chunks().0[0]);
            let Some(sector) = sectors.get((word % sectors.len().max(1) as u64) as usize) else {
                break;
            };
            let in_plot = SectorInPlot {
                sector,
                start: self.farm.sector_start(sector.sector_index),
            };
            let audit = audit_plot(self.farm.plot_file(), &[in_plot], &challenge, &|_| false, None);
            if let Some(error) = audit.errors.into_iter().next() {
                return Err(error.into());
            }
            let Some(result) = audit.results.into_iter().next() else {
                continue;
            };
            if let Some(winner) = self.farm.provable(&result)? {
                let candidate = winner.candidates[winner.candidates.len() / 2];
                return Ok((winner, candidate));
            }
        }
        bail!(
            "none of {MAX_CHALLENGES} challenges finds a chunk in {} sectors; plot a sector first",
            sectors.len()
        )
    }

    fn table(&self, winner: &WinningSector, candidate: &ProvableCandidate) -> Box<dyn PosTable> {
        self.proof_of_space
            .create_table_parallel(&winner.evaluation_seed(candidate), &self.pool)
    }

    /// What [`subspace_farmer_components::proving::prove_with_table`] does, with a word after each stage.
    fn prove_in_stages(
        &self,
        request: &ProofRequest,
        table: &dyn PosTable,
        mut done: impl FnMut(usize),
    ) -> Result<()> {
        let ProofRequest::V0(request) = request;
        let decoded = decode_chunks(&request.chunks, &request.bitmap, table, Some(&self.pool))
            .context("was the farm plotted with this proof of space? See --proof-of-space")?;
        done(1);
        let polynomial = decoded
            .recover_polynomial(&self.erasure_coding, Some(&self.pool))?
            .trimmed();
        done(2);
        let index = u32::from(request.s_bucket);
        let witness = self
            .kzg
            .create_witness_parallel(&polynomial, NUM_S_BUCKETS, index, &self.pool)?;
        done(3);
        let chunk = decoded.chunk(request.s_bucket).context("the chunk is encoded")?;
        let commitment = subspace_kzg::Commitment::try_from(&request.record_commitment);
        // Commitments of the network do not fit these parameters; checking one takes as long.
        if let Ok(commitment) = commitment {
            let _ = self
                .kzg
                .verify(&commitment, NUM_S_BUCKETS, index, &chunk, &witness);
        }
        done(4);
        Ok(())
    }
}

/// What follows for an operator.
fn recommend(reads: &[Stage], proof: Spread, local: Spread) -> Vec<String> {
    let mut lines = Vec::new();
    let quickest = reads
        .iter()
        .min_by(|one, other| one.time.median_ms.total_cmp(&other.time.median_ms));
    if let Some(quickest) = quickest {
        lines.push(format!(
            "records are read quickest by {} here; plot-clients find that out by themselves",
            quickest.name
        ));
    }
    let per_slot = (TIME_FOR_PROOF_MS / proof.median_ms).floor();
    if per_slot >= 1.0 {
        lines.push(format!(
            "a proof-server on this machine makes {per_slot:.0} proofs in the time of a slot, one after the other"
        ));
    } else {
        lines.push(
            "too slow for a proof-server: one proof takes longer than a slot leaves for it; use a machine with more or faster \
             processors"
                .to_string(),
        );
    }
    lines.push(if local.most_ms < TIME_FOR_PROOF_MS / 2.0 {
        "a plot-client on this machine needs no proof-server for single wins".to_string()
    } else {
        "a plot-client on this machine should have a proof-server elsewhere: its own proofs take most of a slot's time".to_string()
    });
    lines
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.farm {
            Some(farm) => writeln!(f, "farm {}", farm.display())?,
            None => writeln!(f, "a sector plotted for this, in the page cache")?,
        }
        writeln!(
            f,
            "{} pieces a sector, proof of space {}, {} threads, {} proofs",
            self.pieces_in_sector, self.proof_of_space, self.threads, self.proofs
        )?;
        writeln!(f, "{:28}  {:>11}  {:>19}", "stage", "median", "least to most")?;
        let mut line = |name: &str, time: &Spread| {
            writeln!(
                f,
                "{name:28}  {:>8.2} ms  {:>8.2} – {:>8.2}",
                time.median_ms, time.least_ms, time.most_ms
            )
        };
        for read in &self.reads {
            line(&format!("read: {}", read.name), &read.time)?;
        }
        for stage in &self.stages {
            line(&stage.name, &stage.time)?;
        }
        line("proof, chunks at hand", &self.proof)?;
        line("proof with reading, here", &self.local)?;
        writeln!(f, "recommended:")?;
        for line in &self.recommended {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

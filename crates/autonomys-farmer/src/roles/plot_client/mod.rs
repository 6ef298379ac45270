//! plot-client: farms disks.
//!
//! Each of its loops is a module: [`plotting`] keeps jobs queued and takes finished sectors ([`fetching`]); [`farming`] audits every
//! slot ([`auditing`]) and sends winners through [`proving`] and [`submitting`], [`misses`] tells which became nothing; [`signing`] signs
//! rewards. [`farms`] opens the directories, [`farm_set`] keeps those whose disks work in service, [`home`] finds a place for the
//! identity of the process, [`preflight`] tells what is to be known of disks.
//! Slots, solutions and signatures have a NATS connection of their own.

mod auditing;
mod farm_set;
mod farming;
mod farms;
mod fetching;
mod home;
mod known;
mod misses;
mod one_controller;
mod plotting;
mod preflight;
mod proving;
mod signing;
mod slot;
mod submitting;

use super::chain::{Arithmetic, Chain, available_processors, bound_pool};
use super::context::{DataPlaneTls, RoleContext};
use super::machine::AffinityArgs;
use super::priority::Priority;
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::args::path::FarmPath;
use crate::args::reward_address::RewardAddress;
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::journal::SolutionJournal;
use autonomys_cluster::members::RoleStatus;
use autonomys_cluster::messages::FarmerAppInfoRequest;
use autonomys_cluster::plot_jobs::PlotJobs;
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::Settings;
use autonomys_farm::reads::EngineSelection;
use autonomys_topology::Affinity;
use clap::Args;
use farm_set::FarmSet;
use home::PlotClientIdentity;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use subspace_core_primitives::rpc::FarmerAppInfo;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Pause before a controller is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// A plot-client without a controller says so this often.
const REMIND_INTERVAL: Duration = Duration::from_secs(10);
/// Files that a plot-client opens for each farm, with room for what is open only at times.
const FILES_PER_FARM: u64 = 16;

/// Begins the name of a fact that tells of a farm that is set aside; the directory follows, the value is the reason.
const SET_ASIDE: &str = "farm set aside";
/// Farms set aside that are told of: an announcement has a limit, and their number is in the status.
const MAX_SHOWN_ASIDE: usize = 32;

/// Options of the plot-client.
#[derive(Debug, Args)]
pub(crate) struct PlotClientArgs {
    /// Account that block and vote rewards go to, as in su... or st...
    #[arg(long, value_name = "ADDRESS")]
    reward_address: RewardAddress,
    /// Farm: directory and how much of its disk to use
    #[arg(value_name = "path=DIR,sectors=N|sectors=max|size=SIZE", required = true)]
    farms: Vec<FarmPath>,
    /// Threads that audit and prove [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    farming_threads: Option<u16>,
    /// How farms are read for audits and proofs: io-uring, threads, or auto, which finds out what is quicker on each disk
    #[arg(long, value_name = "ENGINE", default_value_t, env = "AUTONOMYS_READ_ENGINE")]
    read_engine: EngineSelection,
    /// Directory that keeps the identity of this process between runs [default: the first farm's]
    #[arg(long, value_name = "DIR")]
    base_path: Option<PathBuf>,
    #[command(flatten)]
    pub(super) affinity: AffinityArgs,
    #[command(flatten)]
    tls: DataPlaneTls,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// Numbers for the member record.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) jobs: AtomicU32,
    pub(super) parked_jobs: AtomicU32,
    pub(super) audited_slots: AtomicU64,
    pub(super) solutions: AtomicU64,
    pub(super) changed: Notify,
}

impl Counters {
    pub(super) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// What the loops share.
pub(super) struct Shared {
    pub(super) farms: Arc<FarmSet>,
    pub(super) reward_address: RewardAddress,
    pub(super) arithmetic: Arithmetic,
    /// Audits and local proofs.
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) counters: Counters,
    pub(super) cancel: CancellationToken,
}

/// Runs the role.
pub(crate) async fn run(
    nats: &NatsArgs,
    args: PlotClientArgs,
    affinity: Affinity,
    cancel: CancellationToken,
) -> Result<()> {
    args.read_engine.check()?;
    farms::raise_file_limit(args.farms.len() as u64 * FILES_PER_FARM);
    let identity = {
        let (base_path, farms) = (args.base_path.clone(), args.farms.clone());
        tokio::task::spawn_blocking(move || PlotClientIdentity::open(base_path, &farms)).await??
    };
    let started =
        RoleContext::start_as(nats, identity.instance, identity.own, args.tls, cancel.clone()).await?;
    let Some(context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let Some(info) = wait_for_app_info(&context.cluster, &cancel).await else {
        return context.leave().await;
    };
    let farms = farms::open(
        &args.farms,
        chain.genesis_hash,
        info.protocol_info.max_pieces_in_sector,
        identity.home,
    )
    .await?;
    let farms = Arc::new(farms);
    let pool = bound_pool(
        "farm",
        args.farming_threads
            .map_or_else(available_processors, usize::from),
        affinity,
        Priority::Normal,
    )?;
    let arithmetic = Arithmetic::load(chain, &args.kzg, &pool).await?;
    let shared = Arc::new(Shared {
        farms,
        reward_address: args.reward_address,
        arithmetic,
        pool,
        counters: Counters::default(),
        cancel: cancel.clone(),
    });

    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&shared.farms).retry(cancel.clone()));
    let farming_connection = context.cluster.dedicated_connection("farming").await?;
    let journal = SolutionJournal::open(&farming_connection).await?;
    let submitter = Arc::new(submitting::Submitter::new(farming_connection.clone(), journal));
    // Written when there is time, so not over the connection of slots and solutions.
    let (misses, write_misses) =
        misses::Misses::start(SolutionJournal::open(&context.cluster).await?, cancel.clone());
    tasks.spawn(write_misses);
    tasks.spawn(signing::run(
        farming_connection.clone(),
        Arc::clone(&shared),
        Arc::clone(&submitter),
    ));
    let proof_connection = context.cluster.dedicated_connection("proofs").await?;
    let tools = farming::Tools {
        prover: proving::Prover::new(proof_connection, context.members(), Arc::clone(&shared)),
        submitter,
        auditors: auditing::Auditors::new(Arc::clone(&shared.farms), args.read_engine, misses.clone()),
        misses,
        farming_timeout: info.farming_timeout,
    };
    tasks.spawn(farming::run(farming_connection, Arc::clone(&shared), tools));
    let plotter = plotting::Plotter {
        cluster: context.cluster.clone(),
        jobs: PlotJobs::open(&context.cluster, super::plot_server::JOB_TIMES).await?,
        headers: SegmentHeaders::open(&context.cluster).await?,
        members: context.members(),
        pool: context.pool.clone(),
        shared: Arc::clone(&shared),
        draining: context.draining(),
    };
    tasks.spawn(plotter.run());
    let outcome = report(&context, &shared, tasks).await;
    outcome.and(context.leave().await)
}

/// Asks controllers until one answers; `None` when told to stop meanwhile.
async fn wait_for_app_info(cluster: &Cluster, cancel: &CancellationToken) -> Option<FarmerAppInfo> {
    let mut said_at: Option<Instant> = None;
    loop {
        let asked = tokio::select! {
            asked = cluster.queue_request(&FarmerAppInfoRequest) => asked,
            () = cancel.cancelled() => return None,
        };
        match asked {
            Ok(reply) => return Some(reply.info),
            Err(error) if said_at.is_none_or(|at| at.elapsed() >= REMIND_INTERVAL) => {
                said_at = Some(Instant::now());
                tracing::info!(%error, "waiting for a controller with a node");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
    }
}

/// Keeps the member record up to date until told to stop, then waits for the loops.
async fn report(context: &RoleContext, shared: &Shared, mut tasks: JoinSet<Result<()>>) -> Result<()> {
    let mut farm_changes = shared.farms.changes();
    loop {
        let farms = shared.farms.open();
        let set_aside = shared.farms.set_aside();
        let sectors = farms.iter().map(|farm| farm.plotted_sectors().len() as u64).sum();
        let target_sectors = farms
            .iter()
            .map(|farm| u64::from(farm.target_sector_count()))
            .sum();
        let counters = &shared.counters;
        let (jobs, parked) = (&counters.jobs, &counters.parked_jobs);
        context.set_held(
            jobs.load(Ordering::Relaxed)
                .saturating_sub(parked.load(Ordering::Relaxed)),
        );
        context.update(|member| {
            member.facts.retain(|(name, _)| !name.starts_with(SET_ASIDE));
            let shown = set_aside.iter().take(MAX_SHOWN_ASIDE);
            member.facts.extend(shown.map(|farm| {
                let name = format!("{SET_ASIDE} {}", farm.directory.display());
                (name, farm.reason.clone())
            }));
            if let RoleStatus::PlotClient(status) = &mut member.status {
                status.farms = farms.len() as u32;
                status.failed_farms = set_aside.len() as u32;
                status.sectors = sectors;
                status.target_sectors = target_sectors;
                status.jobs = counters.jobs.load(Ordering::Relaxed);
                status.parked_jobs = counters.parked_jobs.load(Ordering::Relaxed);
                status.audited_slots = counters.audited_slots.load(Ordering::Relaxed);
                status.solutions = counters.solutions.load(Ordering::Relaxed);
            }
        });
        tokio::select! {
            () = shared.cancel.cancelled() => break,
            () = shared.counters.changed.notified() => {}
            // The sender lives as long as the farms.
            _ = farm_changes.changed() => {}
            Some(ended) = tasks.join_next() => ended.context("a loop of the plot-client crashed")??,
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a loop of the plot-client crashed")??;
    }
    Ok(())
}

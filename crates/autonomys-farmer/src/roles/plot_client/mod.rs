//! plot-client: farms disks.
//!
//! Each of its loops is a module: [`plotting`] keeps jobs queued and takes finished sectors ([`fetching`]); [`farming`] audits every
//! slot ([`auditing`]) and sends winners through [`proving`] and [`submitting`]; [`signing`] signs rewards. [`farms`] opens the directories.
//! Slots, solutions and signatures have a NATS connection of their own.

mod auditing;
mod farming;
mod farms;
mod fetching;
mod known;
mod one_controller;
mod plotting;
mod proving;
mod signing;
mod submitting;

use super::chain::{Arithmetic, Chain, available_processors, compute_pool};
use super::context::{DataPlaneTls, RoleContext};
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::args::path::FarmPath;
use crate::args::reward_address::RewardAddress;
use anyhow::{Context, Result};
use autonomys_cluster::journal::SolutionJournal;
use autonomys_cluster::members::RoleStatus;
use autonomys_cluster::messages::FarmerAppInfoRequest;
use autonomys_cluster::plot_jobs::PlotJobs;
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{Cluster, Role};
use autonomys_farm::Farm;
use clap::Args;
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
    /// Directory that keeps the identity of this process between runs [default: the first farm's]
    #[arg(long, value_name = "DIR")]
    base_path: Option<PathBuf>,
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
    pub(super) farms: Vec<Arc<Farm>>,
    pub(super) reward_address: RewardAddress,
    pub(super) arithmetic: Arithmetic,
    /// Audits and local proofs.
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) counters: Counters,
    pub(super) cancel: CancellationToken,
}

/// Runs the role.
pub(crate) async fn run(nats: &NatsArgs, args: PlotClientArgs, cancel: CancellationToken) -> Result<()> {
    let state_directory = args
        .base_path
        .clone()
        .unwrap_or_else(|| args.farms[0].directory.clone());
    farms::raise_file_limit(args.farms.len() as u64 * FILES_PER_FARM);
    let started = RoleContext::start(
        nats,
        Role::PlotClient,
        Some(&state_directory),
        args.tls,
        cancel.clone(),
    )
    .await?;
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
    )
    .await?;
    let pool = compute_pool(
        "farm",
        args.farming_threads
            .map_or_else(available_processors, usize::from),
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
    let farming_connection = context.cluster.dedicated_connection("farming").await?;
    let journal = SolutionJournal::open(&farming_connection).await?;
    let submitter = Arc::new(submitting::Submitter::new(farming_connection.clone(), journal));
    tasks.spawn(signing::run(
        farming_connection.clone(),
        Arc::clone(&shared),
        Arc::clone(&submitter),
    ));
    let proof_connection = context.cluster.dedicated_connection("proofs").await?;
    let prover = proving::Prover::new(proof_connection, Arc::clone(&shared));
    tasks.spawn(farming::run(
        farming_connection,
        Arc::clone(&shared),
        prover,
        submitter,
        info.farming_timeout,
    ));
    let plotter = plotting::Plotter {
        cluster: context.cluster.clone(),
        jobs: PlotJobs::open(&context.cluster, super::plot_server::JOB_TIMES).await?,
        headers: SegmentHeaders::open(&context.cluster).await?,
        members: context.members(),
        pool: context.pool.clone(),
        shared: Arc::clone(&shared),
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
    loop {
        let sectors = shared
            .farms
            .iter()
            .map(|farm| farm.plotted_sectors().len() as u64)
            .sum();
        let target_sectors = shared
            .farms
            .iter()
            .map(|farm| u64::from(farm.target_sector_count()))
            .sum();
        let counters = &shared.counters;
        context.update(|member| {
            if let RoleStatus::PlotClient(status) = &mut member.status {
                status.farms = shared.farms.len() as u32;
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
            Some(ended) = tasks.join_next() => ended.context("a loop of the plot-client crashed")??,
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a loop of the plot-client crashed")??;
    }
    Ok(())
}

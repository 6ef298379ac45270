//! plot-server: takes plot jobs, fetches pieces, encodes sectors, and serves them until they are on the farm's disk.
//!
//! Up to [`PIPELINE_DEPTH`] jobs are in hand: while one is encoded the next one's pieces are fetched and the last one's sector is
//! delivered ([`job`]). A finished sector is in the [`spool`] before its record says so; after a restart the spool is offered again.

mod job;
mod spool;

use super::chain::{Arithmetic, Chain, available_processors, compute_pool};
use super::context::{DataPlaneArgs, RoleContext};
use super::pieces::{PieceFetcher, Tier};
use super::priority::{Priority, lower_own_session};
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use anyhow::{Context, Result};
use autonomys_cluster::members::{MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::plot_jobs::{JobTimes, PlotJobs, SpoolVerdict, TakenJob};
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{InstanceId, Role, SessionKey};
use autonomys_transfer::Handlers;
use clap::Args;
use job::Job;
use spool::{Spool, SpoolSectors};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Jobs in hand: one encodes, one fetches pieces. Memory is two sectors of pieces and one encoded sector, 3.2 GB at 1000 pieces.
const PIPELINE_DEPTH: usize = 2;
/// Finished sectors that may wait for their farms before no further job is taken.
const MAX_SPOOLED: usize = 16;
/// A full disk is looked at again after this.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(10);
/// How long one question for a job lasts.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// Pause after NATS or the disk refused.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The spool is compared with the records this often: it finds acknowledgements that got lost.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(10);

/// Caches that are filling are waited for this long before a controller is asked for what they lack.
const CACHES_FILL_WITHIN: Duration = Duration::from_secs(120);

/// Times of the plot jobs' leases, the same in plot-servers and plot-clients. A dead plot-server's job is handed out again after the
/// lease; renewals come three times as often as the shorter of the two.
pub(crate) const JOB_TIMES: JobTimes = JobTimes {
    lease: Duration::from_secs(20),
    ready_lease: Duration::from_secs(60),
    ack_wait: Duration::from_secs(10),
    republish_after: Duration::from_secs(10),
    retry_pause: Duration::from_secs(2),
};

/// Options of the plot-server.
#[derive(Debug, Args)]
pub(crate) struct PlotServerArgs {
    /// Directory that holds finished sectors until they are on the farm's disk
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Fetch pieces from the caches first, and from a controller only what no cache holds
    #[arg(long)]
    priority_cache: bool,
    /// Records encoded at once [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    record_encoding_concurrency: Option<u16>,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// What all jobs share.
pub(super) struct Shared {
    instance: InstanceId,
    addresses: Vec<String>,
    session_key: SessionKey,
    arithmetic: Arithmetic,
    pool: Arc<rayon::ThreadPool>,
    concurrency: NonZeroUsize,
    fetcher: PieceFetcher,
    members: MembersView,
    priority_cache: bool,
    spool: Arc<Spool>,
    /// One sector is encoded at a time.
    encoder: Semaphore,
    cancel: CancellationToken,
    busy: AtomicU32,
    finished: AtomicU64,
    /// Rung when a status number changed.
    changed: Notify,
}

impl Shared {
    /// Who is asked for pieces after `waited` for them. With `--priority-cache` caches that are still filling are waited for, so that
    /// they and the plot-servers do not all ask the node for the same pieces.
    fn tiers(&self, waited: Duration) -> &'static [Tier] {
        let all = &[Tier::Owners, Tier::FullPieceCaches, Tier::Controllers];
        if self.priority_cache && waited < CACHES_FILL_WITHIN && caches_are_filling(&self.members.current()) {
            &all[..2]
        } else {
            all
        }
    }
}

fn caches_are_filling(snapshot: &MembersSnapshot) -> bool {
    snapshot.members.values().any(|member| match &member.status {
        RoleStatus::ShardedCache(status) => !status.ready,
        RoleStatus::FullPieceShardedCache(status) => !status.ready,
        _ => false,
    })
}

/// Runs the role.
pub(crate) async fn run(nats: &NatsArgs, args: PlotServerArgs, cancel: CancellationToken) -> Result<()> {
    let directory = args.directory.clone();
    let spool = {
        let directory = directory.clone();
        Arc::new(tokio::task::spawn_blocking(move || Spool::open(&directory)).await??)
    };
    let started = RoleContext::start(
        nats,
        Role::PlotServer,
        Some(&directory),
        args.data_plane.tls,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let threads = args
        .record_encoding_concurrency
        .map_or_else(available_processors, usize::from);
    // Proofs on the same machine must not wait for encoding.
    lower_own_session();
    let pool = compute_pool("encode", threads, Priority::Background)?;
    let arithmetic = Arithmetic::load(chain, &args.kzg, &pool).await?;
    let handlers = Handlers {
        sectors: Arc::new(SpoolSectors(Arc::clone(&spool))),
        ..Handlers::default()
    };
    let address = context.serve(&args.data_plane, nats, handlers).await?;
    let shared = Arc::new(Shared {
        instance: context.instance(),
        addresses: vec![address.to_string()],
        session_key: context.own_session_key(),
        arithmetic,
        pool,
        concurrency: NonZeroUsize::new(threads).context("no thread to encode with")?,
        fetcher: PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?,
        members: context.members(),
        priority_cache: args.priority_cache,
        spool: Arc::clone(&spool),
        encoder: Semaphore::new(1),
        cancel: cancel.clone(),
        busy: AtomicU32::new(0),
        finished: AtomicU64::new(0),
        changed: Notify::new(),
    });
    let jobs = PlotJobs::open(&context.cluster, JOB_TIMES).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(take_jobs(jobs.clone(), Arc::clone(&shared)));
    tasks.spawn(reconcile(jobs, Arc::clone(&shared), context.members()));
    super::chain::say_that_gpus_are_not_used();
    tracing::info!(records = threads, spooled = spool.len(), "ready to plot");
    let outcome = report(&context, &shared, &mut tasks).await;
    outcome.and(context.leave().await)
}

/// Keeps the member record up to date until told to stop, then waits for the loops.
async fn report(context: &RoleContext, shared: &Shared, tasks: &mut JoinSet<()>) -> Result<()> {
    let mut spool_changes = shared.spool.changes();
    loop {
        context.update(|member| {
            if let RoleStatus::PlotServer(status) = &mut member.status {
                status.slots = PIPELINE_DEPTH as u32;
                status.busy = shared.busy.load(Ordering::Relaxed);
                status.spooled = shared.spool.len() as u32;
                status.sectors = shared.finished.load(Ordering::Relaxed);
            }
        });
        tokio::select! {
            () = shared.cancel.cancelled() => break,
            () = shared.changed.notified() => {}
            // The sender lives as long as the spool.
            _ = spool_changes.changed() => {}
            Some(ended) = tasks.join_next() => ended.context("a loop of the plot-server crashed")?,
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a loop of the plot-server crashed")?;
    }
    Ok(())
}

/// Takes jobs as long as there is room in the pipeline and in the spool.
async fn take_jobs(jobs: PlotJobs, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(PIPELINE_DEPTH));
    let mut running = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = shared.cancel.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        while let Some(ended) = running.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a plot job crashed; it is handed out again after its lease");
            }
        }
        let taken = tokio::select! {
            () = shared.cancel.cancelled() => break,
            taken = next_job(&jobs, &shared) => taken,
        };
        let shared = Arc::clone(&shared);
        shared.busy.fetch_add(1, Ordering::Relaxed);
        shared.changed.notify_one();
        running.spawn(async move {
            // Large: it carries a whole sector's stages.
            Box::pin(Job::new(taken, &shared).run()).await;
            shared.busy.fetch_sub(1, Ordering::Relaxed);
            shared.changed.notify_one();
            drop(place);
        });
    }
    // Jobs see the same token: they hand themselves back, so that another server may have them at once.
    while running.join_next().await.is_some() {}
}

async fn next_job(jobs: &PlotJobs, shared: &Shared) -> TakenJob {
    loop {
        wait_for_room(shared).await;
        match jobs.take(TAKE_WAIT).await {
            Ok(Some(taken)) => return taken,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "no job can be taken at the moment");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Waits until a finished sector may be added to the spool.
async fn wait_for_room(shared: &Shared) {
    let mut changes = shared.spool.changes();
    if shared.spool.len() >= MAX_SPOOLED {
        tracing::info!(
            "{MAX_SPOOLED} finished sectors wait for their farms: no job is taken until one is fetched"
        );
        while shared.spool.len() >= MAX_SPOOLED {
            // The sender lives as long as the spool.
            let _ = changes.changed().await;
        }
    }
    let mut said = false;
    loop {
        let spool = Arc::clone(&shared.spool);
        let room = tokio::task::spawn_blocking(move || spool.has_room(PIPELINE_DEPTH as u64));
        if room.await.unwrap_or(true) {
            return;
        }
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(
                "the disk of the directory for finished sectors is full: no job is taken until there is room for \
                 {PIPELINE_DEPTH} sectors"
            );
        }
        tokio::time::sleep(FULL_DISK_PAUSE).await;
    }
}

/// Offers spooled sectors after a start, and deletes those that nobody wants any more.
async fn reconcile(jobs: PlotJobs, shared: Arc<Shared>, members: MembersView) {
    loop {
        for sector in shared.spool.sectors() {
            if shared.cancel.is_cancelled() {
                return;
            }
            let snapshot = members.current();
            match jobs
                .offer_spooled(&sector.job_id(), sector.ready(&shared), &snapshot)
                .await
            {
                Ok(SpoolVerdict::Offered) => {}
                // Finished a moment ago and about to be offered by the job itself.
                Ok(SpoolVerdict::Superseded { holder }) if holder == shared.instance => {}
                Ok(verdict) => {
                    tracing::info!(sector = %sector.key(), ?verdict, "a spooled sector is not wanted any more");
                    let spool = Arc::clone(&shared.spool);
                    let discard = move || spool.discard(&sector);
                    if let Ok(Err(error)) = tokio::task::spawn_blocking(discard).await {
                        tracing::warn!("{error:#}");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the spool cannot be compared with the jobs at the moment")
                }
            }
        }
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = tokio::time::sleep(RECONCILE_INTERVAL) => {}
        }
    }
}

//! One of the clusters that a plot-server serves: its membership, its chain, its spool.

use super::delivery;
use super::machine::{Machine, Places};
use super::spool::{Spool, SpoolSectors, SpooledSector};
use super::stages::Track;
use super::{JOB_TIMES, PlotServerArgs};
use crate::args::nats::NatsArgs;
use crate::roles::chain::{Arithmetic, Chain};
use crate::roles::context::RoleContext;
use crate::roles::pieces::{PieceFetcher, Tier};
use anyhow::{Context, Result};
use autonomys_cluster::members::{MembersSnapshot, MembersView, PlotServerStatus, RoleStatus, StageStatus};
use autonomys_cluster::plot_jobs::{JobId, PlotJobs, ReadySector};
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{InstanceId, SessionKey};
use autonomys_transfer::Handlers;
use parking_lot::Mutex;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Caches that are filling are waited for this long before a controller is asked for what they lack.
const CACHES_FILL_WITHIN: Duration = Duration::from_secs(120);
/// How often the member record follows the stages.
const STAGES_INTERVAL: Duration = Duration::from_secs(1);
/// Sectors of which the member record tells: those in work and the first that wait to be fetched.
const STAGES_TOLD: usize = 16;
/// Bytes of the public key that tell farms apart in logs and status.
const KEY_SHOWN: usize = 4;

/// A cluster that is served.
pub(super) struct Served {
    pub(super) machine: Arc<Machine>,
    pub(super) name: String,
    pub(super) share: NonZeroU32,
    pub(super) instance: InstanceId,
    addresses: Vec<String>,
    session_key: SessionKey,
    pub(super) arithmetic: Arithmetic,
    pub(super) fetcher: PieceFetcher,
    pub(super) members: MembersView,
    pub(super) jobs: PlotJobs,
    pub(super) spool: Arc<Spool>,
    pub(super) draining: watch::Receiver<bool>,
    priority_cache: bool,
    tracks: Mutex<Vec<Arc<Track>>>,
    pub(super) finished: AtomicU64,
    /// Attempts begun again.
    pub(super) restarts: AtomicU64,
    busy: AtomicU32,
    /// A question for a job is on its way: one may come.
    asking: AtomicBool,
    /// Rung when a status number changed.
    changed: Notify,
}

impl Served {
    /// Who is asked for pieces after `waited` for them. With `--priority-cache` caches that are still filling are waited for, so that
    /// they and the plot-servers do not all ask the node for the same pieces.
    pub(super) fn tiers(&self, waited: Duration) -> &'static [Tier] {
        let all = &[Tier::Owners, Tier::FullPieceCaches, Tier::Controllers];
        if self.priority_cache && waited < CACHES_FILL_WITHIN && caches_are_filling(&self.members.current()) {
            &all[..2]
        } else {
            all
        }
    }

    /// What a job's record says once its sector can be fetched.
    pub(super) fn ready(&self, sector: &SpooledSector) -> ReadySector {
        ReadySector {
            server: self.instance,
            addresses: self.addresses.clone(),
            session_key: Some(self.session_key),
            length: sector.length(),
            checksum: sector.checksum(),
            metadata: sector.metadata(),
        }
    }

    /// A job begins; it is told of until [`Self::ends`].
    pub(super) fn begins(&self, id: &JobId) -> Arc<Track> {
        let track = Track::new(shown(&id.public_key[..], id.sector_index));
        self.tracks.lock().push(Arc::clone(&track));
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        track
    }

    /// The job has ended, however it did.
    pub(super) fn ends(&self, track: &Arc<Track>) {
        self.tracks.lock().retain(|other| !Arc::ptr_eq(other, track));
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// A question for a job begins or ends.
    pub(super) fn asks(&self, asking: bool) {
        self.asking.store(asking, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn status(&self) -> PlotServerStatus {
        let spooled = self.spool.sectors();
        let members = self.members.current();
        let mut stages: Vec<StageStatus> = self.tracks.lock().iter().map(|track| track.status()).collect();
        stages.extend(spooled.iter().take(STAGES_TOLD).map(|sector| {
            let key = sector.key();
            sector
                .delivery
                .status(shown(&key.public_key, key.sector_index), &members)
        }));
        stages.truncate(STAGES_TOLD);
        PlotServerStatus {
            slots: Places::COUNT,
            busy: self.busy.load(Ordering::Relaxed),
            spooled: spooled.len() as u32,
            spooled_bytes: spooled.iter().map(SpooledSector::length).sum(),
            sectors: self.finished.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            holds_back: self.machine.holds_back(),
            stages,
        }
    }
}

/// A sector in few characters.
fn shown(public_key: &[u8], sector_index: u16) -> String {
    format!("{} {sector_index}", hex::encode(&public_key[..KEY_SHOWN]))
}

fn caches_are_filling(snapshot: &MembersSnapshot) -> bool {
    snapshot.members.values().any(|member| match &member.status {
        RoleStatus::ShardedCache(status) => !status.ready,
        RoleStatus::FullPieceShardedCache(status) => !status.ready,
        _ => false,
    })
}

/// What serving one cluster begins with.
pub(super) struct Start {
    pub(super) context: RoleContext,
    pub(super) nats: NatsArgs,
    pub(super) name: String,
    pub(super) share: NonZeroU32,
    pub(super) args: PlotServerArgs,
    pub(super) spool: Arc<Spool>,
    pub(super) machine: Arc<Machine>,
}

/// Serves one cluster: waits for its chain, offers what is spooled, tells `ready` that jobs may be taken, keeps the member record up to
/// date until `idle` says that no job is in hand any more, and leaves.
pub(super) async fn serve(
    start: Start,
    ready: mpsc::Sender<Arc<Served>>,
    idle: CancellationToken,
) -> Result<()> {
    let Start {
        mut context,
        nats,
        name,
        share,
        args,
        spool,
        machine,
    } = start;
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &machine.cancel).await? else {
        return context.leave().await;
    };
    let arithmetic = Arithmetic::load(chain, &args.kzg, &machine.pool).await?;
    let handlers = Handlers {
        sectors: Arc::new(SpoolSectors(Arc::clone(&spool))),
        ..Handlers::default()
    };
    let address = context.serve(&args.data_plane, &nats, handlers).await?;
    let jobs = PlotJobs::open(&context.cluster, JOB_TIMES).await?;
    let served = Arc::new(Served {
        machine: Arc::clone(&machine),
        name,
        share,
        instance: context.instance(),
        addresses: vec![address.to_string()],
        session_key: context.own_session_key(),
        arithmetic,
        fetcher: PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?,
        members: context.members(),
        jobs: jobs.clone(),
        spool,
        draining: context.draining(),
        priority_cache: args.priority_cache,
        tracks: Mutex::default(),
        finished: AtomicU64::new(0),
        restarts: AtomicU64::new(0),
        busy: AtomicU32::new(0),
        asking: AtomicBool::new(false),
        changed: Notify::new(),
    });
    let mut deliveries = tokio::spawn(delivery::run(jobs, Arc::clone(&served)));
    tracing::info!(
        cluster = served.name,
        records = machine.concurrency,
        spooled = served.spool.sectors().len(),
        "ready to plot"
    );
    // Nobody takes any more when the process is about to end.
    let _ = ready.send(Arc::clone(&served)).await;
    let mut spool_changes = served.spool.changes();
    let mut stages = tokio::time::interval(STAGES_INTERVAL);
    stages.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let outcome = loop {
        let status = served.status();
        let asking = u32::from(served.asking.load(Ordering::Relaxed));
        context.set_held(status.busy + status.spooled + asking);
        let moving = !status.stages.is_empty();
        context.update(|member| member.status = RoleStatus::PlotServer(status));
        tokio::select! {
            () = idle.cancelled() => break Ok(()),
            () = served.changed.notified() => {}
            _ = stages.tick(), if moving => {}
            // The sender lives as long as the spool.
            _ = spool_changes.changed() => {}
            ended = &mut deliveries, if !machine.cancel.is_cancelled() => {
                // It ends by itself only when the process is told to stop.
                if !machine.cancel.is_cancelled() {
                    break ended.context("a loop of the plot-server crashed");
                }
            }
        }
    };
    outcome.and(context.leave().await)
}

//! Keeps plot jobs queued for missing and expiring sectors, and takes finished ones.

use super::Shared;
use super::fetching::{Fetch, fetch_sector};
use super::known::Known;
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::members::MembersView;
use autonomys_cluster::messages::FarmerAppInfoRequest;
use autonomys_cluster::plot_jobs::{JobId, PlotJob, PlotJobs, Sweeper, WantOutcome};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::store::StoreError;
use autonomys_farm::{Farm, SectorState};
use autonomys_transfer::Pool;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::{SegmentCommitment, SegmentIndex};
use subspace_farmer_components::expiration::{
    SectorExpiration, expiration_check_segment, is_replotting_useful,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Jobs queued for each farm: enough to keep several plot-servers busy, few enough that their history size stays fresh.
const JOBS_PER_FARM: usize = 8;
/// Sectors pulled at once for one farm: one is read back while the next arrives. Each farm has places of its own, so that a disk that
/// hangs keeps no other from its sectors.
const FETCHES_PER_FARM: usize = 2;
/// Finished sectors wait this long for a farm that is set aside; then their jobs are withdrawn, because they take places that
/// plot-servers need for other farms.
const KEEP_FOR_SET_ASIDE: Duration = Duration::from_secs(600);
/// How often it is looked for sectors to plot, for lost jobs and for news of the chain.
const ROUND_INTERVAL: Duration = Duration::from_secs(2);

/// The plotting loop's belongings.
pub(super) struct Plotter {
    pub(super) cluster: Cluster,
    pub(super) jobs: PlotJobs,
    pub(super) headers: SegmentHeaders,
    pub(super) members: MembersView,
    pub(super) pool: Pool,
    pub(super) shared: Arc<Shared>,
    /// While it is `true` nothing new is queued.
    pub(super) draining: watch::Receiver<bool>,
}

impl Plotter {
    pub(super) async fn run(self) -> Result<()> {
        let mut farm_changes = self.shared.farms.changes();
        let mut keys = self.shared.farms.public_keys();
        let mut watch = self.jobs.watch(&keys);
        let mut sweeper = self.jobs.sweeper(&keys);
        let mut headers = self.headers.follow();
        let mut commitments: Vec<SegmentCommitment> = Vec::new();
        let mut known = Known::default();
        let mut fetches: JoinSet<(JobId, bool)> = JoinSet::new();
        let mut round = tokio::time::interval(ROUND_INTERVAL);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shared.cancel.cancelled() => break,
                // The sender lives as long as the farms.
                _ = farm_changes.changed() => {
                    let now = self.shared.farms.public_keys();
                    if now != keys {
                        keys = now;
                        watch = self.jobs.watch(&keys);
                        sweeper = self.jobs.sweeper(&keys);
                        known.begin_anew();
                    }
                    self.start_fetches(&mut known, &mut fetches);
                }
                event = watch.next() => {
                    known.apply(event.context("the plot jobs are not told any more")?, Instant::now());
                    self.start_fetches(&mut known, &mut fetches);
                }
                header = headers.recv() => {
                    commitments.push(header.context("the cluster's segment headers ended")?.segment_commitment());
                }
                Some(fetched) = fetches.join_next() => {
                    let (id, taken) = fetched.context("pulling a sector crashed")?;
                    known.fetch_ended(&id, taken, Instant::now());
                    self.start_fetches(&mut known, &mut fetches);
                    self.shared.counters.changed.notify_one();
                }
                _ = round.tick() => tokio::select! {
                    // Without NATS a round waits for it; half a round does no harm.
                    () = self.shared.cancel.cancelled() => break,
                    () = self.round(&mut sweeper, &mut known, &commitments) => {
                        self.start_fetches(&mut known, &mut fetches);
                    }
                }
            }
            self.count(&known);
        }
        // A sector half pulled stays on the plot-server; dropping its writer marks it missing here.
        fetches.shutdown().await;
        Ok(())
    }

    /// Looks for lost jobs, for jobs that are out of date, and for sectors without one.
    async fn round(&self, sweeper: &mut Sweeper, known: &mut Known, commitments: &[SegmentCommitment]) {
        if let Err(error) = sweeper.sweep(&self.members.current()).await {
            tracing::debug!(%error, "the plot jobs cannot be swept at the moment");
        }
        if !known.synced {
            return;
        }
        if let Err(error) = self.renew(known, commitments.len() as u64).await {
            tracing::debug!(%error, "no jobs can be renewed at the moment");
        }
        if *self.draining.borrow() {
            return;
        }
        if let Err(error) = self.queue(known, commitments).await {
            tracing::debug!("no jobs can be queued at the moment: {error:#}");
        }
    }

    /// Withdraws jobs that are out of date, so that they are queued anew, and gives parked ones a fresh start.
    async fn renew(&self, known: &mut Known, segments: u64) -> Result<(), StoreError> {
        for id in known.out_of_date(segments) {
            if self.jobs.cancel(&id).await? {
                tracing::info!(job = %id, "plot job withdrawn: the history has grown since it was queued");
                known.forget(&id);
            }
        }
        for id in known.rested(Instant::now()) {
            self.jobs.retry_parked(&id).await?;
        }
        self.withdraw(known).await
    }

    /// Takes back the jobs of farms that are set aside: nobody should plot what cannot be written.
    async fn withdraw(&self, known: &mut Known) -> Result<(), StoreError> {
        for farm in self.shared.farms.set_aside() {
            let Some(public_key) = farm.public_key else {
                continue;
            };
            let given_up = farm.since.elapsed() >= KEEP_FOR_SET_ASIDE;
            for id in known.idle_jobs_of(public_key, given_up) {
                let gone = if given_up {
                    self.jobs.finish(&id).await?
                } else {
                    self.jobs.cancel(&id).await?
                };
                if gone {
                    tracing::info!(job = %id, "plot job withdrawn: its farm is set aside");
                    known.forget(&id);
                }
            }
        }
        Ok(())
    }

    fn count(&self, known: &Known) {
        let parked = known.parked_count();
        let counters = &self.shared.counters;
        let jobs = counters.jobs.swap(known.records.len() as u32, Ordering::Relaxed);
        let before = counters.parked_jobs.swap(parked as u32, Ordering::Relaxed);
        if jobs != known.records.len() as u32 || before != parked as u32 {
            counters.changed.notify_one();
        }
    }

    /// Queues jobs for sectors that are missing or about to expire, each farm up to its limit.
    async fn queue(&self, known: &mut Known, commitments: &[SegmentCommitment]) -> Result<()> {
        let mut info = None;
        for farm in &self.shared.farms.open() {
            let (open, active) = known.open(farm.public_key(), Instant::now());
            let room = JOBS_PER_FARM.saturating_sub(active);
            if room == 0 {
                continue;
            }
            // Asked once a round and only when somebody needs it.
            if info.is_none() {
                let app_info = self.cluster.queue_request(&FarmerAppInfoRequest).await?;
                info = Some(app_info.info.protocol_info);
            }
            let Some(protocol_info) = info else { continue };
            let due = sectors_to_plot(farm, &protocol_info, commitments);
            for sector_index in due.into_iter().filter(|index| !open.contains(index)).take(room) {
                let job = self.job(farm, sector_index, protocol_info);
                let id = job.id;
                if self.jobs.want(job).await? == WantOutcome::Created {
                    tracing::info!(sector = sector_index, history_size = %id.history_size, "plot job queued");
                }
                known.queued(id, Instant::now());
            }
        }
        Ok(())
    }

    fn job(&self, farm: &Farm, sector_index: SectorIndex, protocol_info: FarmerProtocolInfo) -> PlotJob {
        let created_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        PlotJob {
            id: JobId {
                public_key: farm.public_key(),
                sector_index,
                history_size: protocol_info.history_size,
            },
            client: self.cluster.instance(),
            pieces_in_sector: farm.pieces_in_sector(),
            protocol_info,
            created_at,
        }
    }

    /// Starts pulling finished sectors as places are free, and drops jobs whose sector is on disk already.
    fn start_fetches(&self, known: &mut Known, fetches: &mut JoinSet<(JobId, bool)>) {
        for record in known.to_fetch(Instant::now()) {
            let id = record.job.id;
            let Some(farm) = self.shared.farms.find(&id.public_key) else {
                continue;
            };
            if known.fetching_for(id.public_key) >= FETCHES_PER_FARM {
                continue;
            }
            let last_attempt = known.fetch_started(id);
            let fetch = Fetch {
                farms: Arc::clone(&self.shared.farms),
                last_attempt,
                farm,
                record,
                jobs: self.jobs.clone(),
                members: self.members.clone(),
                pool: self.pool.clone(),
            };
            fetches.spawn(async move {
                let taken = match fetch_sector(&fetch).await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::warn!(
                            directory = %fetch.farm.directory().display(),
                            sector = id.sector_index,
                            "a sector could not be taken, trying again: {error:#}"
                        );
                        false
                    }
                };
                (id, taken)
            });
        }
    }
}

/// Sectors of a farm that should be plotted now, those that are missing first, then those that expire soonest.
fn sectors_to_plot(
    farm: &Farm,
    info: &FarmerProtocolInfo,
    commitments: &[SegmentCommitment],
) -> Vec<SectorIndex> {
    let mut due = farm.missing_sectors();
    let last_archived = info.history_size.segment_index();
    let mut expiring: Vec<(SegmentIndex, SectorIndex)> = farm
        .plotted_sectors()
        .iter()
        .filter(|sector| is_replotting_useful(sector.history_size, info.history_size))
        .filter_map(|sector| {
            let check = expiration_check_segment(sector.history_size, info.min_sector_lifetime).ok()?;
            // Until that segment exists the sector cannot expire.
            let commitment = commitments.get(usize::try_from(check.get()).ok()?)?;
            let expiration = SectorExpiration::new(
                &sector.sector_id,
                sector.history_size,
                commitment,
                info.min_sector_lifetime,
            )
            .ok()?;
            expiration
                .is_replotting_due(last_archived)
                .then_some((expiration.expires_at, sector.sector_index))
        })
        .collect();
    expiring.sort_unstable();
    due.extend(expiring.into_iter().map(|(_, sector_index)| sector_index));
    due
}

/// Whether the farm has this sector already, from this job or a later one.
pub(super) fn is_plotted(farm: &Farm, id: &JobId) -> bool {
    matches!(
        farm.sector_state(id.sector_index),
        Ok(SectorState::Plotted(sector)) if sector.history_size >= id.history_size
    )
}

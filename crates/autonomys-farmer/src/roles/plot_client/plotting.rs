//! Keeps plot jobs queued for missing and expiring sectors, and takes finished ones.

use super::fetching::{Fetch, fetch_sector};
use super::{RETRY_PAUSE, Shared};
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::members::MembersView;
use autonomys_cluster::messages::FarmerAppInfoRequest;
use autonomys_cluster::plot_jobs::{JobEvent, JobId, JobRecord, JobState, PlotJob, PlotJobs, WantOutcome};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_farm::{Farm, SectorState};
use autonomys_transfer::Pool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::{SegmentCommitment, SegmentIndex};
use subspace_farmer_components::expiration::{
    SectorExpiration, expiration_check_segment, is_replotting_useful,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Jobs queued for each farm: enough to keep several plot-servers busy, few enough that their history size stays fresh.
const JOBS_PER_FARM: usize = 8;
/// Sectors pulled at once, over all farms.
const FETCHES_AT_ONCE: usize = 2;
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
}

/// What is known of the farms' jobs.
#[derive(Default)]
struct Known {
    records: BTreeMap<JobId, JobRecord>,
    /// All records that existed before have been told; until then nothing new is queued.
    synced: bool,
    /// Sectors being pulled.
    fetching: BTreeSet<JobId>,
}

impl Plotter {
    pub(super) async fn run(self) -> Result<()> {
        let keys: Vec<PublicKey> = self.shared.farms.iter().map(|farm| farm.public_key()).collect();
        let mut watch = self.jobs.watch(&keys);
        let mut sweeper = self.jobs.sweeper(&keys);
        let mut headers = self.headers.follow();
        let mut commitments: Vec<SegmentCommitment> = Vec::new();
        let mut known = Known::default();
        let mut fetches: JoinSet<(JobId, bool)> = JoinSet::new();
        let places = Arc::new(Semaphore::new(FETCHES_AT_ONCE));
        let mut round = tokio::time::interval(ROUND_INTERVAL);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shared.cancel.cancelled() => break,
                event = watch.next() => {
                    known.apply(event.context("the plot jobs are not told any more")?);
                    self.start_fetches(&mut known, &mut fetches, &places).await;
                }
                header = headers.recv() => {
                    commitments.push(header.context("the cluster's segment headers ended")?.segment_commitment());
                }
                Some(fetched) = fetches.join_next() => {
                    let (id, taken) = fetched.context("pulling a sector crashed")?;
                    known.fetching.remove(&id);
                    if taken {
                        known.records.remove(&id);
                    }
                    self.shared.counters.changed.notify_one();
                }
                _ = round.tick() => {
                    match sweeper.sweep(&self.members.current()).await {
                        Ok(report) => {
                            for (id, reason) in &report.parked {
                                tracing::warn!(job = %id, reason, "a plot job is parked: nobody could plot it");
                            }
                        }
                        Err(error) => tracing::debug!(%error, "the plot jobs cannot be swept at the moment"),
                    }
                    self.start_fetches(&mut known, &mut fetches, &places).await;
                    if known.synced && let Err(error) = self.queue(&mut known, &commitments).await {
                        tracing::debug!("no jobs can be queued at the moment: {error:#}");
                    }
                }
            }
            self.count(&known);
        }
        // A sector half pulled stays on the plot-server; dropping its writer marks it missing here.
        fetches.shutdown().await;
        Ok(())
    }

    fn count(&self, known: &Known) {
        let parked = known
            .records
            .values()
            .filter(|record| matches!(record.state, JobState::Parked { .. }))
            .count();
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
        for farm in &self.shared.farms {
            let mine = |id: &&JobId| id.public_key == farm.public_key();
            let open: BTreeSet<SectorIndex> = known
                .records
                .keys()
                .filter(mine)
                .map(|id| id.sector_index)
                .collect();
            let room = JOBS_PER_FARM.saturating_sub(open.len());
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
                match self.jobs.want(job.clone()).await? {
                    WantOutcome::Created => {
                        tracing::info!(sector = sector_index, history_size = %job.id.history_size, "plot job queued");
                        // The watch tells it again; until then it must not be queued twice.
                        known
                            .records
                            .entry(job.id)
                            .or_insert_with(|| JobRecord::wanted(job));
                    }
                    WantOutcome::Existing(record) => {
                        known.records.insert(record.job.id, *record);
                    }
                }
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
    async fn start_fetches(
        &self,
        known: &mut Known,
        fetches: &mut JoinSet<(JobId, bool)>,
        places: &Arc<Semaphore>,
    ) {
        let ready: Vec<_> = known
            .records
            .values()
            .filter(|record| {
                matches!(record.state, JobState::Ready(_)) && !known.fetching.contains(&record.job.id)
            })
            .cloned()
            .collect();
        for record in ready {
            let id = record.job.id;
            let Some(farm) = self
                .shared
                .farms
                .iter()
                .find(|farm| farm.public_key() == id.public_key)
            else {
                continue;
            };
            let Ok(place) = Arc::clone(places).try_acquire_owned() else {
                return;
            };
            known.fetching.insert(id);
            let fetch = Fetch {
                farm: Arc::clone(farm),
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
                            sector = id.sector_index,
                            "a sector could not be taken, trying again: {error:#}"
                        );
                        tokio::time::sleep(RETRY_PAUSE).await;
                        false
                    }
                };
                drop(place);
                (id, taken)
            });
        }
    }
}

impl Known {
    fn apply(&mut self, event: JobEvent) {
        match event {
            JobEvent::Changed(record) => {
                self.records.insert(record.job.id, *record);
            }
            JobEvent::Gone(id) => {
                self.records.remove(&id);
            }
            JobEvent::Synced => self.synced = true,
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

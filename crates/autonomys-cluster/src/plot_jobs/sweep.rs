//! Finding jobs whose holder is gone or whose message is lost, and getting them going again.

use super::PlotJobs;
use super::record::{JobId, JobRecord, JobState};
use crate::members::MembersSnapshot;
use crate::store::{StoreError, Watch, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use subspace_core_primitives::PublicKey;
use tokio::time::Instant;
use tracing::{info, warn};

/// Markers of removed records are kept this long for watches that were interrupted; those list everything anew anyway.
const KEEP_REMOVALS: Duration = Duration::from_secs(3600);

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Jobs that wait for a plot-server.
    pub wanted: usize,
    /// Jobs in work.
    pub taken: usize,
    /// Finished sectors that wait to be fetched.
    pub ready: usize,
    /// Jobs given up, with the reason.
    pub parked: Vec<(JobId, String)>,
    /// Jobs taken back from a holder that is gone.
    pub reclaimed: Vec<JobId>,
    /// Jobs whose message was lost and sent again.
    pub republished: Vec<JobId>,
}

/// Sweeps the jobs of some farms. Times are measured from when the sweeper saw a state first, so nothing depends on
/// clocks that agree.
#[derive(Debug)]
pub struct Sweeper {
    jobs: PlotJobs,
    farms: Vec<PublicKey>,
    watch: Watch<JobRecord>,
    synced: bool,
    seen: BTreeMap<String, Seen>,
    forget_at: Instant,
}

#[derive(Debug)]
struct Seen {
    id: JobId,
    state: JobState,
    revision: u64,
    /// Since when the state has been as it is, or was found to be in order.
    since: Instant,
}

impl PlotJobs {
    /// Sweeps the jobs of these farms.
    pub fn sweeper(&self, farms: &[PublicKey]) -> Sweeper {
        Sweeper {
            jobs: self.clone(),
            farms: farms.to_vec(),
            watch: self.bucket.watch(farms.iter().map(JobId::farm_filter).collect()),
            synced: false,
            seen: BTreeMap::new(),
            forget_at: Instant::now() + KEEP_REMOVALS,
        }
    }
}

impl Sweeper {
    /// One sweep; to be called every few seconds.
    ///
    /// # Errors
    /// [`StoreError`]; the next sweep does what this one could not.
    pub async fn sweep(&mut self, members: &MembersSnapshot) -> Result<SweepReport, StoreError> {
        self.catch_up().await;
        let now = Instant::now();
        let times = *self.jobs.times();
        let mut report = SweepReport::default();
        let mut lost = Vec::new();
        let mut unpublished = Vec::new();
        for (key, seen) in &mut self.seen {
            let age = now.saturating_duration_since(seen.since);
            match &seen.state {
                JobState::Wanted => {
                    report.wanted += 1;
                    if age >= times.republish_after {
                        unpublished.push(key.clone());
                    }
                }
                JobState::Taken { server, .. } => {
                    report.taken += 1;
                    if age >= times.lease {
                        lost.push((
                            key.clone(),
                            format!("{server} took the job and was not heard of again"),
                        ));
                    }
                }
                JobState::Ready(ready) => {
                    report.ready += 1;
                    if members.is_live(ready.server) {
                        seen.since = now;
                    } else if age >= times.ready_lease {
                        lost.push((
                            key.clone(),
                            format!("{} went away with the finished sector", ready.server),
                        ));
                    }
                }
                JobState::Parked { reason } => report.parked.push((seen.id, reason.clone())),
            }
        }
        for (key, reason) in lost {
            report.reclaimed.extend(self.reclaim(&key, &reason).await?);
        }
        if !unpublished.is_empty() {
            report.republished = self.republish(unpublished, now).await?;
        }
        if now >= self.forget_at {
            self.forget_at = now + KEEP_REMOVALS;
            let filters: Vec<_> = self.farms.iter().map(JobId::farm_filter).collect();
            if !filters.is_empty() {
                self.jobs.bucket.forget_removals(&filters, KEEP_REMOVALS).await?;
            }
        }
        Ok(report)
    }

    /// Takes in what the watch has told since the last sweep.
    async fn catch_up(&mut self) {
        loop {
            // The first sweep must not take an unfinished listing for the whole.
            let event = if self.synced {
                self.watch.ready_event()
            } else {
                self.watch.next_event().await
            };
            match event {
                Some(WatchEvent::Put(entry)) => {
                    let mut state = entry.value.state;
                    if let JobState::Ready(ready) = &mut state {
                        // Only the server matters here.
                        ready.metadata = Vec::new();
                    }
                    let seen = Seen {
                        id: entry.value.job.id,
                        state,
                        revision: entry.revision,
                        since: Instant::now(),
                    };
                    self.seen.insert(entry.key, seen);
                }
                Some(WatchEvent::Removed(key)) => drop(self.seen.remove(&key)),
                Some(WatchEvent::Synced) => self.synced = true,
                None => return,
            }
        }
    }

    async fn reclaim(&mut self, key: &str, reason: &str) -> Result<Option<JobId>, StoreError> {
        let Some(seen) = self.seen.get(key) else {
            return Ok(None);
        };
        let Some(entry) = self.jobs.bucket.get(key).await? else {
            return Ok(None);
        };
        if entry.revision != seen.revision {
            return Ok(None);
        }
        let record = entry.value.failed(reason);
        if self
            .jobs
            .bucket
            .update(key, &record, entry.revision)
            .await?
            .is_none()
        {
            return Ok(None);
        }
        match &record.state {
            JobState::Parked { .. } => warn!(job = key, reason, "plot job parked after too many attempts"),
            _ => info!(job = key, reason, "plot job taken back"),
        }
        self.jobs.hand_out(key, &record).await;
        Ok(Some(seen.id))
    }

    async fn republish(&mut self, keys: Vec<String>, now: Instant) -> Result<Vec<JobId>, StoreError> {
        let mut queued = BTreeSet::new();
        for farm in &self.farms {
            queued.append(&mut self.jobs.queue.queued(&JobId::farm_filter(farm)).await?);
        }
        let mut republished = Vec::new();
        for key in keys {
            let Some(seen) = self.seen.get_mut(&key) else {
                continue;
            };
            if !queued.contains(&key) {
                self.jobs.queue.publish(&key, None).await?;
                info!(job = key, "the queue had lost the plot job, handed out again");
                republished.push(seen.id);
            }
            // In order for now.
            seen.since = now;
        }
        Ok(republished)
    }
}

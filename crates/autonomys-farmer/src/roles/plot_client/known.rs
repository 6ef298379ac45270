//! What the plotting loop knows of its farms' jobs, and what it makes of it: which may be pulled, which are out of date.

use autonomys_cluster::plot_jobs::{JobEvent, JobId, JobRecord, JobState};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_farmer_components::expiration::expiration_check_segment;

/// A job queued here that the watch does not tell within this time is looked at again.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// First and longest pause before a sector that could not be pulled is tried again; others have their turn meanwhile.
const FETCH_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Failures in a row after which a plot-server that cannot give a finished sector is given up: about three minutes.
const MAX_FETCH_FAILURES: u32 = 8;
/// A parked job gets a fresh start after this long: full disks are emptied, and nobody should have to remember the job. Each time
/// it is parked again it rests twice as long.
const PARKED_FOR: Duration = Duration::from_secs(600);
/// A job that was parked this often, the last time after some five hours, is left to the operator (`util plot-jobs`), or to a grown
/// history, with which its sector gets other pieces.
const MAX_PARKINGS: u16 = 6;

/// Pulls of one sector that failed.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    retry_at: Instant,
}

/// What is known of the farms' jobs.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// As the watch tells them.
    pub(super) records: BTreeMap<JobId, JobRecord>,
    /// All records that existed before have been told; until then nothing new is queued.
    pub(super) synced: bool,
    /// Queued here and not told by the watch yet, since when.
    queued: BTreeMap<JobId, Instant>,
    /// Sectors being pulled.
    fetching: BTreeSet<JobId>,
    failures: BTreeMap<JobId, Failures>,
    /// Since when jobs have been parked, and when each is to be tried again, if ever.
    parked: BTreeMap<JobId, Option<Instant>>,
}

impl Known {
    pub(super) fn apply(&mut self, event: JobEvent, now: Instant) {
        match event {
            JobEvent::Changed(record) => {
                let id = record.job.id;
                self.queued.remove(&id);
                match &record.state {
                    JobState::Parked { reason } => {
                        if let Entry::Vacant(parked) = self.parked.entry(id) {
                            let rest = rest(record.parkings);
                            parked.insert(rest.map(|rest| now + rest));
                            let then = rest.map_or_else(
                                || {
                                    "it is left alone until util plot-jobs --retry or a grown history"
                                        .to_string()
                                },
                                |rest| format!("it is tried again in {rest:?}"),
                            );
                            tracing::warn!(job = %id, reason, "a plot job is parked: nobody could plot it; {then}");
                        }
                    }
                    _ => drop(self.parked.remove(&id)),
                }
                self.records.insert(id, *record);
            }
            JobEvent::Gone(id) => self.forget(&id),
            JobEvent::Synced => self.synced = true,
        }
    }

    /// The job is gone.
    pub(super) fn forget(&mut self, id: &JobId) {
        self.records.remove(id);
        self.queued.remove(id);
        self.failures.remove(id);
        self.parked.remove(id);
    }

    /// A new watch tells everything once more; what is being pulled is still being pulled.
    pub(super) fn begin_anew(&mut self) {
        self.records.clear();
        self.synced = false;
    }

    /// Sectors being pulled for a farm.
    pub(super) fn fetching_for(&self, farm: PublicKey) -> usize {
        self.fetching.iter().filter(|id| id.public_key == farm).count()
    }

    /// Jobs of a farm that nobody works on: wanted or parked, with `finished` also sectors that wait to be pulled.
    pub(super) fn idle_jobs_of(&self, farm: PublicKey, finished: bool) -> Vec<JobId> {
        let is_idle = |record: &&JobRecord| match record.state {
            JobState::Wanted | JobState::Parked { .. } => true,
            JobState::Ready(_) => finished && !self.fetching.contains(&record.job.id),
            JobState::Taken { .. } => false,
        };
        self.records
            .values()
            .filter(|record| record.job.id.public_key == farm)
            .filter(is_idle)
            .map(|record| record.job.id)
            .collect()
    }

    /// The job was queued a moment ago; it must not be queued twice before the watch tells it.
    pub(super) fn queued(&mut self, id: JobId, now: Instant) {
        self.queued.insert(id, now);
    }

    /// Sectors of a farm with a job, and how many of the jobs are on their way: parked ones take nobody's place.
    pub(super) fn open(&mut self, farm: PublicKey, now: Instant) -> (BTreeSet<SectorIndex>, usize) {
        self.queued
            .retain(|_, since| now.saturating_duration_since(*since) < TOLD_WITHIN);
        let mut open = BTreeSet::new();
        let mut active = 0;
        let told = self.records.keys();
        for id in told.chain(self.queued.keys()).filter(|id| id.public_key == farm) {
            if open.insert(id.sector_index) && !self.parked.contains_key(id) {
                active += 1;
            }
        }
        (open, active)
    }

    /// Finished sectors that may be pulled now.
    pub(super) fn to_fetch(&self, now: Instant) -> Vec<JobRecord> {
        let resting = |id| {
            self.failures
                .get(id)
                .is_some_and(|failures| failures.retry_at > now)
        };
        self.records
            .values()
            .filter(|record| matches!(record.state, JobState::Ready(_)))
            .filter(|record| !self.fetching.contains(&record.job.id) && !resting(&record.job.id))
            .cloned()
            .collect()
    }

    /// A pull begins; `true` when the plot-server is to be given up if it fails once more.
    pub(super) fn fetch_started(&mut self, id: JobId) -> bool {
        self.fetching.insert(id);
        self.failures
            .get(&id)
            .is_some_and(|failures| failures.count + 1 >= MAX_FETCH_FAILURES)
    }

    /// A pull has ended.
    pub(super) fn fetch_ended(&mut self, id: &JobId, taken: bool, now: Instant) {
        self.fetching.remove(id);
        if taken {
            self.forget(id);
            return;
        }
        let count = self.failures.get(id).map_or(0, |failures| failures.count);
        let pause = FETCH_PAUSE
            .0
            .saturating_mul(1 << count.min(16))
            .min(FETCH_PAUSE.1);
        self.failures.insert(
            *id,
            Failures {
                // After giving up the count begins anew: the next sector is another one.
                count: if count + 1 >= MAX_FETCH_FAILURES {
                    0
                } else {
                    count + 1
                },
                retry_at: now + pause,
            },
        );
    }

    /// Jobs that nobody works on and that are not worth being worked on any more: sectors for a history of `segments` segments that
    /// is so old that they could expire at once, and parked ones once the history has grown.
    pub(super) fn out_of_date(&self, segments: u64) -> Vec<JobId> {
        self.records
            .values()
            .filter(|record| {
                let (id, info) = (&record.job.id, &record.job.protocol_info);
                match record.state {
                    JobState::Wanted => expiration_check_segment(id.history_size, info.min_sector_lifetime)
                        .is_ok_and(|check| check.get() < segments),
                    JobState::Parked { .. } => id.history_size.get() < segments,
                    _ => false,
                }
            })
            .map(|record| record.job.id)
            .collect()
    }

    /// Parked jobs whose rest is over.
    pub(super) fn rested(&self, now: Instant) -> Vec<JobId> {
        let over = |until: &Option<Instant>| until.is_some_and(|until| now >= until);
        let parked = self.parked.iter().filter(|(_, until)| over(until));
        parked.map(|(id, _)| *id).collect()
    }

    pub(super) fn parked_count(&self) -> usize {
        self.parked.len()
    }
}

/// How long a job rests that was parked so often; `None` for ever.
fn rest(parkings: u16) -> Option<Duration> {
    (parkings < MAX_PARKINGS).then(|| PARKED_FOR * (1 << parkings.saturating_sub(1)))
}

#[cfg(test)]
mod tests;

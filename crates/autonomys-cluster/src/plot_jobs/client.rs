//! The plot-client's side: wishing for sectors, following what becomes of them, and finishing.

use super::PlotJobs;
use super::record::{JobId, JobRecord, JobState, PlotJob};
use crate::ids::InstanceId;
use crate::store::{Created, StoreError, Watch, WatchEvent};
use subspace_core_primitives::PublicKey;
use tracing::{debug, warn};

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantOutcome {
    /// The job is new.
    Created,
    /// The job is there already, perhaps since before a restart.
    Existing(Box<JobRecord>),
}

/// What happens to jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// The job is new or has changed.
    Changed(Box<JobRecord>),
    /// The job is gone.
    Gone(JobId),
    /// Everything that was there when the watch began, or began anew after an interruption, has been told.
    Synced,
}

/// Jobs of some farms as they change, through every interruption.
#[derive(Debug)]
pub struct JobWatch {
    watch: Watch<JobRecord>,
}

impl JobWatch {
    /// The next event; `None` only when the connection is closed for good.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            return Some(match self.watch.next_event().await? {
                WatchEvent::Put(entry) => JobEvent::Changed(Box::new(entry.value)),
                WatchEvent::Removed(key) => match JobId::parse(&key) {
                    Some(id) => JobEvent::Gone(id),
                    None => continue,
                },
                WatchEvent::Synced => JobEvent::Synced,
            });
        }
    }
}

impl PlotJobs {
    /// Wishes for a sector.
    ///
    /// # Errors
    /// [`StoreError`]; wishing again is safe.
    pub async fn want(&self, job: PlotJob) -> Result<WantOutcome, StoreError> {
        let key = job.id.key();
        match self.bucket.create(&key, &JobRecord::wanted(job)).await? {
            Created::New(revision) => {
                // The record is what counts: a sweep publishes what could not be published now.
                if let Err(error) = self.queue.publish(&key, Some(format!("{key}@{revision}"))).await {
                    warn!(job = key, %error, "the job is recorded but could not be handed out yet");
                }
                Ok(WantOutcome::Created)
            }
            Created::Existing(entry) => Ok(WantOutcome::Existing(Box::new(entry.value))),
        }
    }

    /// Follows the jobs of these farms.
    pub fn watch(&self, farms: &[PublicKey]) -> JobWatch {
        JobWatch {
            watch: self.bucket.watch(farms.iter().map(JobId::farm_filter).collect()),
        }
    }

    /// The sector is on disk with its metadata: removes the record. `false` when it was gone already.
    ///
    /// # Errors
    /// [`StoreError`]; finishing again is safe.
    pub async fn finish(&self, id: &JobId) -> Result<bool, StoreError> {
        self.remove_if(id, |_| true).await
    }

    /// Removes a job that nobody works on (wanted or parked), for instance because its history size is out of date.
    /// `false` when it is in work, finished, or gone.
    ///
    /// # Errors
    /// [`StoreError`]; cancelling again is safe.
    pub async fn cancel(&self, id: &JobId) -> Result<bool, StoreError> {
        self.remove_if(id, |state| {
            matches!(state, JobState::Wanted | JobState::Parked { .. })
        })
        .await
    }

    async fn remove_if(&self, id: &JobId, allowed: impl Fn(&JobState) -> bool) -> Result<bool, StoreError> {
        let key = id.key();
        while let Some(entry) = self.bucket.get(&key).await? {
            if !allowed(&entry.value.state) {
                return Ok(false);
            }
            if self.bucket.delete(&key, entry.revision).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The finished sector of `server` could not be fetched or is damaged: the job starts over, or is parked after too
    /// many attempts. `false` when the job is not ready at that server any more.
    ///
    /// # Errors
    /// [`StoreError`]; rejecting again is safe.
    pub async fn reject(&self, id: &JobId, server: InstanceId, reason: &str) -> Result<bool, StoreError> {
        self.change(id, |record| match &record.state {
            JobState::Ready(ready) if ready.server == server => Some(JobRecord {
                rejected: Some(server),
                ..record.failed(reason)
            }),
            _ => None,
        })
        .await
    }

    /// Gives a parked job a fresh start; that it was parked is remembered. `false` when it is not parked.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn retry_parked(&self, id: &JobId) -> Result<bool, StoreError> {
        self.unpark(id, |parkings| parkings).await
    }

    /// The operator has mended what was wrong: gives a parked job a fresh start as if it had never been parked. `false` when
    /// it is not parked.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn revive_parked(&self, id: &JobId) -> Result<bool, StoreError> {
        self.unpark(id, |_| 0).await
    }

    async fn unpark(&self, id: &JobId, parkings: impl Fn(u16) -> u16) -> Result<bool, StoreError> {
        self.change(id, |record| match record.state {
            JobState::Parked { .. } => {
                let mut record = record.with_state(JobState::Wanted);
                record.attempts = 0;
                record.parkings = parkings(record.parkings);
                Some(record)
            }
            _ => None,
        })
        .await
    }

    /// Removes a parked job; its farm queues the sector anew. `false` when it is not parked.
    ///
    /// # Errors
    /// [`StoreError`]; cancelling again is safe.
    pub async fn cancel_parked(&self, id: &JobId) -> Result<bool, StoreError> {
        self.remove_if(id, |state| matches!(state, JobState::Parked { .. }))
            .await
    }

    /// Replaces the record by what `next` makes of it, unless that is nothing, and hands the job out if it is wanted then.
    async fn change(
        &self,
        id: &JobId,
        next: impl Fn(JobRecord) -> Option<JobRecord>,
    ) -> Result<bool, StoreError> {
        let key = id.key();
        while let Some(entry) = self.bucket.get(&key).await? {
            let Some(record) = next(entry.value) else {
                return Ok(false);
            };
            if self.bucket.update(&key, &record, entry.revision).await?.is_some() {
                self.hand_out(&key, &record).await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Publishes the job if it is wanted; what fails here is done by a sweep.
    pub(super) async fn hand_out(&self, key: &str, record: &JobRecord) {
        if record.state == JobState::Wanted
            && let Err(error) = self.queue.publish(key, None).await
        {
            debug!(job = key, %error, "not handed out yet");
        }
    }
}

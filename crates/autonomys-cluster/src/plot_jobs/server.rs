//! The plot-server's side: taking jobs, holding them, delivering, and taking up again what a crash left.

use super::PlotJobs;
use super::queue::{Handed, acknowledge};
use super::record::{JobId, JobRecord, JobState, PlotJob, ReadySector};
use crate::ids::InstanceId;
use crate::members::MembersSnapshot;
use crate::store::StoreError;
use async_nats::jetstream::{AckKind, Message};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{info, warn};

/// A message whose record cannot be read now comes again after this.
const LATER: Duration = Duration::from_secs(2);

/// Why a holder may not go on.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum JobLost {
    /// Somebody else has the job by now, or it is gone. Whatever was made of it is to be thrown away.
    #[error("the job {0} is not this server's any more")]
    Lost(String),
    /// JetStream. The job may still be ours; trying again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be done with a finished sector found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolVerdict {
    /// It is offered: keep it until the record is gone.
    Offered {
        /// Whose farm it is for.
        client: InstanceId,
    },
    /// Nobody wants it any more, or the client has rejected it: delete it.
    Gone,
    /// Somebody else holds the job: delete it. When the holder is this server itself, the job in hand decides: leave it alone.
    Superseded {
        /// Who.
        holder: InstanceId,
    },
}

impl PlotJobs {
    /// Takes the next job, waiting up to `wait` for one.
    ///
    /// Messages of jobs that are not to be had are dropped on the way.
    ///
    /// # Errors
    /// [`StoreError`]; a message that was received then comes again.
    pub async fn take(&self, wait: Duration) -> Result<Option<TakenJob>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let Some(Handed { key, behind, message }) = self.queue.next(left).await? else {
                return Ok(None);
            };
            // Where nobody waits behind it there are no turns to take.
            if behind > 0
                && let Some(taken) = self.take_for_another_farm(&key).await
            {
                // Somebody else's turn, or ours again.
                acknowledge(&message, AckKind::Nak(None)).await;
                return Ok(Some(taken));
            }
            match self.claim(&key).await {
                Ok(Some((record, revision))) => {
                    self.note_turn(&key);
                    return Ok(Some(self.taken(key, record, revision, Some(message))));
                }
                // The message says nothing that the record does not know better.
                Ok(None) => acknowledge(&message, AckKind::Ack).await,
                Err(StoreError::Codec(error)) => {
                    warn!(job = key, %error, "left to a server that understands it");
                    acknowledge(&message, AckKind::Nak(Some(self.times.retry_pause.max(LATER)))).await;
                }
                Err(error) => {
                    acknowledge(&message, AckKind::Nak(Some(LATER))).await;
                    return Err(error);
                }
            }
        }
    }

    pub(super) fn taken(
        &self,
        key: String,
        record: JobRecord,
        revision: u64,
        message: Option<Message>,
    ) -> TakenJob {
        TakenJob {
            jobs: self.clone(),
            key,
            record,
            revision,
            message,
            held: true,
        }
    }

    /// Turns the record into one taken by us, if it is to be had.
    pub(super) async fn claim(&self, key: &str) -> Result<Option<(JobRecord, u64)>, StoreError> {
        if JobId::parse(key).is_none() {
            return Ok(None);
        }
        let us = self.cluster.instance();
        loop {
            let Some(entry) = self.bucket.get(key).await? else {
                return Ok(None);
            };
            let mut record = entry.value;
            match record.state {
                JobState::Wanted => {}
                // Taken by an earlier run of this instance, or dropped in this one.
                JobState::Taken { server, .. } if server == us && !self.holds(key) => {
                    record = record.failed("the plot-server stopped while it worked on the job");
                    if record.state != JobState::Wanted {
                        if self.bucket.update(key, &record, entry.revision).await?.is_some() {
                            return Ok(None);
                        }
                        continue;
                    }
                }
                _ => return Ok(None),
            }
            record.attempts = record.attempts.saturating_add(1);
            let record = record.with_state(JobState::Taken {
                server: us,
                lease: rand::random(),
                renewals: 0,
            });
            // Before the write, so that a second message of the same job cannot be taken in between.
            if !self.hold(key) {
                return Ok(None);
            }
            match self.bucket.update(key, &record, entry.revision).await {
                Ok(Some(revision)) => return Ok(Some((record, revision))),
                Ok(None) => self.let_go(key),
                Err(error) => {
                    self.let_go(key);
                    return Err(error);
                }
            }
        }
    }

    /// Records of all jobs that `server` holds, taken or ready.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held_by(&self, server: InstanceId) -> Result<Vec<JobRecord>, StoreError> {
        let mut records = self.list().await?;
        records.retain(|record| record.holder() == Some(server));
        Ok(records)
    }

    /// Offers a finished sector that was found on disk after a restart.
    ///
    /// A finished sector wins over one in the making; one that a live server offers already wins over ours. With `anew` the
    /// record is written even when it says so already, so that the client is told once more.
    ///
    /// # Errors
    /// [`StoreError`]; offering again is safe.
    pub async fn offer_spooled(
        &self,
        id: &JobId,
        ready: ReadySector,
        members: &MembersSnapshot,
        anew: bool,
    ) -> Result<SpoolVerdict, StoreError> {
        let key = id.key();
        let us = self.cluster.instance();
        loop {
            let Some(entry) = self.bucket.get(&key).await? else {
                return Ok(SpoolVerdict::Gone);
            };
            let client = entry.value.job.client;
            match &entry.value.state {
                JobState::Ready(same) if *same == ready && !anew => {
                    return Ok(SpoolVerdict::Offered { client });
                }
                JobState::Ready(other) if other.server != us && members.is_live(other.server) => {
                    return Ok(SpoolVerdict::Superseded { holder: other.server });
                }
                JobState::Taken { server, .. } if *server == us && self.holds(&key) => {
                    return Ok(SpoolVerdict::Superseded { holder: us });
                }
                _ if entry.value.rejected == Some(us) => return Ok(SpoolVerdict::Gone),
                _ => {}
            }
            let record = entry.value.with_state(JobState::Ready(ready.clone()));
            if self.bucket.update(&key, &record, entry.revision).await?.is_some() {
                return Ok(SpoolVerdict::Offered { client });
            }
        }
    }

    fn holds(&self, key: &str) -> bool {
        self.held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .contains(key)
    }

    fn hold(&self, key: &str) -> bool {
        self.held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .insert(key.to_owned())
    }

    fn let_go(&self, key: &str) {
        self.held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .remove(key);
    }
}

/// A job in our hands. Dropping it is like crashing: the job comes back after its lease.
#[derive(Debug)]
pub struct TakenJob {
    jobs: PlotJobs,
    key: String,
    record: JobRecord,
    revision: u64,
    /// The message that named the job; without one it lies in the queue, for somebody who will find the job taken.
    message: Option<Message>,
    held: bool,
}

impl TakenJob {
    /// What is to be plotted.
    pub fn job(&self) -> &PlotJob {
        &self.record.job
    }

    /// Whether the client has rejected the sector that this server has finished before.
    pub fn was_rejected_here(&self) -> bool {
        self.record.rejected == Some(self.jobs.cluster.instance())
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u16 {
        self.record.attempts
    }

    /// Shows that we still work on it; to be called every [`super::JobTimes::keep_alive_interval`].
    ///
    /// # Errors
    /// [`JobLost::Lost`] when the job was taken away: stop working on it.
    pub async fn keep_alive(&mut self) -> Result<(), JobLost> {
        let JobState::Taken {
            server,
            lease,
            renewals,
        } = self.record.state
        else {
            return Err(JobLost::Lost(self.key.clone()));
        };
        let renewed = JobState::Taken {
            server,
            lease,
            renewals: renewals.wrapping_add(1),
        };
        self.write(self.record.clone().with_state(renewed)).await?;
        self.acknowledge(AckKind::Progress).await;
        Ok(())
    }

    /// The sector and its metadata are durable on our disk: offers them. The job is the client's from here on.
    ///
    /// # Errors
    /// [`JobLost::Lost`]: delete the sector. [`JobLost::Store`]: try again, or leave it to
    /// [`PlotJobs::offer_spooled`] after a restart.
    pub async fn ready(&mut self, ready: ReadySector) -> Result<(), JobLost> {
        let mut record = self.record.clone().with_state(JobState::Ready(ready));
        record.rejected = None;
        self.write(record).await?;
        self.let_go();
        self.acknowledge(AckKind::Ack).await;
        Ok(())
    }

    /// The job cannot be done here: it is wanted again after a pause, or parked after too many attempts.
    ///
    /// # Errors
    /// [`JobLost`]; the job then comes back after its lease.
    pub async fn fail(mut self, reason: &str) -> Result<(), JobLost> {
        info!(
            job = self.key,
            reason,
            attempt = self.record.attempts,
            "plot job failed"
        );
        let pause = self.jobs.times.retry_pause * u32::from(self.record.attempts);
        let record = self.record.clone().failed(reason);
        let again = record.state == JobState::Wanted;
        self.write(record).await?;
        self.let_go();
        // Without a message a sweep publishes the job, which is pause enough.
        let kind = if again {
            AckKind::Nak(Some(pause))
        } else {
            AckKind::Ack
        };
        self.acknowledge(kind).await;
        Ok(())
    }

    /// Gives the job back untouched, for instance to drain; the attempt does not count.
    ///
    /// # Errors
    /// [`JobLost`]; the job then comes back after its lease.
    pub async fn release(mut self) -> Result<(), JobLost> {
        let mut record = self.record.clone().with_state(JobState::Wanted);
        record.attempts = record.attempts.saturating_sub(1);
        self.write(record).await?;
        self.let_go();
        match &self.message {
            Some(message) => acknowledge(message, AckKind::Nak(None)).await,
            None => self.jobs.hand_out(&self.key, &self.record).await,
        }
        Ok(())
    }

    async fn acknowledge(&self, kind: AckKind) {
        if let Some(message) = &self.message {
            acknowledge(message, kind).await;
        }
    }

    async fn write(&mut self, record: JobRecord) -> Result<(), JobLost> {
        match self.jobs.bucket.update(&self.key, &record, self.revision).await? {
            Some(revision) => {
                self.revision = revision;
                self.record = record;
                Ok(())
            }
            None => Err(JobLost::Lost(self.key.clone())),
        }
    }

    fn let_go(&mut self) {
        if std::mem::take(&mut self.held) {
            self.jobs.let_go(&self.key);
        }
    }
}

impl Drop for TakenJob {
    fn drop(&mut self) {
        self.let_go();
    }
}

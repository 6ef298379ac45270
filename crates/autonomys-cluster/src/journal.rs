//! The journal of solutions: to which controller each one was given, recorded before it is sent.
//!
//! Two blocks for one slot by one farm are equivocation, which the chain punishes. So a solution is recorded for one
//! controller first, and nobody may give it to another one, unless it is recorded as certainly not received.
//!
//! Beside it stands a second bucket with the wins that became no solution, and why. It guards nothing, so it is written when there is time.

mod record;

pub use record::{
    JournalRecord, MissReason, MissedWin, ProvedBy, SolutionCourse, SolutionKey, SolutionKeyError,
    SolutionOutcome,
};

use crate::cluster::Cluster;
use crate::ids::ControllerId;
use crate::store::{Bucket, BucketConfig, Created, Entry, StoreError};
use std::time::Duration;
use thiserror::Error;

/// A solution is worth nothing after seconds; a day leaves something to look at.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// A solution is worth nothing after 4 s; recording it may take half of that.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);

const BUCKET: BucketConfig = BucketConfig {
    name: "solutions",
    description: "To which controller each solution was given, and what became of it",
    // Some 400 bytes a solution: 150 000 a day, far beyond what one chain awards.
    max_bytes: 64 * 1024 * 1024,
    max_age: KEEP,
};

const MISSED: BucketConfig = BucketConfig {
    name: "missed_wins",
    description: "Wins that became no solution, and why",
    // Some 200 bytes each; farms that miss slot after slot tell it every ten seconds.
    max_bytes: 16 * 1024 * 1024,
    max_age: KEEP,
};

/// Why a solution must not be sent.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum JournalError {
    /// JetStream. Whether it is recorded is unknown, so it must not be sent.
    #[error("the solution is not sent because it could not be recorded first: {0}")]
    Store(#[from] StoreError),
    /// It was given to a controller before.
    #[error("the solution is not sent again: it was given to {controller} before ({outcome:?})")]
    AlreadySent {
        /// To whom.
        controller: ControllerId,
        /// What became of it.
        outcome: SolutionOutcome,
    },
}

/// Leave to send one solution to one controller, once.
#[derive(Debug)]
pub struct SendPermit {
    bucket: Bucket<JournalRecord>,
    key: String,
    record: JournalRecord,
    revision: u64,
}

impl SendPermit {
    /// To whom it may be sent.
    pub fn controller(&self) -> ControllerId {
        self.record.controller
    }

    /// Records what became of it, and how many milliseconds after the announcement that was known. Without this the outcome stays
    /// pending, which is as final as unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(mut self, outcome: SolutionOutcome, answered_ms: u32) -> Result<(), StoreError> {
        let answered = !matches!(outcome, SolutionOutcome::Pending | SolutionOutcome::Unknown);
        self.record.answered_ms = answered.then_some(answered_ms);
        self.record.outcome = outcome;
        // A conflict cannot be: only the permit's holder changes a pending record, and a permit is used once.
        self.bucket
            .update(&self.key, &self.record, self.revision)
            .await
            .map(drop)
    }
}

/// The cluster's journal of solutions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SolutionJournal {
    bucket: Bucket<JournalRecord>,
    missed: Bucket<MissedWin>,
}

impl SolutionJournal {
    /// Opens it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        Ok(Self {
            bucket: Bucket::open(cluster, &BUCKET).await?,
            missed: Bucket::open(cluster, &MISSED).await?,
        })
    }

    /// Records that the solution, which came about like this, is about to be given to `controller`.
    ///
    /// # Errors
    /// [`JournalError::AlreadySent`] when it was given to any controller before, except where it is recorded as
    /// [`SolutionOutcome::NotReceived`].
    pub async fn record(
        &self,
        key: &SolutionKey,
        controller: ControllerId,
        course: SolutionCourse,
    ) -> Result<SendPermit, JournalError> {
        let recording = self.record_in_time(key.to_string(), controller, course);
        tokio::time::timeout(RECORD_TIMEOUT, recording)
            .await
            .map_err(|_| JournalError::Store(self.bucket.unavailable("no answer in time")))?
    }

    async fn record_in_time(
        &self,
        key: String,
        controller: ControllerId,
        course: SolutionCourse,
    ) -> Result<SendPermit, JournalError> {
        let record = JournalRecord {
            controller,
            attempt: rand::random(),
            course,
            answered_ms: None,
            outcome: SolutionOutcome::Pending,
        };
        loop {
            let revision = match self.bucket.create(&key, &record).await? {
                Created::New(revision) => Some(revision),
                Created::Existing(Entry { value, revision, .. })
                    if value.outcome == SolutionOutcome::NotReceived =>
                {
                    self.bucket.update(&key, &record, revision).await?
                }
                Created::Existing(Entry { value, .. }) => {
                    return Err(JournalError::AlreadySent {
                        controller: value.controller,
                        outcome: value.outcome,
                    });
                }
            };
            if let Some(revision) = revision {
                return Ok(SendPermit {
                    bucket: self.bucket.clone(),
                    key,
                    record,
                    revision,
                });
            }
        }
    }

    /// What the journal says about a solution.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &SolutionKey) -> Result<Option<JournalRecord>, StoreError> {
        Ok(self.bucket.get(&key.to_string()).await?.map(|entry| entry.value))
    }

    /// All solutions of the last day, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn solutions(&self) -> Result<Vec<(SolutionKey, JournalRecord)>, StoreError> {
        let entries = self.bucket.entries(&[">".to_owned()]).await?;
        let solutions = entries
            .into_iter()
            .filter_map(|Entry { key, value, .. }| Some((key.parse().ok()?, value)));
        Ok(solutions.collect())
    }

    /// Records a win that became no solution. A win that is recorded already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_missed(&self, missed: &MissedWin) -> Result<(), StoreError> {
        self.missed.create(&missed.key(), missed).await.map(drop)
    }

    /// All missed wins of the last day, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn missed(&self) -> Result<Vec<MissedWin>, StoreError> {
        let entries = self.missed.entries(&[">".to_owned()]).await?;
        Ok(entries.into_iter().map(|entry| entry.value).collect())
    }
}

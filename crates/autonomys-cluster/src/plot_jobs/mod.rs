//! The plot-job queue: "plot this sector for this farm", surviving the death of anybody at any moment.
//!
//! The truth about a job is one record in a bucket, changed by compare-and-set only; a work-queue stream merely hands
//! jobs out.
//!
//! | who | does | record after it |
//! |---|---|---|
//! | plot-client | [`PlotJobs::want`] | wanted |
//! | plot-server | [`PlotJobs::take`], then [`TakenJob::keep_alive`] as long as it works | taken |
//! | plot-server | writes the sector durably, then [`TakenJob::ready`] | ready |
//! | plot-server | [`TakenJob::fail`] or [`TakenJob::release`] | wanted, or parked |
//! | plot-client | fetches the sector, commits it, then [`PlotJobs::finish`] | gone |
//! | plot-client | [`Sweeper::sweep`] finds records whose holder is gone | wanted, or parked |
//! | plot-server | after a restart: [`PlotJobs::offer_spooled`] for every finished sector it finds | ready |
//!
//! A lease is not a time on anybody's clock: a holder shows that it works by changing its record, and a sweeper that has
//! seen the same revision for [`JobTimes::lease`] on its own clock takes the job back. Every queue message names a job
//! only; a message whose record is not wanted is dropped by whoever receives it. So a job may also be taken without its
//! message: that is how [`fair`] lets farms take turns.

mod client;
mod fair;
mod queue;
mod record;
mod server;
mod sweep;

pub use client::{JobEvent, JobWatch, WantOutcome};
pub use record::{
    JobId, JobIdError, JobRecord, JobState, MAX_ADDRESSES, MAX_ATTEMPTS, MAX_METADATA, MAX_REASON, PlotJob,
    ReadySector,
};
pub use server::{JobLost, SpoolVerdict, TakenJob};
pub use sweep::{SweepReport, Sweeper};

use crate::cluster::Cluster;
use crate::store::{Bucket, BucketConfig, StoreError};
use fair::Turns;
use queue::Queue;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BUCKET: BucketConfig = BucketConfig {
    name: "plot_jobs",
    description: "Plot jobs and where each one is",
    // Some 350 bytes a job that waits, 132 KB more for one that is ready: room for a million of the first and a thousand
    // of the second kind.
    max_bytes: 512 * 1024 * 1024,
    max_age: Duration::ZERO,
};

/// The times of a job's life, all measured on the clock of whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTimes {
    /// A taken record that has not changed for this long is taken back.
    pub lease: Duration,
    /// A ready record whose server has been gone for this long is taken back: the sector is on its disk, and restarting
    /// a server is cheaper than encoding again.
    pub ready_lease: Duration,
    /// A message that is not acknowledged or renewed for this long is handed to somebody else.
    pub ack_wait: Duration,
    /// A wanted record without a message is published again after this long.
    pub republish_after: Duration,
    /// A failed job rests this long for every attempt so far before it is handed out again.
    pub retry_pause: Duration,
}

impl Default for JobTimes {
    fn default() -> Self {
        Self {
            // Several missed renewals at the suggested interval of a sixth.
            lease: Duration::from_secs(60),
            ready_lease: Duration::from_secs(600),
            ack_wait: Duration::from_secs(30),
            // A message is published right after its record; this only matters when the publisher died in between or
            // the queue was lost.
            republish_after: Duration::from_secs(30),
            retry_pause: Duration::from_secs(5),
        }
    }
}

impl JobTimes {
    /// How often a holder should call [`TakenJob::keep_alive`].
    pub fn keep_alive_interval(&self) -> Duration {
        self.lease.min(self.ack_wait) / 3
    }
}

/// The cluster's plot jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PlotJobs {
    cluster: Cluster,
    times: JobTimes,
    bucket: Bucket<JobRecord>,
    queue: Queue,
    /// Keys of the jobs that this process works on, so that it recognises those it has forgotten in a crash.
    held: Arc<Mutex<BTreeSet<String>>>,
    /// Whose turn it is.
    turns: Arc<Mutex<Turns>>,
}

impl PlotJobs {
    /// Opens the records and the queue.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster, times: JobTimes) -> Result<Self, StoreError> {
        Ok(Self {
            cluster: cluster.clone(),
            times,
            bucket: Bucket::open(cluster, &BUCKET).await?,
            queue: Queue::open(cluster, &times).await?,
            held: Arc::default(),
            turns: Arc::default(),
        })
    }

    /// The times in force.
    pub fn times(&self) -> &JobTimes {
        &self.times
    }

    /// One job's record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.bucket.get(&id.key()).await?.map(|entry| entry.value))
    }

    /// Every job of the cluster, for people and metrics.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<JobRecord>, StoreError> {
        let entries = self.bucket.entries(&[">".to_owned()]).await?;
        Ok(entries.into_iter().map(|entry| entry.value).collect())
    }
}

//! Which controller leads: a lease in a bucket whose records live for [`LEASE`] only, renewed by compare-and-set.
//!
//! The holder stops leading before its lease can have run out on the server, so two controllers never lead at the same
//! time; losing the holder costs one lease. Only a clean step-down hands over at once.

use crate::cluster::Cluster;
use crate::codec::Message;
use crate::ids::ControllerId;
use crate::store::{Bucket, BucketConfig, Created, StoreError};
use parity_scale_codec::{Decode, Encode};
use rand::Rng;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a lease lives without renewal.
pub const LEASE: Duration = Duration::from_secs(5);
/// The holder renews so often that one lost renewal is harmless.
const RENEW_INTERVAL: Duration = Duration::from_millis(1500);
/// The others try so often, and a little later or earlier by chance.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(1000);
/// The holder stops leading this long before the lease runs out on the server.
const SAFETY_MARGIN: Duration = Duration::from_secs(1);

const KEY: &str = "leader";

const BUCKET: BucketConfig = BucketConfig {
    name: "leader",
    description: "Lease of the leading controller",
    // One small record; expired ones are removed with a delay.
    max_bytes: 1024 * 1024,
    max_age: LEASE,
};

/// The lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Lease {
    holder: ControllerId,
    /// Random number of the holder's candidacy.
    nonce: u64,
    /// Counts renewals, so that every write is unlike the one before.
    renewals: u64,
}

impl Message for Lease {
    const NAME: &'static str = "leader lease";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 256;
}

/// A candidacy: leads whenever nobody else does, until it is dropped or steps down.
#[derive(Debug)]
pub struct LeaderElection {
    leading: watch::Receiver<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LeaderElection {
    /// Becomes a candidate.
    ///
    /// # Errors
    /// [`StoreError`] when the bucket cannot be opened.
    pub async fn start(cluster: &Cluster, controller: ControllerId) -> Result<Self, StoreError> {
        let bucket = Bucket::<Lease>::open(cluster, &BUCKET).await?;
        let (sender, leading) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidate = Candidate {
            bucket,
            controller,
            nonce: rand::random(),
            renewals: 0,
            leading: sender,
        };
        let task = tokio::spawn(candidate.run(stop.clone()));
        Ok(Self { leading, stop, task })
    }

    /// Whether this controller leads.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Stops being a candidate and hands the lease back, so that another one leads within a second.
    pub async fn step_down(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            warn!(%error, "the candidacy ended badly");
        }
    }

    /// The controller that holds the lease now, if any does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn current(cluster: &Cluster) -> Result<Option<ControllerId>, StoreError> {
        let bucket = Bucket::<Lease>::open(cluster, &BUCKET).await?;
        Ok(bucket.get(KEY).await?.map(|entry| entry.value.holder))
    }
}

impl Drop for LeaderElection {
    fn drop(&mut self) {
        // The lease runs out on its own.
        self.task.abort();
    }
}

struct Candidate {
    bucket: Bucket<Lease>,
    controller: ControllerId,
    nonce: u64,
    renewals: u64,
    leading: watch::Sender<bool>,
}

impl Candidate {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = ATTEMPT_INTERVAL.mul_f64(rand::rng().random_range(0.75..1.25));
            let asked_at = Instant::now();
            let attempt = async { tokio::time::timeout(LEASE - SAFETY_MARGIN, self.take()).await };
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = attempt => taken,
            };
            match taken {
                Ok(Ok(Some(revision))) => {
                    info!(controller = %self.controller, "leads the cluster");
                    self.leading.send_replace(true);
                    let held = self.hold(revision, asked_at + LEASE - SAFETY_MARGIN, &stop).await;
                    self.leading.send_replace(false);
                    if let Some(revision) = held {
                        debug!("stepping down");
                        let handed_back =
                            tokio::time::timeout(SAFETY_MARGIN, self.bucket.delete(KEY, revision)).await;
                        debug!(?handed_back, "lease handed back");
                        return;
                    }
                    warn!(controller = %self.controller, "leads the cluster no more");
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => debug!(%error, "no lease"),
                Err(_) => debug!("no lease, JetStream does not answer"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn lease(&mut self) -> Lease {
        self.renewals += 1;
        Lease {
            holder: self.controller,
            nonce: self.nonce,
            renewals: self.renewals,
        }
    }

    async fn take(&mut self) -> Result<Option<u64>, StoreError> {
        let lease = self.lease();
        Ok(match self.bucket.create(KEY, &lease).await? {
            Created::New(revision) => Some(revision),
            // An earlier attempt was written, but too late to count as answered: replace it by one whose age we know.
            Created::Existing(entry) if entry.value.nonce == self.nonce => {
                self.bucket.update(KEY, &lease, entry.revision).await?
            }
            Created::Existing(_) => None,
        })
    }

    /// Renews until the lease is lost (`None`) or we are told to stop (the revision to hand back).
    async fn hold(&mut self, mut revision: u64, mut until: Instant, stop: &CancellationToken) -> Option<u64> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Some(revision),
                () = tokio::time::sleep(RENEW_INTERVAL) => {}
            }
            let asked_at = Instant::now();
            let lease = self.lease();
            let renewal = tokio::time::timeout_at(until, self.bucket.update(KEY, &lease, revision));
            let renewed = tokio::select! {
                () = stop.cancelled() => return Some(revision),
                renewed = renewal => renewed,
            };
            match renewed {
                Ok(Ok(Some(renewed))) => {
                    revision = renewed;
                    until = asked_at + LEASE - SAFETY_MARGIN;
                }
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => debug!(%error, "lease not renewed yet"),
                Err(_) => return None,
            }
        }
    }
}

//! What all clusters that a plot-server serves share: its threads, its places for sectors, its disk.

use super::spool::Spool;
use super::spool::space::{NoRoom, Space};
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// A full disk, or one that has failed, is looked at again after this.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// One place a stage, each for one sector in memory: while one is written, one is encoded and one fetched. A job has the place of its
/// stage until it has the next one's, so memory is at most three times that of a sector's pieces (docs/plotting.md).
#[derive(Debug)]
pub(super) struct Places {
    pub(super) fetch: Arc<Semaphore>,
    pub(super) encode: Arc<Semaphore>,
    pub(super) spool: Arc<Semaphore>,
}

impl Places {
    /// Jobs in hand at most.
    pub(super) const COUNT: u32 = 3;

    fn new() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self {
            fetch: one(),
            encode: one(),
            spool: one(),
        }
    }

    /// Waits for the place.
    pub(super) async fn take(place: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(place)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }
}

/// See the module.
pub(super) struct Machine {
    pub(super) pool: Arc<rayon::ThreadPool>,
    /// Records encoded at once.
    pub(super) concurrency: NonZeroUsize,
    pub(super) places: Places,
    pub(super) space: Arc<Space>,
    pub(super) cancel: CancellationToken,
    /// A spool whose disk has failed: nothing is begun until it works again.
    failed: Mutex<Option<Arc<Spool>>>,
    /// Why no job is taken; empty when one would be.
    holds_back: Mutex<String>,
    /// Why the process has to end.
    broken: Mutex<Option<String>>,
}

impl Machine {
    pub(super) fn new(
        pool: Arc<rayon::ThreadPool>,
        concurrency: NonZeroUsize,
        space: Arc<Space>,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            pool,
            concurrency,
            places: Places::new(),
            space,
            cancel,
            failed: Mutex::new(None),
            holds_back: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// The process cannot go on: jobs are handed back, and it ends with this reason.
    pub(super) fn break_off(&self, reason: &str) {
        tracing::error!("{reason}; the process ends, so that whoever supervises it starts it anew");
        self.broken.lock().get_or_insert_with(|| reason.to_string());
        self.cancel.cancel();
    }

    /// Why the process had to end, if it had.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().clone()
    }

    /// The disk of this spool has failed.
    pub(super) fn disk_failed(&self, spool: &Arc<Spool>) {
        *self.failed.lock() = Some(Arc::clone(spool));
    }

    /// A sector was written.
    pub(super) fn disk_works(&self) {
        *self.failed.lock() = None;
    }

    /// Why no job is taken at the moment.
    pub(super) fn holds_back(&self) -> String {
        self.holds_back.lock().clone()
    }

    pub(super) fn set_holds_back(&self, reason: String) {
        *self.holds_back.lock() = reason;
    }

    /// Waits until one more sector has room; says once why it has not.
    pub(super) async fn wait_for_room(self: &Arc<Self>) {
        let mut changes = self.space.changes();
        let mut said = false;
        while let Err(reason) = self.look_for_room().await {
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("no job is taken: {reason}");
            }
            self.set_holds_back(reason);
            tokio::select! {
                // The sender lives as long as this value.
                _ = changes.changed() => {}
                // Others fill and empty the disk as well.
                () = tokio::time::sleep(DISK_PAUSE) => {}
            }
        }
        if said {
            tracing::info!("there is room for a sector again");
        }
        self.set_holds_back(String::new());
    }

    async fn look_for_room(self: &Arc<Self>) -> Result<(), String> {
        let this = Arc::clone(self);
        let look = move || {
            let failed = this.failed.lock().clone();
            if let Some(spool) = failed {
                spool.probe().map_err(|error| {
                    format!("the disk of finished sectors does not take anything: {error}")
                })?;
                this.disk_works();
            }
            this.space
                .has_room()
                .map_err(|no_room: NoRoom| no_room.to_string())
        };
        tokio::task::spawn_blocking(look)
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }
}

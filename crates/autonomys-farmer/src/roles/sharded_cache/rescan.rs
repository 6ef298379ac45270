//! The check of everything stored that begins a new epoch: every item is read once and dropped when its hash is wrong.

use super::store::Store;
use autonomys_cache::{CacheKey, Lookup};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Items read on one thread before the runtime looks again: a second of a slow disk.
const ITEMS_AT_ONCE: usize = 128;
/// How often progress is told.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// Pause when the slab is not there.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A check in the background; dropping it ends it.
pub(super) struct Rescan {
    done: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Rescan {
    /// Begins the check for an epoch, unless everything was checked in it before. `finished` is rung at the end.
    pub(super) async fn start(store: Arc<Store>, epoch: u64, finished: Arc<Notify>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let checked = {
            let store = Arc::clone(&store);
            let read = move || store.checked_epoch.get() >= epoch;
            tokio::task::spawn_blocking(read).await.unwrap_or(false)
        };
        if checked {
            done.store(true, Ordering::Relaxed);
        }
        let task = {
            let done = Arc::clone(&done);
            async move {
                if checked {
                    return;
                }
                check_all(&store, epoch).await;
                done.store(true, Ordering::Relaxed);
                finished.notify_one();
            }
        };
        Self {
            done,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Whether everything has been checked.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

async fn check_all(store: &Arc<Store>, epoch: u64) {
    let Some(keys) = keys(store).await else { return };
    let total = keys.len();
    tracing::info!(epoch, items = total, "checking all items for a new epoch");
    let (mut looked_at, mut damaged, mut reported) = (0, 0, Instant::now());
    for chunk in keys.chunks(ITEMS_AT_ONCE) {
        let (work_store, chunk) = (Arc::clone(store), chunk.to_vec());
        let length = chunk.len();
        let work = move || check(&work_store, &chunk);
        damaged += tokio::task::spawn_blocking(work).await.unwrap_or(0);
        looked_at += length;
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            tracing::info!(epoch, looked_at, total, damaged, "checking all items");
        }
    }
    tracing::info!(epoch, items = total, damaged, "all items are checked");
    let store = Arc::clone(store);
    let remember = move || store.checked_epoch.set(epoch);
    if let Ok(Err(error)) = tokio::task::spawn_blocking(remember).await {
        tracing::warn!("the check would be done again after a restart: {error:#}");
    }
}

async fn keys(store: &Arc<Store>) -> Option<Vec<CacheKey>> {
    let layout = loop {
        match store.layout() {
            Some(layout) => break layout,
            None => tokio::time::sleep(RETRY_PAUSE).await,
        }
    };
    let list = move || layout.slab.keys().into_iter().map(|(key, _)| key).collect();
    tokio::task::spawn_blocking(list).await.ok()
}

/// Reads items and returns how many were damaged.
fn check(store: &Store, keys: &[CacheKey]) -> usize {
    let Some(layout) = store.layout() else { return 0 };
    keys.iter()
        .filter(|key| matches!(layout.slab.verify(key), Lookup::Corrupt))
        .inspect(|_| store.damaged.notify_one())
        .count()
}

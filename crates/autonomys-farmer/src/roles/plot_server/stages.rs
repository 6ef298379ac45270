//! What every stage of a job is doing, and the watch over it.
//!
//! A stage reports how far it came ([`Track`]). One that does not come further for its limit is named in the log, with what it waits
//! for, and its attempt is abandoned ([`watch`], [`on_thread`]). What waits for its turn or for room on a disk is held back, not stuck:
//! that time does not count.

use anyhow::{Context, Result};
use autonomys_cluster::members::StageStatus;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A thread looks at its flag between records or parts of a file: one that has not come back after this hangs in the machine (a
/// device, a disk), and the memory that it holds cannot be had back.
const THREAD_RETURNS_WITHIN: Duration = Duration::from_secs(120);

/// Looks at the progress within a stage's limit: so well is known when it last came further.
const LOOKS: u32 = 8;

/// The stages that a job goes through here. Delivery, the fourth, is the farm's doing and is watched by [`super::delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its pieces are fetched.
    Fetch,
    /// Its records are encoded.
    Encode,
    /// The sector is written.
    Spool,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Encode => "encode",
            Self::Spool => "spool",
        }
    }

    /// Longest time without progress.
    pub(super) const fn limit(self) -> Duration {
        match self {
            // A controller has 60 s for a piece, and two may be asked one after the other.
            Self::Fetch => Duration::from_secs(150),
            // A record takes a second, several on a machine that does other things too.
            Self::Encode => Duration::from_secs(120),
            // 64 MiB are written and synced in one go; a disk that needs longer is broken or far too busy.
            Self::Spool => Duration::from_secs(90),
        }
    }

    /// What its progress counts.
    const fn unit(self) -> &'static str {
        match self {
            Self::Fetch => "pieces",
            Self::Encode => "records",
            Self::Spool => "bytes",
        }
    }
}

/// Progress of one job, for its watch and for the member record.
#[derive(Debug)]
pub(super) struct Track {
    sector: String,
    state: Mutex<State>,
    /// Apart from the rest, because encoding threads count here.
    done: AtomicU64,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    total: u64,
    waits_for: String,
    /// `done` when it was looked at last, and since when it has been that.
    seen: u64,
    since: Instant,
    restarts: u32,
}

impl Track {
    pub(super) fn new(sector: String) -> Arc<Self> {
        Arc::new(Self {
            sector,
            state: Mutex::new(State {
                stage: Stage::Fetch,
                total: 0,
                waits_for: String::new(),
                seen: 0,
                since: Instant::now(),
                restarts: 0,
            }),
            done: AtomicU64::new(0),
        })
    }

    /// A stage begins, from nothing.
    pub(super) fn enter(&self, stage: Stage, total: u64) {
        let mut state = self.state.lock();
        self.done.store(0, Ordering::Relaxed);
        state.stage = stage;
        state.total = total;
        state.waits_for.clear();
        state.seen = 0;
        state.since = Instant::now();
    }

    /// The stage is so far.
    pub(super) fn reached(&self, done: u64) {
        self.done.fetch_max(done, Ordering::Relaxed);
    }

    /// What it waits for from now on; empty when for nothing.
    pub(super) fn waits_for(&self, what: impl Into<String>) {
        self.state.lock().waits_for = what.into();
    }

    /// Waits for something that is not this job's to hasten: its turn, or room.
    pub(super) async fn held_back<T>(&self, by: String, until: impl Future<Output = T>) -> T {
        self.waits_for(by);
        let value = until.await;
        let mut state = self.state.lock();
        state.waits_for.clear();
        state.since = Instant::now();
        value
    }

    /// Time without progress.
    pub(super) fn idle(&self) -> Duration {
        let mut state = self.state.lock();
        let done = self.done.load(Ordering::Relaxed);
        if done != state.seen {
            state.seen = done;
            state.since = Instant::now();
        }
        state.since.elapsed()
    }

    /// The attempt is abandoned; another one has the full time. Gives the number of such ends of this job.
    pub(super) fn restarted(&self) -> u32 {
        let mut state = self.state.lock();
        state.restarts += 1;
        state.since = Instant::now();
        state.restarts
    }

    /// For the member record.
    pub(super) fn status(&self) -> StageStatus {
        let idle = self.idle();
        let state = self.state.lock();
        StageStatus {
            stage: state.stage.name().to_string(),
            sector: self.sector.clone(),
            done: self.done.load(Ordering::Relaxed),
            total: state.total,
            waits_for: state.waits_for.clone(),
            idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
            restarts: state.restarts,
        }
    }

    fn stalled(&self) -> Stalled {
        let state = self.state.lock();
        Stalled {
            sector: self.sector.clone(),
            stage: state.stage,
            done: self.done.load(Ordering::Relaxed),
            total: state.total,
            waits_for: state.waits_for.clone(),
        }
    }
}

/// A stage that made no progress for its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stalled {
    sector: String,
    pub(super) stage: Stage,
    done: u64,
    total: u64,
    waits_for: String,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sector,
            stage,
            done,
            total,
            waits_for,
        } = self;
        write!(
            f,
            "stage {} of sector {sector} made no progress for {:?} at {done} of {total} {}",
            stage.name(),
            stage.limit(),
            stage.unit()
        )?;
        if !waits_for.is_empty() {
            write!(f, ", waiting for {waits_for}")?;
        }
        Ok(())
    }
}

/// Runs an attempt at the track's stage until it ends, or makes no progress for the stage's limit: then it is dropped.
pub(super) async fn watch<T>(track: &Track, attempt: impl Future<Output = T>) -> Result<T, Stalled> {
    let limit = track.state.lock().stage.limit();
    watch_for(track, limit, attempt).await
}

async fn watch_for<T>(
    track: &Track,
    limit: Duration,
    attempt: impl Future<Output = T>,
) -> Result<T, Stalled> {
    tokio::pin!(attempt);
    loop {
        let left = limit.saturating_sub(track.idle());
        if left.is_zero() {
            return Err(track.stalled());
        }
        if let Ok(ended) = tokio::time::timeout(left.min(limit / LOOKS), &mut attempt).await {
            return Ok(ended);
        }
    }
}

/// Tells work on a thread to stop; dropping it tells so too.
#[derive(Debug, Clone, Default)]
pub(super) struct Abandon(Arc<AtomicBool>);

impl Abandon {
    /// What the work looks at.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Abandons the work when the future that waits for it is dropped.
struct AbandonOnDrop(Abandon);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.flag().store(true, Ordering::Relaxed);
    }
}

/// How work on a thread ended.
pub(super) enum OnThread<T> {
    /// By itself.
    Ended(T),
    /// It made no progress and was told to stop, which it did; what it returned then.
    Abandoned(Stalled, T),
    /// It made no progress and does not stop either.
    Hangs(Stalled),
}

/// Runs work on a blocking thread under the watch of the track's stage. The work owns whatever permits its memory is counted by, so
/// that they come back when it really has ended and not before.
pub(super) async fn on_thread<T: Send + 'static>(
    track: &Track,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<OnThread<T>> {
    let limit = track.state.lock().stage.limit();
    on_thread_for(track, limit, THREAD_RETURNS_WITHIN, work).await
}

async fn on_thread_for<T: Send + 'static>(
    track: &Track,
    limit: Duration,
    returns_within: Duration,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<OnThread<T>> {
    let abandon = AbandonOnDrop(Abandon::default());
    let flag = abandon.0.clone();
    let mut thread = tokio::task::spawn_blocking(move || work(flag.flag()));
    match watch_for(track, limit, &mut thread).await {
        Ok(ended) => Ok(OnThread::Ended(ended.context("a thread crashed")?)),
        Err(stalled) => {
            drop(abandon);
            match tokio::time::timeout(returns_within, thread).await {
                Ok(ended) => Ok(OnThread::Abandoned(stalled, ended.context("a thread crashed")?)),
                Err(_) => Ok(OnThread::Hangs(stalled)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Attempts that go on, that stop, and that hang. Where no thread is in play, on a clock that does not wait.

    use super::*;
    use std::sync::mpsc;

    /// Short enough for a test.
    const SOON: Duration = Duration::from_millis(20);
    /// Whatever a loaded machine does.
    const LONG: Duration = Duration::from_secs(60);

    fn track(stage: Stage) -> Arc<Track> {
        let track = Track::new("abcd 7".to_string());
        track.enter(stage, 10);
        track
    }

    #[tokio::test(start_paused = true)]
    async fn progress_keeps_an_attempt_alive() {
        let track = track(Stage::Fetch);
        let slowly = async {
            for piece in 1..=10 {
                tokio::time::sleep(Stage::Fetch.limit() - Duration::from_secs(1)).await;
                track.reached(piece);
            }
            "fetched"
        };
        assert_eq!(watch(&track, slowly).await, Ok("fetched"));
        assert_eq!(track.status().done, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_progress_is_named_and_dropped() {
        let track = track(Stage::Fetch);
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        let stuck = async {
            let _held = held;
            track.reached(4);
            track.waits_for("6 pieces that no member has");
            std::future::pending::<()>().await;
        };
        let started = Instant::now();
        let stalled = watch(&track, stuck).await.expect_err("it never ends");
        assert!(started.elapsed() < Stage::Fetch.limit() * 2);
        assert_eq!(
            stalled.to_string(),
            "stage fetch of sector abcd 7 made no progress for 150s at 4 of 10 pieces, waiting for 6 pieces that no member has"
        );
        assert_eq!(Arc::strong_count(&dropped), 1, "its memory is free");
        assert_eq!((track.restarted(), track.restarted()), (1, 2));
        assert_eq!(track.status().restarts, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_ones_turn_does_not_count() {
        let track = track(Stage::Fetch);
        track
            .held_back(
                "the encoder".to_string(),
                tokio::time::sleep(Duration::from_secs(3600)),
            )
            .await;
        assert_eq!(track.idle(), Duration::ZERO);
        assert_eq!(track.status().waits_for, "");
    }

    #[tokio::test]
    async fn a_thread_without_progress_is_told_to_stop_and_gives_back_what_it_holds() {
        let track = track(Stage::Encode);
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.expect("free");
        let ended = on_thread_for(&track, SOON, LONG, move |abandoned| {
            while !abandoned.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            drop(place);
            "stopped"
        });
        let Ok(OnThread::Abandoned(stalled, "stopped")) = ended.await else {
            panic!("it should have been abandoned")
        };
        assert_eq!(stalled.stage, Stage::Encode);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_thread_that_never_returns_keeps_its_place() {
        let track = track(Stage::Encode);
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.expect("free");
        let (end, hold) = mpsc::channel::<()>();
        let ended = on_thread_for(&track, SOON, SOON, move |_| {
            let _ = hold.recv();
            drop(place);
        });
        assert!(matches!(ended.await, Ok(OnThread::Hangs(_))));
        assert_eq!(
            places.available_permits(),
            0,
            "its memory is not free, so nobody else gets the place"
        );
        drop(end);
    }

    #[tokio::test]
    async fn a_thread_is_told_when_nobody_waits_for_it_any_more() {
        let track = track(Stage::Encode);
        let (told, tell) = mpsc::channel();
        let (started, start) = tokio::sync::oneshot::channel();
        let work = on_thread(&track, move |abandoned| {
            let _ = started.send(());
            while !abandoned.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let _ = told.send(());
        });
        tokio::select! {
            _ = work => panic!("it runs until it is told"),
            _ = start => {}
        }
        tell.recv_timeout(Duration::from_secs(30)).expect("told");
    }
}

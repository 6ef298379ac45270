//! What a proof-server has taken on, and what it can still take on in time.

use autonomys_cluster::Refusal;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::SBucket;
use subspace_core_primitives::pos::PosSeed;
use tokio::sync::{OwnedMutexGuard, watch};

/// No processor makes a proof in less.
const AT_LEAST: Duration = Duration::from_millis(50);

/// Which proof: the seed of the record and the s-bucket of the chunk.
type ProofKey = (PosSeed, SBucket);

/// What is told to the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Requests that are being proved or wait.
    pub(super) requests: u32,
    /// Proofs made since the start.
    pub(super) made: u64,
}

/// Requests taken on. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Workload(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Held by the request that is being proved.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
    load: watch::Sender<Load>,
}

#[derive(Default)]
struct State {
    taken: Vec<ProofKey>,
    /// When the proof in the making was begun.
    begun: Option<Instant>,
    /// What the last proof took.
    last: Option<Duration>,
}

impl State {
    fn estimate(&self) -> Duration {
        self.last.unwrap_or(AT_LEAST).max(AT_LEAST)
    }
}

/// A request that was taken on, until this is dropped.
pub(super) struct Place {
    workload: Workload,
    key: ProofKey,
    finish_by: Instant,
}

/// Leave to compute.
pub(super) struct TurnToProve {
    workload: Workload,
    begun: Instant,
    _turn: OwnedMutexGuard<()>,
}

impl Workload {
    /// Follows the load.
    pub(super) fn watch(&self) -> watch::Receiver<Load> {
        self.0.load.subscribe()
    }

    /// Takes a request on.
    ///
    /// # Errors
    /// When it is worked on already, or would not be done by `finish_by`.
    pub(super) fn enter(&self, key: ProofKey, finish_by: Instant) -> Result<Place, Refusal> {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        if state.taken.contains(&key) {
            return Err(Refusal::AlreadyWorking);
        }
        let estimate = state.estimate();
        // Those that wait take as long each; of the one in the making only the rest counts.
        let begun = state
            .begun
            .map_or(Duration::ZERO, |begun| now.duration_since(begun));
        let ahead = estimate * u32::try_from(state.taken.len()).unwrap_or(u32::MAX);
        let needed = estimate + ahead.saturating_sub(begun.min(estimate));
        let left = finish_by.saturating_duration_since(now);
        if needed > left {
            return Err(too_late(needed, left));
        }
        state.taken.push(key);
        self.tell(&state);
        Ok(Place {
            workload: self.clone(),
            key,
            finish_by,
        })
    }

    fn tell(&self, state: &State) {
        self.0
            .load
            .send_modify(|load| load.requests = u32::try_from(state.taken.len()).unwrap_or(u32::MAX));
    }
}

impl Place {
    /// Waits until the proofs before this one are made.
    ///
    /// # Errors
    /// When they took so long that this one would be late.
    pub(super) async fn turn(&self) -> Result<TurnToProve, Refusal> {
        let inner = &self.workload.0;
        let estimate = inner.state.lock().estimate();
        let begin_by = self.finish_by.checked_sub(estimate).unwrap_or(self.finish_by);
        let waiting = Arc::clone(&inner.turn).lock_owned();
        let Ok(turn) = tokio::time::timeout_at(begin_by.into(), waiting).await else {
            let left = self.finish_by.saturating_duration_since(Instant::now());
            return Err(too_late(inner.state.lock().estimate() * 2, left));
        };
        let begun = Instant::now();
        inner.state.lock().begun = Some(begun);
        Ok(TurnToProve {
            workload: self.workload.clone(),
            begun,
            _turn: turn,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.workload.0.state.lock();
        state.taken.retain(|key| *key != self.key);
        self.workload.tell(&state);
    }
}

impl TurnToProve {
    /// The proof is made; returns what it took.
    pub(super) fn done(self) -> Duration {
        let took = self.begun.elapsed();
        self.workload.0.state.lock().last = Some(took);
        self.workload.0.load.send_modify(|load| load.made += 1);
        took
    }
}

impl Drop for TurnToProve {
    fn drop(&mut self) {
        self.workload.0.state.lock().begun = None;
    }
}

fn too_late(needed: Duration, left: Duration) -> Refusal {
    let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Refusal::TooLate {
        needed_ms: ms(needed),
        left_ms: ms(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> ProofKey {
        (PosSeed::from([number; 32]), SBucket::from(7))
    }

    fn within(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[tokio::test]
    async fn what_cannot_be_done_in_time_is_refused_at_once() {
        let workload = Workload::default();
        let load = workload.watch();
        let refusal = |key, finish_by| workload.enter(key, finish_by).map(drop).expect_err("refused");
        let hopeless = refusal(key(1), within(10));
        assert!(
            matches!(
                hopeless,
                Refusal::TooLate {
                    needed_ms: 50,
                    left_ms: ..=10
                }
            ),
            "{hopeless}"
        );

        workload.0.state.lock().last = Some(Duration::from_millis(100));
        let first = workload.enter(key(1), within(3000)).expect("in time");
        let turn = first.turn().await.expect("nobody before it");
        assert_eq!(refusal(key(1), within(3000)), Refusal::AlreadyWorking);
        // The rest of the first, and its own time.
        let behind = refusal(key(2), within(99));
        assert!(
            matches!(
                behind,
                Refusal::TooLate {
                    needed_ms: 100..=200,
                    ..
                }
            ),
            "{behind}"
        );
        let second = workload
            .enter(key(2), within(230))
            .expect("in time behind the first");
        assert_eq!(load.borrow().requests, 2);
        // The first takes longer than it should have.
        let late = second.turn().await.map(drop).expect_err("the first is not done");
        assert!(matches!(late, Refusal::TooLate { .. }), "{late}");
        drop(second);
        turn.done();
        drop(first);
        assert_eq!(*load.borrow(), Load { requests: 0, made: 1 });
        workload
            .enter(key(1), within(30_000))
            .expect("free again")
            .turn()
            .await
            .expect("free");
    }
}

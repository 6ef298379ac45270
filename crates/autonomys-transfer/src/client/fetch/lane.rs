//! What a fetch knows of one peer: questions waiting for it, and when an answer of it is late.

use crate::client::pool::Peer;
use crate::key::ItemKey;
use crate::limits::{
    FETCH_GETS_PER_PEER, FETCH_KEYS_MIN, HEDGE_FIRST_UNKNOWN, HEDGE_ITEM_UNKNOWN, HEDGE_MIN, MAX_KEYS_PER_GET,
};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Identifies a question among all of a fetch.
pub(super) type QuestionId = u64;

/// One peer.
pub(super) struct Lane {
    pub(super) peer: Arc<Peer>,
    waiting: VecDeque<Waiting>,
    /// Keys that it takes in one Get.
    max_keys: usize,
    /// Gets under way.
    pub(super) gets: usize,
    /// Questions without an outcome, waiting ones among them.
    pub(super) open: usize,
    /// Of these, the late ones.
    pub(super) late: usize,
    /// It failed and has not delivered anything since.
    failed: bool,
    last_arrival: Instant,
    spacing: Spacing,
}

/// A question that has not been sent.
struct Waiting {
    id: QuestionId,
    key: ItemKey,
    /// Beyond what its want needs.
    spare: bool,
}

/// Time between arrivals while there is something to arrive: mean, and mean deviation from it.
#[derive(Default)]
struct Spacing {
    known: Option<(f64, f64)>,
}

impl Spacing {
    /// The weights are those of TCP's round-trip estimator, which serves the same purpose.
    fn add(&mut self, sample: Duration) {
        let sample = sample.as_secs_f64();
        self.known = Some(match self.known {
            None => (sample, sample / 2.0),
            Some((mean, deviation)) => {
                let error = sample - mean;
                (mean + error / 8.0, deviation + (error.abs() - deviation) / 4.0)
            }
        });
    }

    /// What nearly all are below.
    fn bound(&self) -> Duration {
        self.known.map_or(HEDGE_ITEM_UNKNOWN, |(mean, deviation)| {
            Duration::from_secs_f64(mean + 4.0 * deviation)
        })
    }
}

impl Lane {
    pub(super) fn new(peer: Arc<Peer>, now: Instant) -> Self {
        Self {
            peer,
            waiting: VecDeque::new(),
            max_keys: MAX_KEYS_PER_GET,
            gets: 0,
            open: 0,
            late: 0,
            failed: false,
            last_arrival: now,
            spacing: Spacing::default(),
        }
    }

    /// Queues a question and says how many stand before it.
    pub(super) fn add(&mut self, id: QuestionId, key: ItemKey, spare: bool) -> usize {
        self.waiting.push_back(Waiting { id, key, spare });
        self.open += 1;
        self.open - 1
    }

    /// Puts questions back that were too many for one Get.
    pub(super) fn put_back(&mut self, questions: Vec<(QuestionId, ItemKey)>, max_keys: usize) {
        self.max_keys = max_keys.max(1);
        let waiting = |(id, key)| Waiting {
            id,
            key,
            spare: false,
        };
        self.waiting.extend(questions.into_iter().map(waiting));
    }

    /// Takes a question that need not be asked any more out of the queue.
    pub(super) fn withdraw(&mut self, id: QuestionId) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    pub(super) fn arrived(&mut self, now: Instant, asked_at: Instant) {
        // The first after a pause has waited since it was asked for, not since the pause began.
        self.spacing.add(now - self.last_arrival.max(asked_at));
        self.last_arrival = now;
        self.failed = false;
    }

    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// Whether others should be asked before it: somebody waits for it already, or it failed a moment ago.
    pub(super) fn is_avoided(&self) -> bool {
        self.failed || self.late > 0
    }

    pub(super) fn last_arrival(&self) -> Instant {
        self.last_arrival
    }

    /// Past this time after the question an answer with `ahead` others before it is late. `usual` is the peer's 95th percentile of
    /// the time to a first answer.
    pub(super) fn patience(&self, usual: Option<Duration>, ahead: usize) -> Duration {
        let first = usual.unwrap_or(HEDGE_FIRST_UNKNOWN).max(HEDGE_MIN);
        first + self.spacing.bound() * u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    /// A question that was asked as a spare is needed now: another one of its want is late.
    pub(super) fn is_needed(&mut self, id: QuestionId) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.spare = false;
        }
    }

    /// Keys for the next Get, when one may be sent: an even share of those that wait, so that several are under way. Spares go when nothing
    /// else is under way: a line that has work carries what is needed, and most spares are not needed any more by then.
    pub(super) fn next_get(&mut self) -> Option<Vec<(QuestionId, ItemKey)>> {
        let places = FETCH_GETS_PER_PEER.saturating_sub(self.gets);
        let with_spares = self.gets == 0;
        let ready = match with_spares {
            true => self.waiting.len(),
            false => self.waiting.iter().filter(|waiting| !waiting.spare).count(),
        };
        if ready == 0 || places == 0 {
            return None;
        }
        let share = ready.div_ceil(places);
        let count = share.clamp(FETCH_KEYS_MIN, MAX_KEYS_PER_GET).min(self.max_keys);
        let (mut batch, mut later, mut keys) = (Vec::new(), VecDeque::new(), HashSet::new());
        while batch.len() < count
            && let Some(waiting) = self.waiting.pop_front()
        {
            // Two wants may want the same; a Get takes a key only once.
            if (with_spares || !waiting.spare) && keys.insert(waiting.key) {
                batch.push(waiting);
            } else {
                later.push_back(waiting);
            }
        }
        // Peers answer in this order: what may not be needed any more by then comes last.
        batch.sort_by_key(|waiting| waiting.spare);
        let batch = batch
            .into_iter()
            .map(|Waiting { id, key, .. }| (id, key))
            .collect();
        later.append(&mut self.waiting);
        self.waiting = later;
        self.gets += 1;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionKey;

    fn lane() -> Lane {
        let peer = Peer {
            member: String::new(),
            address: ([127, 0, 0, 1], 1).into(),
            session_key: SessionKey::from([0; 32]),
        };
        Lane::new(Arc::new(peer), Instant::now())
    }

    #[test]
    fn batches_share_what_waits_and_keep_a_key_once() {
        let mut lane = lane();
        for id in 0..64 {
            assert_eq!(lane.add(id, ItemKey::piece(0, id % 60), false), id as usize);
        }
        let mut asked = Vec::new();
        while let Some(batch) = lane.next_get() {
            let keys: HashSet<_> = batch.iter().map(|(_, key)| *key).collect();
            assert_eq!(keys.len(), batch.len());
            asked.extend(batch);
        }
        assert_eq!((asked.len(), lane.gets), (64, FETCH_GETS_PER_PEER));
        lane.gets = 0;
        lane.add(100, ItemKey::piece(0, 1), false);
        lane.add(101, ItemKey::piece(0, 1), false);
        lane.withdraw(100);
        assert_eq!(lane.next_get().unwrap(), [(101, ItemKey::piece(0, 1))]);
        assert_eq!(lane.next_get(), None);
    }

    #[test]
    fn spares_come_last_in_their_batch() {
        let mut lane = lane();
        for id in 0..8 {
            lane.add(id, ItemKey::piece(0, id), id % 3 == 0);
        }
        let batch = lane.next_get().unwrap();
        let order: Vec<_> = batch.into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [1, 2, 4, 5, 7, 0, 3, 6]);
    }

    #[test]
    fn spares_wait_while_others_are_under_way_unless_they_are_needed() {
        let mut lane = lane();
        lane.add(0, ItemKey::piece(0, 0), false);
        assert_eq!(lane.next_get().unwrap().len(), 1);
        lane.add(1, ItemKey::piece(0, 1), true);
        lane.add(2, ItemKey::piece(0, 2), true);
        assert_eq!(lane.next_get(), None);
        lane.add(3, ItemKey::piece(0, 3), false);
        assert_eq!(lane.next_get().unwrap(), [(3, ItemKey::piece(0, 3))]);
        lane.is_needed(2);
        assert_eq!(lane.next_get().unwrap(), [(2, ItemKey::piece(0, 2))]);
        assert_eq!(lane.next_get(), None);
        lane.gets = 0;
        assert_eq!(lane.next_get().unwrap(), [(1, ItemKey::piece(0, 1))]);
    }

    #[test]
    fn patience_grows_with_the_queue_and_follows_the_peer() {
        let mut lane = lane();
        assert_eq!(lane.patience(None, 0), HEDGE_FIRST_UNKNOWN);
        assert_eq!(lane.patience(Some(Duration::ZERO), 0), HEDGE_MIN);
        let usual = Some(Duration::from_millis(100));
        assert_eq!(
            lane.patience(usual, 10),
            Duration::from_millis(100) + HEDGE_ITEM_UNKNOWN * 10
        );
        let mut now = lane.last_arrival();
        let start = now;
        for _ in 0..100 {
            now += Duration::from_millis(2);
            lane.arrived(now, start);
        }
        let patience = lane.patience(usual, 10);
        assert!(patience >= Duration::from_millis(119), "{patience:?}");
        assert!(patience < Duration::from_millis(125), "{patience:?}");
    }
}

//! Reward signing: a request goes to every subscriber, and the first right answer within the deadline counts.

use autonomys_node_rpc::limits::REWARD_SIGNING_TIMEOUT;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::{RewardSignatureResponse, RewardSigningInfo};
use subspace_core_primitives::solutions::RewardSignature;
use tokio::sync::{broadcast, mpsc};

/// Signing requests buffered for one slow subscriber.
const REQUEST_BUFFER: usize = 64;

/// How reward signing went, and how long it took from the announcement of a hash to the first signature that verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningStatistics {
    /// Hashes that were announced and waited for.
    pub requested: u64,
    /// Those that were signed in time.
    pub signed: u64,
    /// The last delay in microseconds.
    pub last_us: u64,
    /// The longest delay in microseconds.
    pub longest_us: u64,
    /// All delays together in microseconds.
    pub total_us: u64,
}

struct Waiting {
    hash: Blake3Hash,
    /// One answer is taken for each subscriber that was asked.
    answers_left: usize,
    answers: mpsc::Sender<Option<RewardSignature>>,
}

/// Where signing requests leave and answers arrive.
pub struct SigningDesk {
    requests: broadcast::Sender<RewardSigningInfo>,
    waiting: Mutex<Option<Waiting>>,
    statistics: Mutex<SigningStatistics>,
}

impl Default for SigningDesk {
    fn default() -> Self {
        Self {
            requests: broadcast::Sender::new(REQUEST_BUFFER),
            waiting: Mutex::new(None),
            statistics: Mutex::default(),
        }
    }
}

impl SigningDesk {
    /// Requests for one more subscriber.
    pub fn subscribe(&self) -> broadcast::Receiver<RewardSigningInfo> {
        self.requests.subscribe()
    }

    /// Sends a request whose answers nobody waits for.
    pub fn announce(&self, info: RewardSigningInfo) {
        let _ = self.requests.send(info);
    }

    /// Takes an answer. Answers to anything but the current hash are ignored.
    pub fn answer(&self, response: RewardSignatureResponse) {
        let mut waiting = self.waiting.lock();
        let Some(current) = waiting.as_mut().filter(|waiting| waiting.hash == response.hash) else {
            return;
        };
        // The channel has room for all answers that are taken.
        let _ = current.answers.try_send(response.signature);
        current.answers_left -= 1;
        if current.answers_left == 0 {
            *waiting = None;
        }
    }

    /// Asks all subscribers (twice when `repeat` is set) for a signature by `public_key` and returns the first for which
    /// `is_valid` holds, `None` when there is none within half a second.
    pub async fn request(
        &self,
        hash: Blake3Hash,
        public_key: PublicKey,
        repeat: bool,
        is_valid: impl Fn(&RewardSignature) -> bool,
    ) -> Option<RewardSignature> {
        let subscribers = self.requests.receiver_count();
        if subscribers == 0 {
            return None;
        }
        let (answers, mut received) = mpsc::channel(subscribers);
        *self.waiting.lock() = Some(Waiting {
            hash,
            answers_left: subscribers,
            answers,
        });
        let info = RewardSigningInfo { hash, public_key };
        let announced = Instant::now();
        self.statistics.lock().requested += 1;
        self.announce(info);
        if repeat {
            self.announce(info);
        }
        let signature = tokio::time::timeout(REWARD_SIGNING_TIMEOUT, async {
            while let Some(answer) = received.recv().await {
                if let Some(signature) = answer {
                    if is_valid(&signature) {
                        return Some(signature);
                    }
                    tracing::warn!(%hash, "a wrong reward signature was ignored");
                }
            }
            None
        })
        .await
        .ok()
        .flatten();
        *self.waiting.lock() = None;
        if signature.is_some() {
            let delay = announced.elapsed();
            tracing::debug!(%hash, ?delay, "signed");
            let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
            let mut statistics = self.statistics.lock();
            statistics.signed += 1;
            statistics.last_us = delay;
            statistics.longest_us = statistics.longest_us.max(delay);
            statistics.total_us = statistics.total_us.saturating_add(delay);
        }
        signature
    }

    /// How it went so far.
    pub fn statistics(&self) -> SigningStatistics {
        *self.statistics.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const HASH: Blake3Hash = Blake3Hash([1; 32]);
    const KEY: PublicKey = PublicKey([2; 32]);
    const RIGHT: RewardSignature = RewardSignature([3; 64]);
    const WRONG: RewardSignature = RewardSignature([4; 64]);

    fn respond(desk: &SigningDesk, hash: Blake3Hash, signature: Option<RewardSignature>) {
        desk.answer(RewardSignatureResponse { hash, signature });
    }

    #[tokio::test]
    async fn first_right_answer_counts() {
        let desk = Arc::new(SigningDesk::default());
        assert_eq!(desk.request(HASH, KEY, false, |_| true).await, None);
        let mut requests: Vec<_> = (0..4).map(|_| desk.subscribe()).collect();
        let asking = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move {
                desk.request(HASH, KEY, false, |signature| *signature == RIGHT)
                    .await
            }
        });
        for receiver in &mut requests {
            assert_eq!(
                receiver.recv().await.unwrap(),
                RewardSigningInfo {
                    hash: HASH,
                    public_key: KEY
                }
            );
        }
        respond(&desk, Blake3Hash([9; 32]), Some(RIGHT));
        respond(&desk, HASH, Some(WRONG));
        respond(&desk, HASH, None);
        respond(&desk, HASH, Some(RIGHT));
        assert_eq!(asking.await.unwrap(), Some(RIGHT));
        respond(&desk, HASH, Some(RIGHT));
        let statistics = desk.statistics();
        assert_eq!((statistics.requested, statistics.signed), (1, 1));
        assert_eq!(statistics.total_us, statistics.longest_us);
    }

    #[tokio::test]
    async fn late_answers_have_no_effect() {
        let desk = Arc::new(SigningDesk::default());
        let mut requests = desk.subscribe();
        let started = std::time::Instant::now();
        assert_eq!(desk.request(HASH, KEY, true, |_| true).await, None);
        assert!(started.elapsed() >= REWARD_SIGNING_TIMEOUT);
        respond(&desk, HASH, Some(RIGHT));
        // Asked twice, as was wanted.
        assert_eq!(requests.recv().await.unwrap(), requests.recv().await.unwrap());
        // The late answer does not serve the next request with the same hash.
        assert_eq!(desk.request(HASH, KEY, false, |_| true).await, None);
    }

    #[tokio::test]
    async fn one_answer_for_each_subscriber() {
        let desk = Arc::new(SigningDesk::default());
        let mut requests = desk.subscribe();
        let asking = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move {
                desk.request(HASH, KEY, false, |signature| *signature == RIGHT)
                    .await
            }
        });
        requests.recv().await.unwrap();
        respond(&desk, HASH, Some(WRONG));
        respond(&desk, HASH, Some(RIGHT));
        assert_eq!(asking.await.unwrap(), None);
    }
}

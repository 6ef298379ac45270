//! Latencies and counters of one peer, from which callers decide when to hedge.

use crate::limits::{LATENCY_MIN_SAMPLES, LATENCY_SAMPLES};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is known about one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerStats {
    /// Requests sent.
    pub requests: u64,
    /// Items and sector chunks received.
    pub answers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Failed connection attempts and connections that broke.
    pub failures: u64,
    /// Median time from a request to the first frame of its answer; `None` until enough were measured.
    pub p50: Option<Duration>,
    /// The time that 95 of 100 requests stay below; past it, asking another peer too is worth it.
    pub p95: Option<Duration>,
}

/// Live counters behind [`PeerStats`].
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) requests: AtomicU64,
    answers: AtomicU64,
    bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    latencies: Mutex<VecDeque<Duration>>,
}

impl Statistics {
    pub(super) fn first_answer(&self, latency: Duration) {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        if latencies.len() == LATENCY_SAMPLES {
            latencies.pop_front();
        }
        latencies.push_back(latency);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> PeerStats {
        let mut latencies: Vec<_> = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect();
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            (latencies.len() >= LATENCY_MIN_SAMPLES).then(|| latencies[(latencies.len() - 1) * percent / 100])
        };
        PeerStats {
            requests: self.requests.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            p50: percentile(50),
            p95: percentile(95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_follow_the_latest_samples() {
        let statistics = Statistics::default();
        assert_eq!(statistics.snapshot().p95, None);
        for millis in 1..=100 {
            statistics.first_answer(Duration::from_millis(millis));
        }
        let stats = statistics.snapshot();
        assert_eq!(stats.p50, Some(Duration::from_millis(50)));
        assert_eq!(stats.p95, Some(Duration::from_millis(95)));
        for _ in 0..LATENCY_SAMPLES {
            statistics.first_answer(Duration::from_secs(1));
        }
        assert_eq!(statistics.snapshot().p50, Some(Duration::from_secs(1)));
        assert_eq!(statistics.latencies.lock().unwrap().len(), LATENCY_SAMPLES);
    }
}

//! How long proof-servers take, and from that when to ask a second one.

use std::collections::VecDeque;
use std::time::Duration;

/// Answers that are remembered: the proofs of some hours.
const REMEMBERED: usize = 32;
/// Before anybody has answered: longer than any processor of this decade takes.
const FIRST_GUESS: Duration = Duration::from_millis(1200);
/// A second request is a megabyte and a whole proof of work for nothing, so jitter alone must not cause it.
const AT_LEAST: Duration = Duration::from_millis(150);

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct Latencies(VecDeque<Duration>);

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(latency);
    }

    /// An answer that is not here after this time is unusual: one and a half times what nine of ten take.
    pub(super) fn unusual(&self) -> Duration {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let ninth = sorted.get((sorted.len() * 9 / 10).min(sorted.len().saturating_sub(1)));
        ninth.map_or(FIRST_GUESS, |ninth| (*ninth * 3 / 2).max(AT_LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_answer_of_many_changes_little() {
        let millis = Duration::from_millis;
        let mut latencies = Latencies::default();
        assert_eq!(latencies.unusual(), FIRST_GUESS);
        latencies.add(millis(400));
        assert_eq!(latencies.unusual(), millis(600));
        for _ in 0..20 {
            latencies.add(millis(300));
        }
        latencies.add(millis(3000));
        assert_eq!(latencies.unusual(), millis(450));
        for _ in 0..REMEMBERED {
            latencies.add(millis(10));
        }
        assert_eq!(latencies.unusual(), AT_LEAST);
        assert_eq!(latencies.0.len(), REMEMBERED);
    }
}

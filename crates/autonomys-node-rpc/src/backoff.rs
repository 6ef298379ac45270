//! Pauses between attempts to connect: doubling with jitter.

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};
use rand::Rng;
use std::time::Duration;

/// The state of a doubling pause.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Pause before the next attempt: between half and all of the doubled pause, so that clients spread out.
    pub fn next_pause(&mut self) -> Duration {
        let full = BACKOFF_MIN
            .saturating_mul(1 << self.attempts.min(10))
            .min(BACKOFF_MAX);
        self.attempts = self.attempts.saturating_add(1);
        full.mul_f64(rand::rng().random_range(0.5..=1.0)).max(BACKOFF_MIN)
    }

    /// Pauses taken since the last [`Self::reset`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins with the shortest pause again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_limit_and_starts_over() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_pause(), BACKOFF_MIN);
        for attempt in 1..20 {
            let full = (BACKOFF_MIN * (1 << attempt.min(10))).min(BACKOFF_MAX);
            let pause = backoff.next_pause();
            assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause:?}");
        }
        assert_eq!(backoff.attempts(), 20);
        backoff.reset();
        assert_eq!(backoff.next_pause(), BACKOFF_MIN);
    }
}

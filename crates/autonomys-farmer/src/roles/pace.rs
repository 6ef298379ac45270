//! Keeps work that nobody waits for (copying of old items, looking for damage) below a rate, so that readers go first.

use std::time::Duration;
use tokio::time::Instant;

/// So many bytes a second on average.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u64,
    /// Before this nothing more is done.
    free_at: Instant,
}

impl Pace {
    /// At least one byte a second.
    pub(crate) fn new(per_second: u64) -> Self {
        Self {
            per_second: per_second.max(1),
            free_at: Instant::now(),
        }
    }

    /// Waits until more may be done.
    pub(crate) async fn wait(&self) {
        tokio::time::sleep_until(self.free_at).await;
    }

    /// So many bytes were copied, or read, since `started`.
    pub(crate) fn copied(&mut self, bytes: u64, started: Instant) {
        let share = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        // Time that was not used is not saved up for a burst.
        self.free_at = self.free_at.max(started) + share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_not_saved_up() {
        let mut pace = Pace::new(1000);
        let begin = Instant::now();
        for _ in 0..4 {
            pace.wait().await;
            pace.copied(500, Instant::now());
        }
        pace.wait().await;
        assert!(begin.elapsed() >= Duration::from_secs(2));
        tokio::time::sleep(Duration::from_secs(100)).await;
        let begin = Instant::now();
        pace.copied(3000, begin);
        pace.wait().await;
        assert!(begin.elapsed() >= Duration::from_secs(3));
    }
}

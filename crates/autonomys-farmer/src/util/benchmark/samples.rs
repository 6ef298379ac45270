//! Measured times, and how they are told.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Repeated measurements of one thing, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Spread {
    pub(super) median_ms: f64,
    pub(super) least_ms: f64,
    pub(super) most_ms: f64,
}

impl Spread {
    /// Of at least one sample.
    pub(super) fn of(samples: &[Duration]) -> Self {
        let mut ms: Vec<f64> = samples
            .iter()
            .map(|sample| sample.as_secs_f64() * 1000.0)
            .collect();
        ms.sort_by(f64::total_cmp);
        let at = |index: usize| ms.get(index).copied().unwrap_or_default();
        Self {
            median_ms: at(ms.len() / 2),
            least_ms: at(0),
            most_ms: at(ms.len().saturating_sub(1)),
        }
    }
}

/// Wall time and processor time of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    wall: Instant,
    processor: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self {
            wall: Instant::now(),
            processor: processor_time(),
        }
    }

    /// Wall and processor time since the start.
    pub(super) fn elapsed(&self) -> (Duration, Duration) {
        (
            self.wall.elapsed(),
            processor_time().saturating_sub(self.processor),
        )
    }
}

/// What all threads of this process have computed so far, those of the kernel that work for it included.
fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_ends() {
        let samples = [9, 1, 5, 2, 100].map(Duration::from_millis);
        let spread = Spread::of(&samples);
        assert_eq!(
            (spread.median_ms, spread.least_ms, spread.most_ms),
            (5.0, 1.0, 100.0)
        );
    }

    #[test]
    fn processor_time_counts_work_and_not_waiting() {
        let watch = Stopwatch::start();
        let mut sum = 0_u64;
        while watch.elapsed().1 < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(watch.elapsed().0 > Duration::ZERO && sum > 0);
    }
}

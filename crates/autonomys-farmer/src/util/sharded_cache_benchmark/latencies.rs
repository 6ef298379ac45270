//! Exact percentiles of times.

use serde::Serialize;
use std::time::Duration;

/// Times that are kept: 256 MiB of memory, the first 67 000 sectors of 1000 pieces. Of a longer run these speak for the rest.
const MAX_KEPT: usize = 64 * 1024 * 1024;

/// Times of many steps in microseconds: four bytes each, so a sector of 1000 pieces costs 4 kB.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u32>);

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Latencies {
    /// One more; longer ones than 71 minutes count as that.
    pub(super) fn record(&mut self, took: Duration) {
        if self.0.len() < MAX_KEPT {
            self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The smallest times that 50, 95, 99 and 100 percent of the steps did not exceed; `None` without any step.
    pub(super) fn percentiles(&mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1)?;
        let at = |percent: usize| {
            let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1).min(last);
            f64::from(self.0[rank]) / 1000.0
        };
        Some(Percentiles {
            p50: at(50),
            p95: at(95),
            p99: at(99),
            max: at(100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        assert_eq!(Latencies::default().percentiles(), None);
        let mut latencies = Latencies::default();
        (1..=200)
            .rev()
            .for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let expected = Percentiles {
            p50: 100.0,
            p95: 190.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(latencies.percentiles(), Some(expected));
        let mut one = Latencies::default();
        one.record(Duration::from_micros(1500));
        let percentiles = one.percentiles().unwrap();
        assert_eq!((percentiles.p50, percentiles.max), (1.5, 1.5));
    }
}

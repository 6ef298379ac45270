//! What the benchmark found, for people and for scripts.

use super::latencies::Percentiles;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The result of a run; serialised as the one line of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) cluster: String,
    pub(super) cache_item_type: String,
    /// Segments that pieces were chosen from.
    pub(super) history_size: u64,
    pub(super) epochs: Vec<Epoch>,
    pub(super) sectors_per_epoch: u16,
    pub(super) pieces_in_sector: u16,
    /// Pieces fetched in all; a sector fetches each of its pieces once, however often it holds it.
    pub(super) pieces: u64,
    /// Bytes of those pieces.
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) bytes_per_second: f64,
    pub(super) items_per_second: f64,
    /// Request to whole, checked piece, in milliseconds.
    pub(super) item_ms: Option<Percentiles>,
    /// First request to last piece of a sector, in milliseconds.
    pub(super) sector_ms: Option<Percentiles>,
    /// Pieces that no sharded cache gave: they came from elsewhere, or not at all.
    pub(super) misses: u64,
    /// Pieces that nobody gave.
    pub(super) not_found: u64,
    /// Pieces that are not what the chain has; present with `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrong: Option<u64>,
    /// Bytes that came from each instance, shards that were asked for in reserve included.
    pub(super) bytes_per_instance: BTreeMap<String, u64>,
    /// Present with `--baseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<Baseline>,
    /// The caches' throughput over that of the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fraction_of_tcp: Option<f64>,
}

/// One pass over all sectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Epoch {
    pub(super) seconds: f64,
    pub(super) bytes_per_second: f64,
    pub(super) items_per_second: f64,
}

/// The plain TCP copy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Baseline {
    /// Where it was measured, or why it was not.
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Throughput of all copies together: before, between and after the epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_per_second: Option<f64>,
}

impl Epoch {
    pub(super) fn new(pieces: u64, bytes: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            seconds,
            bytes_per_second: rate(bytes, seconds),
            items_per_second: rate(pieces, seconds),
        }
    }
}

/// Something a second; 0 when nothing took no time.
pub(super) fn rate(amount: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        amount as f64 / seconds
    } else {
        0.0
    }
}

const MEGA: f64 = 1e6;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pieces of {} sectors, {} epochs, {} from {} segments in {:.2} s",
            self.pieces,
            self.sectors_per_epoch,
            self.epochs.len(),
            self.cache_item_type,
            self.history_size,
            self.seconds
        )?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, bytes: f64, items: f64| {
            writeln!(f, "{name:<12} {:>10.1} MB/s {items:>10.1} items/s", bytes / MEGA)
        };
        line(f, "throughput", self.bytes_per_second, self.items_per_second)?;
        if self.epochs.len() > 1 {
            for (number, epoch) in (1..).zip(&self.epochs) {
                let name = format!("  epoch {number}");
                line(f, &name, epoch.bytes_per_second, epoch.items_per_second)?;
            }
        }
        for (name, percentiles) in [("an item", self.item_ms), ("a sector", self.sector_ms)] {
            if let Some(Percentiles { p50, p95, p99, max }) = percentiles {
                writeln!(
                    f,
                    "{name:<12} p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, longest {max:.2} ms"
                )?;
            }
        }
        writeln!(
            f,
            "misses       {} not from a sharded cache, {} of them from nowhere",
            self.misses, self.not_found
        )?;
        if let Some(wrong) = self.wrong {
            writeln!(f, "checked      all of them, {wrong} wrong")?;
        }
        for (instance, bytes) in &self.bytes_per_instance {
            writeln!(f, "  {instance} {:.1} MB", *bytes as f64 / MEGA)?;
        }
        if let Some(baseline) = &self.baseline {
            match (baseline.bytes_per_second, self.fraction_of_tcp) {
                (Some(tcp), Some(fraction)) => writeln!(
                    f,
                    "plain TCP    {:>10.1} MB/s over {}; the caches reach {:.1} % of it",
                    tcp / MEGA,
                    baseline.path,
                    fraction * 100.0
                )?,
                _ => writeln!(f, "plain TCP    not measured: {}", baseline.path)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_all_that_an_operator_asks_for() {
        let percentiles = Percentiles {
            p50: 1.0,
            p95: 2.0,
            p99: 3.0,
            max: 4.0,
        };
        let report = Report {
            cluster: "default".to_string(),
            cache_item_type: "piece".to_string(),
            history_size: 8,
            epochs: vec![Epoch::new(10, 20_000_000, Duration::from_secs(2)); 2],
            sectors_per_epoch: 1,
            pieces_in_sector: 10,
            pieces: 20,
            bytes: 40_000_000,
            seconds: 4.0,
            bytes_per_second: rate(40_000_000, 4.0),
            items_per_second: rate(20, 4.0),
            item_ms: Some(percentiles),
            sector_ms: Some(percentiles),
            misses: 1,
            not_found: 0,
            wrong: Some(0),
            bytes_per_instance: [("sharded-cache.A".to_string(), 40_000_000)].into(),
            baseline: Some(Baseline {
                path: "127.0.0.1".to_string(),
                bytes: 40_000_000,
                bytes_per_second: Some(20_000_000.0),
            }),
            fraction_of_tcp: Some(0.5),
        };
        let text = report.to_string();
        for words in [
            "20 pieces",
            "10.0 MB/s",
            "epoch 2",
            "p99 3.00 ms",
            "misses       1",
            "all of them, 0 wrong",
            "sharded-cache.A 40.0 MB",
            "50.0 % of it",
        ] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["item_ms"]["p95"], 2.0);
        assert_eq!(json["fraction_of_tcp"], 0.5);
        assert_eq!(rate(1, 0.0), 0.0);
    }
}

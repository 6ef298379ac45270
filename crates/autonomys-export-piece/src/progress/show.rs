//! The three ways to show progress.

use super::{Meter, Reading};
use crate::error::FailedSegment;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::segments::SegmentIndex;

/// How often a bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(500);
/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far a run is.
pub struct Progress {
    meter: Arc<Meter>,
    bar: Option<ProgressBar>,
    json: bool,
    begin: Instant,
    last: (Instant, Reading),
}

impl Progress {
    /// A bar when standard error is a terminal, else lines of the log; JSON lines on standard output when they are wanted.
    pub fn new(meter: Arc<Meter>, json: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !json).then(|| {
            let bar = ProgressBar::new(0);
            bar.set_style(
                ProgressStyle::with_template("{bar:30} {pos}/{len} segments {elapsed_precise} {msg}")
                    .expect("a valid template"),
            );
            bar
        });
        let now = Instant::now();
        let last = (now, meter.read());
        Self {
            meter,
            bar,
            json,
            begin: now,
            last,
        }
    }

    /// Pause between two looks.
    pub fn interval(&self) -> Duration {
        if self.bar.is_some() {
            BAR_INTERVAL
        } else {
            LINE_INTERVAL
        }
    }

    /// Shows the numbers now.
    pub fn show(&mut self) {
        let now = Instant::now();
        let reading = self.meter.read();
        let rates = Rates::between(&self.last.1, &reading, now - self.last.0);
        self.last = (now, reading);
        let eta = eta(&reading, now - self.begin);
        if let Some(bar) = &self.bar {
            bar.set_length(reading.total);
            bar.set_position(reading.done + reading.failed);
            bar.set_message(rates.text(eta, reading.bottleneck));
        } else if self.json {
            print_line(&json!({
                "event": "progress", "segments_done": reading.done, "segments_failed": reading.failed,
                "segments_total": reading.total, "blocks_per_second": rates.blocks, "bytes_per_second": rates.bytes,
                "eta_seconds": eta.map(|eta| eta.as_secs()), "bottleneck": reading.bottleneck,
            }));
        } else if reading.done + reading.failed < reading.total {
            tracing::info!(
                "segments {}/{} · {}",
                reading.done,
                reading.total,
                rates.text(eta, reading.bottleneck)
            );
        }
    }

    /// A segment is in its file.
    pub fn segment_done(&self, segment_index: SegmentIndex, took: Duration) {
        if self.json {
            print_line(&json!({
                "event": "segment", "segment": segment_index.get(), "seconds": took.as_secs_f64(),
            }));
        }
        // A bar counts them.
        if self.bar.is_none() {
            tracing::info!(segment = %segment_index, took = ?took, "segment exported");
        }
    }

    /// A segment could not be made.
    pub fn segment_failed(&self, failed: &FailedSegment) {
        let FailedSegment { segment_index, error } = failed;
        if self.json {
            print_line(&json!({
                "event": "segment_failed", "segment": segment_index.get(), "reason": error.to_string(),
            }));
        }
        let line = || tracing::error!(segment = %segment_index, "segment failed: {error}");
        match &self.bar {
            Some(bar) => bar.suspend(line),
            None => line(),
        }
    }

    /// The end, and the list of what failed.
    pub fn end(&self, failed: &[FailedSegment], remaining: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.meter.read().done);
            bar.abandon();
        }
        let reading = self.meter.read();
        let seconds = self.begin.elapsed().as_secs_f64();
        if self.json {
            print_line(&json!({
                "event": "end", "segments_done": reading.done, "segments_remaining": remaining,
                "failed": failed.iter().map(|failed| failed.segment_index.get()).collect::<Vec<_>>(),
                "blocks": reading.blocks, "bytes": reading.bytes, "seconds": seconds,
            }));
        }
        tracing::info!(
            segments = reading.done,
            failed = failed.len(),
            remaining,
            blocks = reading.blocks,
            "ended after {seconds:.1} s"
        );
        for FailedSegment { segment_index, error } in failed {
            eprintln!("segment {segment_index} failed: {error}");
        }
    }
}

/// A line for a script; one that went away is no reason to stop.
fn print_line(value: &serde_json::Value) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{value}").and_then(|()| output.flush());
}

struct Rates {
    blocks: f64,
    bytes: f64,
}

impl Rates {
    fn between(before: &Reading, now: &Reading, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(0.001);
        Self {
            blocks: (now.blocks - before.blocks) as f64 / seconds,
            bytes: (now.bytes - before.bytes) as f64 / seconds,
        }
    }

    fn text(&self, eta: Option<Duration>, bottleneck: &str) -> String {
        let eta = eta.map_or("?".to_string(), |eta| {
            let seconds = eta.as_secs();
            format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        });
        format!(
            "{:.0} blocks/s · {:.1} MB/s · ETA {eta} · bottleneck {bottleneck}",
            self.blocks,
            self.bytes / 1e6
        )
    }
}

/// Time that is left at the pace of this run so far; unknown before the first segment.
fn eta(reading: &Reading, elapsed: Duration) -> Option<Duration> {
    let finished = reading.done + reading.failed;
    let left = reading.total.saturating_sub(finished);
    (finished > 0).then(|| elapsed.mul_f64(left as f64 / finished as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_time_left() {
        let reading = |blocks, bytes, done| Reading {
            blocks,
            bytes,
            done,
            failed: 0,
            total: 8,
            bottleneck: "fetch",
        };
        let rates = Rates::between(
            &reading(0, 0, 0),
            &reading(500, 20_000_000, 2),
            Duration::from_secs(10),
        );
        assert_eq!(eta(&reading(0, 0, 0), Duration::from_secs(10)), None);
        let eta = eta(&reading(500, 20_000_000, 2), Duration::from_secs(1300));
        assert_eq!(
            rates.text(eta, "fetch"),
            "50 blocks/s · 2.0 MB/s · ETA 1:05:00 · bottleneck fetch"
        );
    }
}

//! How the audits of one farm go: a line in the log each, and a summary every few minutes.

use autonomys_farm::reads::TimedAudit;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a farm is summed up.
const SUMMARY_EVERY: Duration = Duration::from_secs(600);

/// Since the last summary.
#[derive(Debug)]
pub(super) struct Statistics {
    since: Instant,
    audits: u32,
    took: Duration,
    longest: Duration,
    skipped: u32,
    late: u32,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            audits: 0,
            took: Duration::ZERO,
            longest: Duration::ZERO,
            skipped: 0,
            late: 0,
        }
    }
}

impl Statistics {
    /// A slot came before the last audit had ended.
    pub(super) fn skipped(&mut self) {
        self.skipped += 1;
    }

    /// An audit was not over in time.
    pub(super) fn late(&mut self) {
        self.late += 1;
    }

    pub(super) fn audited(&mut self, directory: &Path, timed: &TimedAudit) {
        let TimedAudit {
            audit,
            engine,
            sectors,
            took,
        } = timed;
        self.audits += 1;
        self.took += *took;
        self.longest = self.longest.max(*took);
        let unreadable = audit.errors.len();
        tracing::debug!(
            directory = %directory.display(), sectors, winning = audit.results.len(), unreadable, %engine,
            microseconds = took.as_micros(), "farm audited"
        );
        if self.since.elapsed() < SUMMARY_EVERY {
            return;
        }
        let Self {
            audits,
            took,
            longest,
            skipped,
            late,
            ..
        } = std::mem::take(self);
        tracing::info!(
            directory = %directory.display(), sectors, unreadable, audits, %engine,
            mean_ms = took.as_secs_f64() * 1000.0 / f64::from(audits), longest_ms = longest.as_millis(),
            slots_skipped = skipped, slots_late = late,
            "audits of the last minutes"
        );
    }
}

//! Progress of a long command: a bar on a terminal, now and then a line in a log.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A log gets at most one line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Counts steps up to a total, on standard error.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
    logged: Instant,
}

impl Progress {
    /// Begins at zero; `what` names the steps, as in "pieces".
    pub(super) fn start(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            bar.set_style(
                ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg} ({eta} left)")
                    .expect("a valid template")
                    .progress_chars("=> "),
            );
            bar.set_message(what);
            bar
        });
        Self {
            what,
            total,
            done: 0,
            bar,
            logged: Instant::now(),
        }
    }

    /// That many steps more.
    pub(super) fn add(&mut self, steps: u64) {
        self.set(self.done + steps);
    }

    /// That many steps in all.
    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.logged.elapsed() >= LOG_INTERVAL => {
                self.logged = Instant::now();
                tracing::info!("{} of {} {}", self.done, self.total, self.what);
            }
            None => {}
        }
    }

    /// Removes the bar, so that results stand alone.
    pub(super) fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

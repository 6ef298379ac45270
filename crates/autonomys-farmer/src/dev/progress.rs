//! Progress of a development cluster: a line that changes on a terminal, a line a change in a log.

use super::watch::State;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A log gets at most one line in this time, unless a reward came in.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Shows states.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    wanted_rewards: Option<u64>,
    last: Option<(Instant, State)>,
}

impl Progress {
    pub(super) fn start(wanted_rewards: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("a valid template"),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            wanted_rewards,
            last: None,
        }
    }

    pub(super) fn show(&mut self, state: &State) {
        let line = self.line(state);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None => {
                let due = self.last.as_ref().is_none_or(|(shown, last)| {
                    last != state && (shown.elapsed() >= LOG_INTERVAL || last.rewards != state.rewards)
                });
                if !due {
                    return;
                }
                tracing::info!("{line}");
            }
        }
        self.last = Some((Instant::now(), state.clone()));
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }

    fn line(&self, state: &State) -> String {
        let rewards = match self.wanted_rewards {
            Some(wanted) => format!("{}/{wanted}", state.rewards),
            None => state.rewards.to_string(),
        };
        format!(
            "segments {} · pieces cached {} · sectors {}/{} · slots audited {} · solutions {} · rewards {rewards}",
            state.segments,
            state.cached_pieces,
            state.sectors,
            state.target_sectors,
            state.audited_slots,
            state.solutions
        )
    }
}

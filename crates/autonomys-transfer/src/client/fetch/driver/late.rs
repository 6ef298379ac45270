//! Questions that take longer than they should: others are asked too, and peers that hang are given up.

use super::{Driver, Outcome};
use crate::error::TransferError;
use crate::limits::SPARE_GRACE;
use std::collections::HashMap;
use tokio::time::Instant;

impl Driver {
    /// Those that are complete with a spare have waited long enough for what it stands in for.
    pub(super) fn finish_ripe_ones(&mut self) {
        let is_ripe = |active: &super::Active| {
            active
                .ripe_since
                .is_some_and(|since| since.elapsed() >= SPARE_GRACE)
        };
        let ripe: Vec<_> = self
            .active
            .iter()
            .filter(|(_, active)| is_ripe(active))
            .map(|(number, _)| *number)
            .collect();
        for number in ripe {
            self.finish(number);
        }
    }

    /// Spares of this want that still wait for their line to have nothing else to do do so no longer.
    pub(super) fn send_spares(&mut self, want: usize) {
        let Some(active) = self.active.get(&want) else {
            return;
        };
        for (id, _) in &active.asked {
            if let Some(question) = self.questions.get(id)
                && question.get.is_none()
                && let Some(lane) = self.lanes.get_mut(&question.lane)
            {
                lane.is_needed(*id);
            }
        }
    }

    pub(super) fn look_for_late_ones(&mut self) {
        let now = Instant::now();
        let usual: HashMap<_, _> = self
            .lanes
            .iter()
            .map(|(name, lane)| {
                let stats = self.pool.stats(&lane.peer.member, lane.peer.address);
                (name.clone(), stats.and_then(|stats| stats.p95))
            })
            .collect();
        let (mut failed, mut waited_for) = (Vec::new(), Vec::new());
        for (id, question) in &mut self.questions {
            let Some(lane) = self.lanes.get_mut(&question.lane) else {
                continue;
            };
            let silent_since = lane.last_arrival().max(question.asked_at);
            if now - silent_since >= self.options.item_deadline {
                failed.push(*id);
                lane.failed();
            }
            let usual = usual.get(&question.lane).copied().flatten();
            if !question.late && now - question.asked_at >= lane.patience(usual, question.ahead) {
                question.late = true;
                lane.late += 1;
                if let Some(active) = self.active.get_mut(&question.want) {
                    active.progress.mark_late(question.number);
                }
            }
            if question.late {
                waited_for.push(question.want);
            }
        }
        for id in failed {
            if let Some(question) = self.questions.get(&id) {
                let (want, number) = (question.want, question.number);
                let waited = now - question.asked_at;
                self.withdraw(id);
                if let Some(active) = self.active.get_mut(&want) {
                    let outcome = Outcome::Failed(TransferError::DeadlineExceeded);
                    active.progress.settle(number, Err(outcome), waited);
                    self.advance(want);
                }
            }
        }
        waited_for.sort_unstable();
        waited_for.dedup();
        for want in waited_for {
            self.send_spares(want);
            self.advance(want);
        }
    }
}

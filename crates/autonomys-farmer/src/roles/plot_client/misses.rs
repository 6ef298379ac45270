//! Wins that became no solution, and slots that a farm was not audited in: each with its reason in the log and in the journal.
//!
//! Nothing here may delay the next slot, so the journal is written by a task of its own, from a bounded queue.

use super::slot::Slot;
use anyhow::Result;
use autonomys_cluster::journal::{MissReason, MissedWin, SolutionJournal};
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::sectors::SectorIndex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Misses that wait for the journal; more are only logged. A farm has a handful a slot at the very worst.
const QUEUE: usize = 256;
/// A farm that misses slot after slot for one reason is told this often, with the number of slots.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// The journal is given this long for the last words when the process stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes note of misses.
#[derive(Clone)]
pub(super) struct Misses {
    queue: mpsc::Sender<MissedWin>,
}

impl Misses {
    /// The handle and the task that writes the journal until told to stop.
    pub(super) fn start(
        journal: SolutionJournal,
        cancel: CancellationToken,
    ) -> (Self, impl Future<Output = Result<()>> + Send) {
        let (queue, misses) = mpsc::channel(QUEUE);
        (Self { queue }, write(journal, misses, cancel))
    }

    /// `count` wins of a farm are lost, of which this is the nearest.
    pub(super) fn wins(
        &self,
        slot: &Slot,
        public_key: PublicKey,
        nearest: (SectorIndex, PieceOffset),
        count: u32,
        reason: MissReason,
    ) {
        // That is the chain's rule, and nothing that anybody could do better.
        if reason == MissReason::SlotClosed {
            tracing::debug!(slot = slot.number(), farm = %public_key, wins = count, "wins are of no use: {reason}");
        } else {
            tracing::warn!(
                slot = slot.number(), farm = %public_key, sector = nearest.0, piece = nearest.1.get(), wins = count,
                after_ms = slot.ms_now(), "a win was missed: {reason}"
            );
        }
        self.note(slot, public_key, Some(nearest), count, reason);
    }

    /// A farm was not audited.
    pub(super) fn slot(&self, slot: &Slot, public_key: PublicKey, reason: MissReason) {
        tracing::warn!(
            slot = slot.number(), farm = %public_key, after_ms = slot.ms_now(),
            "a farm missed a slot, its disk or the processors are too slow: {reason}"
        );
        self.note(slot, public_key, None, 1, reason);
    }

    fn note(
        &self,
        slot: &Slot,
        public_key: PublicKey,
        winner: Option<(SectorIndex, PieceOffset)>,
        count: u32,
        reason: MissReason,
    ) {
        let missed = MissedWin {
            public_key,
            slot: slot.number(),
            winner,
            count,
            announced_at: slot.announced_at,
            after_ms: slot.ms_now(),
            reason,
        };
        if self.queue.try_send(missed).is_err() {
            tracing::debug!("a miss is not journalled: too many at once");
        }
    }
}

/// Slots of one farm that were missed for one reason.
#[derive(Default)]
struct Run {
    told: Option<Instant>,
    /// Not told yet.
    waiting: Option<MissedWin>,
}

/// Misses of whole slots by farm and reason.
#[derive(Default)]
struct Runs(HashMap<(PublicKey, Discriminant<MissReason>), Run>);

impl Runs {
    /// What to write now that this was missed.
    fn add(&mut self, missed: MissedWin, now: Instant) -> Option<MissedWin> {
        if missed.winner.is_some() {
            return Some(missed);
        }
        let run = self
            .0
            .entry((missed.public_key, discriminant(&missed.reason)))
            .or_default();
        let count = run.waiting.take().map_or(0, |waiting| waiting.count);
        let missed = MissedWin {
            count: missed.count.saturating_add(count),
            ..missed
        };
        if run.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            run.waiting = Some(missed);
            return None;
        }
        run.told = Some(now);
        Some(missed)
    }

    /// What has waited long enough; everything when the end has come. Farms that miss nothing any more are forgotten.
    fn due(&mut self, now: Instant, all: bool) -> Vec<MissedWin> {
        let mut due = Vec::new();
        self.0.retain(|_, run| {
            if !all && run.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
                return true;
            }
            match run.waiting.take() {
                Some(missed) => {
                    run.told = Some(now);
                    due.push(missed);
                    true
                }
                None => false,
            }
        });
        due
    }
}

async fn write(
    journal: SolutionJournal,
    mut misses: mpsc::Receiver<MissedWin>,
    cancel: CancellationToken,
) -> Result<()> {
    let mut runs = Runs::default();
    let mut tick = tokio::time::interval(TOLD_EVERY);
    loop {
        let due = tokio::select! {
            () = cancel.cancelled() => break,
            Some(missed) = misses.recv() => runs.add(missed, Instant::now()).into_iter().collect(),
            _ = tick.tick() => runs.due(Instant::now(), false),
        };
        tokio::select! {
            () = record(&journal, due) => {}
            () = cancel.cancelled() => break,
        }
    }
    let mut last = runs.due(Instant::now(), true);
    while let Ok(missed) = misses.try_recv() {
        last.push(missed);
    }
    // NATS may be away, which nobody waits for.
    let _ = tokio::time::timeout(LAST_WORDS, record(&journal, last)).await;
    Ok(())
}

async fn record(journal: &SolutionJournal, misses: Vec<MissedWin>) {
    for missed in misses {
        if let Err(error) = journal.record_missed(&missed).await {
            tracing::debug!(%error, "a miss could not be journalled");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(slot: u64, winner: Option<(SectorIndex, PieceOffset)>, reason: MissReason) -> MissedWin {
        MissedWin {
            public_key: [1; 32].into(),
            slot,
            winner,
            count: 1,
            announced_at: 0,
            after_ms: 0,
            reason,
        }
    }

    #[test]
    fn slots_missed_in_a_row_are_told_together_and_wins_at_once() {
        let mut runs = Runs::default();
        let start = Instant::now();
        let second = |count| start + Duration::from_secs(count);
        let busy = |slot| missed(slot, None, MissReason::EarlierAuditRuns);
        let told = |missed: Option<MissedWin>| missed.map(|missed| (missed.slot, missed.count));
        assert_eq!(
            told(runs.add(busy(1), second(0))),
            Some((1, 1)),
            "the first at once"
        );
        assert_eq!(told(runs.add(busy(2), second(1))), None);
        assert_eq!(told(runs.add(busy(3), second(2))), None);
        let slow = missed(3, None, MissReason::AuditTooSlow);
        assert_eq!(told(runs.add(slow, second(2))), Some((3, 1)), "another reason");
        let win = missed(3, Some((1, 2.into())), MissReason::ProofTooLate);
        for _ in 0..2 {
            assert_eq!(told(runs.add(win.clone(), second(2))), Some((3, 1)));
        }
        assert_eq!(told(runs.add(busy(14), second(13))), Some((14, 3)));

        assert_eq!(told(runs.add(busy(15), second(14))), None);
        assert!(runs.due(second(15), false).is_empty());
        let due = runs.due(second(24), false);
        assert_eq!((due.len(), due[0].slot, due[0].count), (1, 15, 1));
        runs.add(busy(16), second(25));
        assert_eq!(
            runs.due(second(25), true).len(),
            1,
            "nothing stays behind at the end"
        );
        assert!(runs.due(second(99), false).is_empty());
        assert!(runs.0.is_empty());
    }
}

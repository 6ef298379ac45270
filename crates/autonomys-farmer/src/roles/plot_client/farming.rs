//! Farming: every slot all farms are audited, winners proved and submitted, the nearest first.

use super::Shared;
use super::auditing::{Auditors, Winner};
use super::misses::Misses;
use super::proving::Prover;
use super::slot::Slot;
use super::submitting::{Submission, Submitter};
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::journal::{MissReason, SolutionCourse, SolutionOutcome};
use autonomys_cluster::messages::SlotAnnouncement;
use futures::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::solutions::Solution;
use tokio::task::JoinSet;

/// Slots remembered so that each is farmed once, whoever announces it how often.
const REMEMBERED_SLOTS: usize = 64;
/// Slots farmed at once: the farming time of 4 s holds four of them.
const SLOTS_AT_ONCE: usize = 4;

/// What farming needs beside the farms.
pub(super) struct Tools {
    pub(super) prover: Prover,
    pub(super) submitter: Arc<Submitter>,
    pub(super) auditors: Auditors,
    pub(super) misses: Misses,
    /// Time from the announcement of a slot after which its solutions are worth nothing.
    pub(super) farming_timeout: Duration,
}

/// Runs until told to stop.
pub(super) async fn run(cluster: Cluster, shared: Arc<Shared>, tools: Tools) -> Result<()> {
    let mut slots = cluster.subscribe::<SlotAnnouncement>().await?;
    let mut seen: VecDeque<Arc<Slot>> = VecDeque::with_capacity(REMEMBERED_SLOTS);
    let mut running = JoinSet::new();
    let farmer = Arc::new(Farmer {
        shared: Arc::clone(&shared),
        tools,
    });
    loop {
        let announcement = tokio::select! {
            () = shared.cancel.cancelled() => break,
            announcement = slots.next() => announcement.context("slots are not announced any more")?,
            Some(ended) = running.join_next() => {
                ended.context("farming a slot crashed")?;
                continue;
            }
        };
        let timeout = farmer.tools.farming_timeout;
        let slot = Slot::announced(announcement.slot_info, announcement.controller, timeout);
        if let Some(known) = seen.iter().find(|known| known.key() == slot.key()) {
            known.announced_again(announcement.controller);
            continue;
        }
        if seen.len() == REMEMBERED_SLOTS {
            seen.pop_front();
        }
        let slot = Arc::new(slot);
        seen.push_back(Arc::clone(&slot));
        if running.len() >= SLOTS_AT_ONCE {
            for public_key in shared.farms.public_keys() {
                farmer
                    .tools
                    .misses
                    .slot(&slot, public_key, MissReason::TooManySlots);
            }
            continue;
        }
        let farmer = Arc::clone(&farmer);
        running.spawn(async move { farmer.farm(&slot).await });
    }
    // Proofs in the making are worth nothing after the slot, so nobody waits for them.
    running.shutdown().await;
    Ok(())
}

struct Farmer {
    shared: Arc<Shared>,
    tools: Tools,
}

/// What follows for the rest of a slot's winners.
enum Next {
    GoOn,
    /// No further solution is of use, for this reason.
    Drop(MissReason),
}

impl Farmer {
    async fn farm(&self, slot: &Slot) {
        // The other half is for proofs.
        let within = self.tools.farming_timeout / 2;
        let winners = self.tools.auditors.audit(slot, within).await;
        let audited = Instant::now();
        self.shared.counters.count(&self.shared.counters.audited_slots);
        tracing::debug!(
            slot = slot.number(),
            winners = winners.len(),
            milliseconds = slot.ms(audited),
            "audited"
        );
        let mut winners = winners.into_iter();
        while let Some(winner) = winners.next() {
            let next = if slot.is_over() {
                self.drop_all(
                    slot,
                    std::iter::once(winner).chain(winners),
                    &MissReason::NoTimeLeft,
                );
                return;
            } else {
                self.solve(slot, &winner, audited).await
            };
            if let Next::Drop(reason) = next {
                self.drop_all(slot, winners, &reason);
                return;
            }
        }
    }

    /// Tells the nearest of each farm, and how many there were.
    fn drop_all(&self, slot: &Slot, winners: impl Iterator<Item = Winner>, reason: &MissReason) {
        let mut farms: Vec<(Winner, u32)> = Vec::new();
        for winner in winners {
            let known = farms
                .iter_mut()
                .find(|(nearest, _)| Arc::ptr_eq(&nearest.farm, &winner.farm));
            match known {
                Some((_, count)) => *count += 1,
                None => farms.push((winner, 1)),
            }
        }
        for (nearest, count) in farms {
            self.missed(slot, &nearest, count, reason.clone());
        }
    }

    fn missed(&self, slot: &Slot, winner: &Winner, count: u32, reason: MissReason) {
        let place = (winner.sector.sector_index(), winner.candidate.piece_offset);
        let public_key = winner.farm.public_key();
        self.tools.misses.wins(slot, public_key, place, count, reason);
    }

    /// Proves and submits one winner.
    async fn solve(&self, slot: &Slot, winner: &Winner, audited: Instant) -> Next {
        let sector = winner.sector.sector_index();
        let proved = match self.tools.prover.solution(slot, winner).await {
            Ok(proved) => proved,
            Err(reason) => {
                let over = matches!(reason, MissReason::ProofTooLate | MissReason::NoTimeLeft);
                self.missed(slot, winner, 1, reason);
                return if over {
                    Next::Drop(MissReason::NoTimeLeft)
                } else {
                    Next::GoOn
                };
            }
        };
        let course = SolutionCourse {
            announced_at: slot.announced_at,
            audited_ms: slot.ms(audited),
            read_ms: slot.ms(proved.read),
            proved_ms: slot.ms(proved.proved),
            submitted_ms: slot.ms_now(),
            proved_by: proved.proved_by,
        };
        match self.submit(slot, proved.solution, course).await {
            Ok(SolutionOutcome::Accepted) => {
                tracing::info!(
                    slot = slot.number(),
                    sector,
                    proof_ms = course.proved_ms - course.read_ms,
                    total_ms = slot.ms_now(),
                    "solution accepted by the node"
                );
                self.shared.counters.count(&self.shared.counters.solutions);
                Next::GoOn
            }
            // The official farmer stops for the slot as well: the node has closed it.
            Ok(outcome) => {
                tracing::debug!(
                    slot = slot.number(),
                    sector,
                    ?outcome,
                    "no further solution for this slot"
                );
                Next::Drop(MissReason::SlotClosed)
            }
            Err(error) => {
                let reason = MissReason::not_recorded(format!("{error:#}"));
                self.missed(slot, winner, 1, reason.clone());
                Next::Drop(reason)
            }
        }
    }

    /// Gives the solution to the first controller that announced the slot; to the next one only when it was certainly not received.
    async fn submit(
        &self,
        slot: &Slot,
        solution: Solution,
        course: SolutionCourse,
    ) -> Result<SolutionOutcome> {
        let mut outcome = SolutionOutcome::NotReceived;
        for turn in 0.. {
            let Some(controller) = slot.announcer(turn) else {
                break;
            };
            let submission = Submission {
                slot,
                solution,
                course,
                controller,
            };
            outcome = self.tools.submitter.submit(submission).await?;
            if outcome != SolutionOutcome::NotReceived {
                break;
            }
            tracing::warn!(slot = slot.number(), %controller, "a controller did not receive a solution");
            if slot.is_over() {
                break;
            }
        }
        Ok(outcome)
    }
}

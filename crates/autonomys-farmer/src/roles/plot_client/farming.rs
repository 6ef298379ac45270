//! Farming: every slot all farms are audited, winners proved and submitted, the nearest first.

use super::Shared;
use super::auditing::{self, Auditors, Winner};
use super::proving::Prover;
use super::submitting::{Submission, Submitter};
use anyhow::{Context, Result};
use autonomys_cluster::journal::SolutionOutcome;
use autonomys_cluster::messages::SlotAnnouncement;
use autonomys_cluster::{Cluster, ControllerId};
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::SlotInfo;
use subspace_core_primitives::solutions::Solution;
use tokio::task::JoinSet;

/// Slots remembered so that each is farmed once, whoever announces it how often.
const REMEMBERED_SLOTS: usize = 64;
/// Controllers that announced one slot and are remembered; operators have a handful.
const MAX_ANNOUNCERS: usize = 16;
/// Slots farmed at once: the farming time of 4 s holds four of them.
const SLOTS_AT_ONCE: usize = 4;

/// Runs until told to stop.
pub(super) async fn run(
    cluster: Cluster,
    shared: Arc<Shared>,
    prover: Prover,
    submitter: Arc<Submitter>,
    farming_timeout: Duration,
) -> Result<()> {
    let mut slots = cluster.subscribe::<SlotAnnouncement>().await?;
    let mut seen: VecDeque<Seen> = VecDeque::with_capacity(REMEMBERED_SLOTS);
    let mut running = JoinSet::new();
    let farmer = Arc::new(Farmer {
        shared: Arc::clone(&shared),
        prover,
        submitter,
        auditors: Auditors::new(Arc::clone(&shared.farms), shared.pool.current_num_threads()),
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
        let deadline = Instant::now() + farming_timeout;
        let key = (
            announcement.slot_info.slot_number,
            announcement.slot_info.global_challenge,
        );
        if let Some(slot) = seen.iter().find(|slot| slot.key == key) {
            slot.announced_by(announcement.controller);
            continue;
        }
        if seen.len() == REMEMBERED_SLOTS {
            seen.pop_front();
        }
        let slot = Seen {
            key,
            announcers: Arc::default(),
        };
        slot.announced_by(announcement.controller);
        let announcers = Arc::clone(&slot.announcers);
        seen.push_back(slot);
        if running.len() >= SLOTS_AT_ONCE {
            tracing::warn!(
                slot = key.0,
                "slot skipped: {SLOTS_AT_ONCE} earlier slots are still being farmed"
            );
            continue;
        }
        let farmer = Arc::clone(&farmer);
        let slot_info = announcement.slot_info;
        running.spawn(async move { farmer.farm(slot_info, &announcers, deadline).await });
    }
    // Proofs in the making are worth nothing after the slot, so nobody waits for them.
    running.shutdown().await;
    Ok(())
}

/// A slot that was announced, and by whom: the first gets the solutions, the next only what the first has certainly not received.
struct Seen {
    key: (SlotNumber, Blake3Hash),
    announcers: Announcers,
}

type Announcers = Arc<Mutex<Vec<ControllerId>>>;

impl Seen {
    fn announced_by(&self, controller: ControllerId) {
        let mut announcers = self.announcers.lock();
        if announcers.len() < MAX_ANNOUNCERS && !announcers.contains(&controller) {
            announcers.push(controller);
        }
    }
}

struct Farmer {
    shared: Arc<Shared>,
    prover: Prover,
    submitter: Arc<Submitter>,
    auditors: Auditors,
}

impl Farmer {
    async fn farm(&self, slot_info: SlotInfo, announcers: &Announcers, deadline: Instant) {
        let slot = slot_info.slot_number;
        let started = Instant::now();
        // The other half is for proofs.
        let within = deadline.saturating_duration_since(started) / 2;
        let winners = auditing::audit(&self.auditors, slot_info, within).await;
        self.shared.counters.count(&self.shared.counters.audited_slots);
        tracing::debug!(
            slot,
            winners = winners.len(),
            milliseconds = started.elapsed().as_millis(),
            "audited"
        );
        for winner in winners {
            if Instant::now() >= deadline {
                tracing::warn!(
                    slot,
                    "the farming time is over, the remaining winners are dropped"
                );
                return;
            }
            if !self.solve(slot, announcers, &winner, deadline).await {
                return;
            }
        }
    }

    /// Proves and submits one winner; `false` when there is no point in going on with this slot.
    async fn solve(
        &self,
        slot: SlotNumber,
        announcers: &Announcers,
        winner: &Winner,
        deadline: Instant,
    ) -> bool {
        let sector_index = winner.sector.sector_index();
        let started = Instant::now();
        let solution = self
            .prover
            .solution(
                &winner.farm,
                &winner.sector,
                &winner.candidate,
                self.shared.reward_address,
                deadline,
            )
            .await;
        let solution = match solution {
            Ok(solution) => solution,
            Err(error) => {
                tracing::warn!(slot, sector = sector_index, "a winner was lost: {error:#}");
                return true;
            }
        };
        let proved_in = started.elapsed();
        if Instant::now() >= deadline {
            tracing::warn!(
                slot,
                sector = sector_index,
                proof_ms = proved_in.as_millis(),
                "a winner was lost: the proof came too late"
            );
            return false;
        }
        match self.submit(slot, solution, announcers, deadline).await {
            Ok(SolutionOutcome::Accepted) => {
                tracing::info!(
                    slot,
                    sector = sector_index,
                    proof_ms = proved_in.as_millis(),
                    "solution accepted by the node"
                );
                self.shared.counters.count(&self.shared.counters.solutions);
                true
            }
            // The official farmer stops for the slot as well: the node has closed it.
            Ok(outcome) => {
                tracing::debug!(
                    slot,
                    sector = sector_index,
                    ?outcome,
                    "no further solution for this slot"
                );
                false
            }
            Err(error) => {
                tracing::warn!(
                    slot,
                    sector = sector_index,
                    "a solution was not delivered: {error:#}"
                );
                false
            }
        }
    }

    /// Gives the solution to the first controller that announced the slot; to the next one only when it was certainly not received.
    async fn submit(
        &self,
        slot: SlotNumber,
        solution: Solution,
        announcers: &Announcers,
        deadline: Instant,
    ) -> Result<SolutionOutcome> {
        for turn in 0.. {
            let Some(controller) = announcers.lock().get(turn).copied() else {
                break;
            };
            let submission = Submission {
                slot,
                solution,
                controller,
            };
            let outcome = self.submitter.submit(submission).await?;
            if outcome != SolutionOutcome::NotReceived {
                return Ok(outcome);
            }
            tracing::warn!(slot, %controller, "a controller did not receive a solution");
            if Instant::now() >= deadline {
                break;
            }
        }
        anyhow::bail!("no controller that announced the slot received it");
    }
}

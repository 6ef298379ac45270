//! Farming: every slot all farms are audited, winners proved and submitted, the nearest first.

use super::Shared;
use super::proving::Prover;
use super::submitting::{Submission, Submitter};
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::messages::SlotAnnouncement;
use autonomys_farm::{Farm, WinningSector};
use futures::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::SlotInfo;
use subspace_core_primitives::solutions::SolutionRange;
use subspace_farmer_components::auditing::AuditChallenge;
use subspace_farmer_components::proving::ProvableCandidate;
use tokio::task::JoinSet;

/// Slots remembered so that each is farmed once, whoever announces it how often.
const REMEMBERED_SLOTS: usize = 64;
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
    let mut seen: VecDeque<(SlotNumber, Blake3Hash)> = VecDeque::with_capacity(REMEMBERED_SLOTS);
    let mut running = JoinSet::new();
    let farmer = Arc::new(Farmer {
        shared: Arc::clone(&shared),
        prover,
        submitter,
        auditing: AtomicBool::new(false),
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
        if seen.contains(&key) {
            continue;
        }
        if seen.len() == REMEMBERED_SLOTS {
            seen.pop_front();
        }
        seen.push_back(key);
        if running.len() >= SLOTS_AT_ONCE {
            tracing::warn!(
                slot = key.0,
                "slot skipped: {SLOTS_AT_ONCE} earlier slots are still being farmed"
            );
            continue;
        }
        let farmer = Arc::clone(&farmer);
        running.spawn(async move { farmer.farm(announcement, deadline).await });
    }
    // Proofs in the making are worth nothing after the slot, so nobody waits for them.
    running.shutdown().await;
    Ok(())
}

struct Farmer {
    shared: Arc<Shared>,
    prover: Prover,
    submitter: Arc<Submitter>,
    /// An audit is running; the disks serve one at a time.
    auditing: AtomicBool,
}

/// A chunk that wins, and where it is.
struct Winner {
    farm: Arc<Farm>,
    sector: Arc<WinningSector>,
    candidate: ProvableCandidate,
}

impl Farmer {
    async fn farm(&self, announcement: SlotAnnouncement, deadline: Instant) {
        let slot_info = announcement.slot_info;
        let slot = slot_info.slot_number;
        if self.auditing.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                slot,
                "slot skipped: the audit of an earlier slot still runs, the disks are too slow"
            );
            return;
        }
        let started = Instant::now();
        let winners = self.audit(slot_info).await;
        self.auditing.store(false, Ordering::Release);
        self.shared.counters.count(&self.shared.counters.audited_slots);
        let winners = match winners {
            Ok(winners) => winners,
            Err(error) => {
                tracing::error!(slot, "the audit failed: {error:#}");
                return;
            }
        };
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
            if !self.solve(&announcement, &winner, deadline).await {
                return;
            }
        }
    }

    /// Proves and submits one winner; `false` when there is no point in going on with this slot.
    async fn solve(&self, announcement: &SlotAnnouncement, winner: &Winner, deadline: Instant) -> bool {
        let slot = announcement.slot_info.slot_number;
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
        let submission = Submission {
            slot,
            solution,
            controller: announcement.controller,
        };
        match self.submitter.submit(submission).await {
            Ok(true) => {
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
            Ok(false) => false,
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

    /// Winning chunks of all farms, the nearest sector first.
    async fn audit(&self, slot_info: SlotInfo) -> Result<Vec<Winner>> {
        let challenge = AuditChallenge {
            global_challenge: slot_info.global_challenge,
            solution_range: slot_info.voting_solution_range,
        };
        let shared = Arc::clone(&self.shared);
        let mut winners = tokio::task::spawn_blocking(move || {
            let mut sectors: Vec<(SolutionRange, Arc<Farm>, WinningSector)> = Vec::new();
            for farm in &shared.farms {
                let audit = farm.audit(&challenge, Some(&shared.pool));
                for error in &audit.errors {
                    tracing::error!(directory = %farm.directory().display(), "{error}");
                }
                for result in &audit.results {
                    match farm.provable(result) {
                        Ok(Some(sector)) => {
                            sectors.push((sector.candidates[0].solution_distance, Arc::clone(farm), sector))
                        }
                        Ok(None) => {}
                        Err(error) => tracing::error!(directory = %farm.directory().display(), "{error}"),
                    }
                }
            }
            sectors.sort_by_key(|(distance, ..)| *distance);
            sectors
        })
        .await
        .context("the audit crashed")?;
        Ok(winners
            .drain(..)
            .flat_map(|(_, farm, sector)| {
                let sector = Arc::new(sector);
                let candidates = sector.candidates.clone();
                candidates.into_iter().map(move |candidate| Winner {
                    farm: Arc::clone(&farm),
                    sector: Arc::clone(&sector),
                    candidate,
                })
            })
            .collect())
    }
}

//! Audits of all farms for one slot, each farm by itself: a disk that hangs or fails costs its own sectors only.

use super::Shared;
use crate::roles::chain::compute_pool;
use anyhow::Result;
use autonomys_farm::{Farm, WinningSector};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use subspace_core_primitives::rpc::SlotInfo;
use subspace_core_primitives::solutions::SolutionRange;
use subspace_farmer_components::auditing::AuditChallenge;
use subspace_farmer_components::proving::ProvableCandidate;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Reads in flight on one farm: 8000 sectors of 0.1 ms each take a tenth of a second.
const READS_PER_FARM: usize = 8;

/// A chunk that wins, and where it is.
pub(super) struct Winner {
    pub(super) farm: Arc<Farm>,
    pub(super) sector: Arc<WinningSector>,
    pub(super) candidate: ProvableCandidate,
}

/// Audits one farm, on threads of its own: those of a disk that does not answer are missed by nobody else.
pub(super) struct Auditor {
    farm: Arc<Farm>,
    pool: Arc<rayon::ThreadPool>,
    busy: Arc<AtomicBool>,
    /// Sectors that could not be read in the last audit.
    unreadable: Arc<AtomicUsize>,
}

/// A farm is being audited until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(flag)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A winning sector with the distance of its nearest chunk.
type Found = (SolutionRange, Arc<Farm>, WinningSector);

impl Auditor {
    /// One for each farm.
    pub(super) fn for_farms(shared: &Shared) -> Result<Vec<Self>> {
        let threads = shared.pool.current_num_threads().min(READS_PER_FARM);
        let auditor = |farm: &Arc<Farm>| {
            Ok(Self {
                farm: Arc::clone(farm),
                pool: compute_pool("audit", threads)?,
                busy: Arc::default(),
                unreadable: Arc::default(),
            })
        };
        shared.farms.iter().map(auditor).collect()
    }

    fn audit(
        farm: &Arc<Farm>,
        pool: &rayon::ThreadPool,
        challenge: &AuditChallenge,
        unreadable: &AtomicUsize,
    ) -> Vec<Found> {
        let audit = farm.audit(challenge, Some(pool));
        let failed = audit.errors.len();
        // Once a change, not once a slot.
        if unreadable.swap(failed, Ordering::Relaxed) != failed {
            match audit.errors.first() {
                Some(error) => tracing::error!(
                    directory = %farm.directory().display(), sectors = failed,
                    "sectors cannot be audited, the others are farmed on; check the disk: {error}"
                ),
                None => {
                    tracing::info!(directory = %farm.directory().display(), "all sectors can be audited again")
                }
            }
        }
        let mut found = Vec::new();
        for result in &audit.results {
            match farm.provable(result) {
                Ok(Some(sector)) => {
                    found.push((sector.candidates[0].solution_distance, Arc::clone(farm), sector))
                }
                Ok(None) => {}
                Err(error) => tracing::error!(directory = %farm.directory().display(), "{error}"),
            }
        }
        found
    }
}

/// Winning chunks of all farms that are audited within the time, the nearest sector first.
pub(super) async fn audit(auditors: &[Auditor], slot_info: SlotInfo, within: Duration) -> Vec<Winner> {
    let deadline = Instant::now() + within;
    let slot = slot_info.slot_number;
    let challenge = AuditChallenge {
        global_challenge: slot_info.global_challenge,
        solution_range: slot_info.voting_solution_range,
    };
    let mut audits = JoinSet::new();
    for auditor in auditors {
        let Some(busy) = Busy::begin(&auditor.busy) else {
            tracing::warn!(
                slot, directory = %auditor.farm.directory().display(),
                "slot skipped on this farm: the audit of an earlier slot still runs; the disk or the processors are too slow"
            );
            continue;
        };
        let (farm, pool) = (Arc::clone(&auditor.farm), Arc::clone(&auditor.pool));
        let unreadable = Arc::clone(&auditor.unreadable);
        audits.spawn_blocking(move || {
            let _busy = busy;
            Auditor::audit(&farm, &pool, &challenge, &unreadable)
        });
    }
    let mut sectors: Vec<Found> = Vec::new();
    loop {
        match tokio::time::timeout_at(deadline, audits.join_next()).await {
            Ok(None) => break,
            Ok(Some(Ok(found))) => sectors.extend(found),
            Ok(Some(Err(error))) => tracing::error!(slot, %error, "the audit of a farm crashed"),
            Err(_) => {
                tracing::warn!(
                    slot,
                    farms = audits.len(),
                    "farms are not audited in time and miss the slot: their disks or the processors are too slow"
                );
                break;
            }
        }
    }
    // Audits that run on end by themselves; nobody waits for what they find.
    audits.detach_all();
    sectors.sort_by_key(|(distance, ..)| *distance);
    sectors
        .into_iter()
        .flat_map(|(_, farm, sector)| {
            let sector = Arc::new(sector);
            let candidates = sector.candidates.clone();
            candidates.into_iter().map(move |candidate| Winner {
                farm: Arc::clone(&farm),
                sector: Arc::clone(&sector),
                candidate,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_is_audited_once_at_a_time() {
        let flag = Arc::default();
        let first = Busy::begin(&flag).expect("free");
        assert!(Busy::begin(&flag).is_none());
        drop(first);
        assert!(Busy::begin(&flag).is_some());
    }
}

//! Audits of all farms for one slot, each farm by itself: a disk that hangs or fails costs its own sectors only.

use super::farm_set::FarmSet;
use crate::roles::chain::compute_pool;
use crate::roles::priority::Priority;
use autonomys_farm::{Farm, WinningSector};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Auditors of the farms in service; made when a farm is seen first, dropped when it is set aside.
pub(super) struct Auditors {
    farms: Arc<FarmSet>,
    threads: usize,
    auditors: Mutex<Vec<Arc<Auditor>>>,
}

/// Audits one farm, on threads of its own: those of a disk that does not answer are missed by nobody else.
pub(super) struct Auditor {
    farm: Arc<Farm>,
    pool: Arc<rayon::ThreadPool>,
    busy: Arc<AtomicBool>,
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

impl Auditors {
    /// For the farms of the set, each with some of `threads` threads.
    pub(super) fn new(farms: Arc<FarmSet>, threads: usize) -> Self {
        Self {
            farms,
            threads: threads.min(READS_PER_FARM),
            auditors: Mutex::default(),
        }
    }

    /// One for each farm in service now; whether it is busy is remembered from slot to slot.
    fn current(&self) -> Vec<Arc<Auditor>> {
        let mut auditors = self.auditors.lock();
        let mut before = std::mem::take(&mut *auditors);
        for farm in self.farms.open() {
            let known = before
                .iter()
                .position(|auditor| Arc::ptr_eq(&auditor.farm, &farm));
            match known {
                Some(known) => auditors.push(before.swap_remove(known)),
                None => match compute_pool("audit", self.threads, Priority::Normal) {
                    Ok(pool) => auditors.push(Arc::new(Auditor {
                        farm,
                        pool,
                        busy: Arc::default(),
                    })),
                    Err(error) => {
                        tracing::error!(directory = %farm.directory().display(), "a farm misses a slot: {error:#}");
                    }
                },
            }
        }
        auditors.clone()
    }
}

impl Auditor {
    fn audit(&self, farms: &FarmSet, challenge: &AuditChallenge) -> Vec<Found> {
        let farm = &self.farm;
        let audit = farm.audit(challenge, Some(&*self.pool));
        farms.audited(farm, farm.plotted_sectors().len(), &audit.errors);
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
pub(super) async fn audit(auditors: &Auditors, slot_info: SlotInfo, within: Duration) -> Vec<Winner> {
    let deadline = Instant::now() + within;
    let slot = slot_info.slot_number;
    let challenge = AuditChallenge {
        global_challenge: slot_info.global_challenge,
        solution_range: slot_info.voting_solution_range,
    };
    let mut audits = JoinSet::new();
    for auditor in auditors.current() {
        let Some(busy) = Busy::begin(&auditor.busy) else {
            tracing::warn!(
                slot, directory = %auditor.farm.directory().display(),
                "slot skipped on this farm: the audit of an earlier slot still runs; the disk or the processors are too slow"
            );
            continue;
        };
        let farms = Arc::clone(&auditors.farms);
        audits.spawn_blocking(move || {
            let _busy = busy;
            auditor.audit(&farms, &challenge)
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

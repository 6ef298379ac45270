//! Audits of all farms for one slot, each farm by itself: a disk that hangs or fails costs its own sectors only.

mod statistics;

use super::farm_set::FarmSet;
use super::misses::Misses;
use super::slot::Slot;
use anyhow::{Context, Result};
use autonomys_cluster::journal::MissReason;
use autonomys_farm::reads::{EngineSelection, FarmReader};
use autonomys_farm::{Farm, WinningSector};
use parking_lot::Mutex;
use statistics::Statistics;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use subspace_core_primitives::solutions::SolutionRange;
use subspace_farmer_components::auditing::AuditChallenge;
use subspace_farmer_components::proving::{ProofInput, ProvableCandidate};
use subspace_proof_of_space::ProofOfSpaceKind;
use tokio::task::JoinSet;

/// Threads that read one farm where threads do, so as many reads in flight: 8000 sectors of 0.1 ms each take a tenth of a second. They
/// mostly wait, so their number does not depend on that of the processors.
const READERS_PER_FARM: usize = 8;

/// A chunk that wins, and where it is.
pub(super) struct Winner {
    pub(super) farm: Arc<Farm>,
    reader: Arc<FarmReader>,
    pub(super) sector: Arc<WinningSector>,
    pub(super) candidate: ProvableCandidate,
}

impl Winner {
    /// Reads what its proof needs, in the way that is quickest on its disk.
    pub(super) async fn read_proof_input(&self, kind: ProofOfSpaceKind) -> Result<ProofInput> {
        let (farm, reader, sector) = (
            Arc::clone(&self.farm),
            Arc::clone(&self.reader),
            Arc::clone(&self.sector),
        );
        let candidate = self.candidate;
        let read =
            tokio::task::spawn_blocking(move || reader.read_proof_input(&farm, &sector, &candidate, kind));
        let read = read.await.context("reading a record crashed")??;
        tracing::debug!(
            directory = %self.farm.directory().display(), sector = self.sector.sector_index(),
            way = %read.reading, milliseconds = read.took.as_millis(), "record read"
        );
        Ok(read.input)
    }
}

/// Auditors of the farms in service; made when a farm is seen first. Between slots none holds its farm: one that is set aside has
/// to be closed, whether or not another slot comes.
pub(super) struct Auditors {
    farms: Arc<FarmSet>,
    engines: EngineSelection,
    misses: Misses,
    auditors: Mutex<Vec<Arc<Auditor>>>,
}

/// Audits one farm, on threads of its own: those of a disk that does not answer are missed by nobody else.
struct Auditor {
    farm: Weak<Farm>,
    reader: Arc<FarmReader>,
    busy: Arc<AtomicBool>,
    /// How to read records was measured, or is being measured.
    measured: AtomicBool,
    statistics: Mutex<Statistics>,
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
struct Found {
    distance: SolutionRange,
    farm: Arc<Farm>,
    reader: Arc<FarmReader>,
    sector: WinningSector,
}

impl Auditors {
    /// For the farms of the set.
    pub(super) fn new(farms: Arc<FarmSet>, engines: EngineSelection, misses: Misses) -> Self {
        Self {
            farms,
            engines,
            misses,
            auditors: Mutex::default(),
        }
    }

    /// One for each farm in service now; what is known of a farm is kept from slot to slot.
    fn current(&self) -> Vec<(Arc<Farm>, Arc<Auditor>)> {
        let mut auditors = self.auditors.lock();
        let mut before = std::mem::take(&mut *auditors);
        let farms = self.farms.open();
        let mut current = Vec::with_capacity(farms.len());
        for farm in farms {
            let is_its = |auditor: &Arc<Auditor>| auditor.farm.as_ptr() == Arc::as_ptr(&farm);
            let auditor = match before.iter().position(is_its) {
                Some(known) => before.swap_remove(known),
                None => match FarmReader::new(self.engines, READERS_PER_FARM, "audit") {
                    Ok(reader) => Arc::new(Auditor {
                        farm: Arc::downgrade(&farm),
                        reader: Arc::new(reader),
                        busy: Arc::default(),
                        measured: AtomicBool::new(false),
                        statistics: Mutex::default(),
                    }),
                    Err(error) => {
                        tracing::error!(directory = %farm.directory().display(), "a farm misses a slot: {error}");
                        continue;
                    }
                },
            };
            auditors.push(Arc::clone(&auditor));
            current.push((farm, auditor));
        }
        current
    }

    /// Winning chunks of all farms that are audited within the time, the nearest sector first.
    pub(super) async fn audit(&self, slot: &Slot, within: Duration) -> Vec<Winner> {
        let deadline = slot.announced + within;
        let challenge = AuditChallenge {
            global_challenge: slot.info.global_challenge,
            solution_range: slot.info.voting_solution_range,
        };
        let mut audits = JoinSet::new();
        let mut running = Vec::new();
        for (farm, auditor) in self.current() {
            let Some(busy) = Busy::begin(&auditor.busy) else {
                auditor.statistics.lock().skipped();
                self.misses
                    .slot(slot, farm.public_key(), MissReason::EarlierAuditRuns);
                continue;
            };
            running.push((farm.public_key(), Arc::clone(&auditor)));
            let (farms, number) = (Arc::clone(&self.farms), running.len() - 1);
            audits.spawn_blocking(move || {
                let _busy = busy;
                (number, auditor.audit(&farm, &farms, &challenge))
            });
        }
        let mut ended = vec![false; running.len()];
        let mut sectors: Vec<Found> = Vec::new();
        loop {
            match tokio::time::timeout_at(deadline.into(), audits.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok((number, found)))) => {
                    ended[number] = true;
                    sectors.extend(found);
                }
                Ok(Some(Err(error))) => {
                    tracing::error!(slot = slot.number(), %error, "the audit of a farm crashed");
                }
                Err(_) => {
                    for ((key, auditor), _) in running.iter().zip(&ended).filter(|(_, ended)| !**ended) {
                        auditor.statistics.lock().late();
                        self.misses.slot(slot, *key, MissReason::AuditTooSlow);
                    }
                    break;
                }
            }
        }
        // Audits that run on end by themselves; nobody waits for what they find.
        audits.detach_all();
        sectors.sort_by_key(|found| found.distance);
        sectors.into_iter().flat_map(winners).collect()
    }
}

fn winners(found: Found) -> impl Iterator<Item = Winner> {
    let Found {
        farm, reader, sector, ..
    } = found;
    let sector = Arc::new(sector);
    let candidates = sector.candidates.clone();
    candidates.into_iter().map(move |candidate| Winner {
        farm: Arc::clone(&farm),
        reader: Arc::clone(&reader),
        sector: Arc::clone(&sector),
        candidate,
    })
}

impl Auditor {
    fn audit(self: &Arc<Self>, farm: &Arc<Farm>, farms: &FarmSet, challenge: &AuditChallenge) -> Vec<Found> {
        let timed = self.reader.audit(farm, challenge);
        farms.audited(farm, timed.sectors, &timed.audit.errors);
        self.statistics.lock().audited(farm.directory(), &timed);
        let mut found = Vec::new();
        for result in &timed.audit.results {
            match farm.provable(result) {
                Ok(Some(sector)) => found.push(Found {
                    distance: sector.candidates[0].solution_distance,
                    farm: Arc::clone(farm),
                    reader: Arc::clone(&self.reader),
                    sector,
                }),
                Ok(None) => {}
                Err(error) => tracing::error!(directory = %farm.directory().display(), "{error}"),
            }
        }
        if timed.sectors > 0 && !self.measured.swap(true, Ordering::Relaxed) {
            let (this, farm) = (Arc::clone(self), Arc::clone(farm));
            // Not while a slot is waited for.
            tokio::task::spawn_blocking(move || this.measure(&farm));
        }
        found
    }

    /// Finds out how records are read on this disk, once in the life of the process.
    fn measure(&self, farm: &Farm) {
        let directory = farm.directory().display();
        match self.reader.measure_records(farm) {
            Ok(estimates) => {
                let estimates: Vec<_> = estimates
                    .iter()
                    .map(|(way, took)| format!("{way} {} ms", took.as_millis()))
                    .collect();
                tracing::debug!(%directory, "a record would be read by: {}; the first is used", estimates.join(", "));
            }
            Err(error) => tracing::warn!(%directory, %error, "how to read records could not be measured"),
        }
    }
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

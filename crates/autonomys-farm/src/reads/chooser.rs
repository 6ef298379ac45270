//! Which engine audits: each is tried a few times on real slots, then the quicker one is kept.

use super::ReadEngine;
use std::time::Duration;

/// Audits of each engine before one is chosen. The least of them counts: other work on the machine only ever adds time.
const TRIALS: u32 = 4;

/// What is known of the engines of one disk.
#[derive(Debug)]
pub(super) struct Chooser {
    engines: Vec<Tried>,
    /// Sectors of the audits that were compared; with twice as many it is worth to look again.
    sectors: usize,
}

#[derive(Debug)]
struct Tried {
    engine: ReadEngine,
    audits: u32,
    /// Least time for one sector.
    per_sector: Duration,
}

impl Chooser {
    /// `engines` is not empty; earlier ones win ties.
    pub(super) fn new(engines: Vec<ReadEngine>) -> Self {
        let engines = engines
            .into_iter()
            .map(|engine| Tried {
                engine,
                audits: 0,
                per_sector: Duration::MAX,
            })
            .collect();
        Self { engines, sectors: 0 }
    }

    /// Whether the engine is one of those that may be used.
    pub(super) fn has(&self, engine: ReadEngine) -> bool {
        self.engines.iter().any(|tried| tried.engine == engine)
    }

    /// With which engine to audit next.
    pub(super) fn next(&self) -> ReadEngine {
        let untried = self
            .engines
            .iter()
            .filter(|tried| tried.audits < TRIALS)
            .min_by_key(|tried| tried.audits);
        let quickest = || self.engines.iter().min_by_key(|tried| tried.per_sector);
        untried
            .filter(|_| self.engines.len() > 1)
            .or_else(quickest)
            .map_or(ReadEngine::Threads, |tried| tried.engine)
    }

    /// The engine that was chosen, once it is.
    pub(super) fn chosen(&self) -> Option<ReadEngine> {
        let decided = self.engines.len() == 1 || self.engines.iter().all(|tried| tried.audits >= TRIALS);
        decided.then(|| self.next())
    }

    /// Takes note of an audit; `true` when it decided the choice.
    pub(super) fn learn(&mut self, engine: ReadEngine, sectors: usize, took: Duration) -> bool {
        if sectors == 0 || self.engines.len() < 2 {
            return false;
        }
        if sectors > 2 * self.sectors {
            self.sectors = sectors;
            for tried in &mut self.engines {
                tried.audits = 0;
                tried.per_sector = Duration::MAX;
            }
        }
        let before = self.chosen();
        if let Some(tried) = self.engines.iter_mut().find(|tried| tried.engine == engine) {
            tried.audits = tried.audits.saturating_add(1);
            let per_sector = took / u32::try_from(sectors).unwrap_or(u32::MAX);
            if tried.audits <= TRIALS {
                tried.per_sector = tried.per_sector.min(per_sector);
            }
        }
        before.is_none() && self.chosen().is_some()
    }

    /// Never uses the engine again, unless it is the only one.
    pub(super) fn forget(&mut self, engine: ReadEngine) {
        if self.engines.len() > 1 {
            self.engines.retain(|tried| tried.engine != engine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_quicker_engine_is_kept_until_the_farm_has_grown() {
        let mut chooser = Chooser::new(ReadEngine::ALL.to_vec());
        assert_eq!(chooser.chosen(), None);
        let mut decided = 0;
        let mut audits = Vec::new();
        for _ in 0..2 * TRIALS + 3 {
            let engine = chooser.next();
            audits.push(engine);
            let took = if engine == ReadEngine::Threads { 40 } else { 50 };
            decided += usize::from(chooser.learn(engine, 100, millis(took)));
        }
        assert_eq!(decided, 1);
        assert_eq!(chooser.chosen(), Some(ReadEngine::Threads));
        let (tried, kept) = audits.split_at(2 * TRIALS as usize);
        let of_each = tried
            .iter()
            .filter(|engine| **engine == ReadEngine::IoUring)
            .count();
        assert_eq!(of_each, TRIALS as usize);
        assert!(kept.iter().all(|engine| *engine == ReadEngine::Threads));

        chooser.learn(ReadEngine::Threads, 200, millis(90));
        assert_eq!(chooser.chosen(), Some(ReadEngine::Threads), "not much larger");
        chooser.learn(ReadEngine::Threads, 201, millis(90));
        assert_eq!(chooser.chosen(), None, "looks again");
    }

    #[test]
    fn an_engine_that_failed_is_not_used_again() {
        let mut chooser = Chooser::new(ReadEngine::ALL.to_vec());
        chooser.forget(ReadEngine::IoUring);
        assert!(!chooser.has(ReadEngine::IoUring));
        assert_eq!(chooser.chosen(), Some(ReadEngine::Threads));
        chooser.forget(ReadEngine::Threads);
        assert_eq!(chooser.next(), ReadEngine::Threads, "the last one stays");
        assert!(!chooser.learn(ReadEngine::Threads, 0, millis(1)));
    }
}

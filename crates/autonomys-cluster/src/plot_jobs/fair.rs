//! Farms take turns: one with thousands of jobs in the queue does not keep the others waiting.
//!
//! The queue hands messages out in the order they came. When more wait behind the one received, the farms that have messages are
//! listed, and a job of the farm that this server has served longest ago is taken instead, by its record alone. The message received
//! goes back to the front of the queue; the one of the job that was taken is dropped by whoever receives it. Every server keeps its
//! own turns: with several, each farm gets its share of each.

use super::PlotJobs;
use super::server::TakenJob;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use tracing::debug;

/// Farms whose turn is before the received job's that are tried; after that the received job is taken.
const FARMS_TRIED: usize = 4;
/// Jobs of a farm that are tried: their messages are in the queue, but others may work on them.
const JOBS_TRIED: usize = 3;

/// When which farm was served. Holds only farms that have jobs in the queue.
#[derive(Debug, Default)]
pub(super) struct Turns {
    clock: u64,
    served: BTreeMap<String, u64>,
}

impl Turns {
    fn served(&mut self, farm: &str) {
        self.clock += 1;
        self.served.insert(farm.to_owned(), self.clock);
    }

    /// Those of `farms` that were served longer ago than `farm`, the longest ago first. Forgets all others.
    fn before<'a>(&mut self, farm: &str, farms: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let last = |name: &str| self.served.get(name).copied().unwrap_or(0);
        let own = last(farm);
        let mut known: Vec<_> = farms.map(|name| (last(name), name)).collect();
        self.served = known
            .iter()
            .filter(|(served, _)| *served > 0)
            .map(|(served, name)| ((*name).to_owned(), *served))
            .collect();
        if own > 0 {
            self.served.insert(farm.to_owned(), own);
        }
        known.retain(|(served, _)| *served < own);
        known.sort_unstable();
        known.into_iter().map(|(_, name)| name).collect()
    }
}

/// The farm's part of a job's key.
fn farm_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(farm, _)| farm)
}

impl PlotJobs {
    /// A job of this farm was taken.
    pub(super) fn note_turn(&self, key: &str) {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .served(farm_of(key));
    }

    /// Takes a job of a farm whose turn is before that of `key`'s farm; `None` when there is none to be had.
    pub(super) async fn take_for_another_farm(&self, key: &str) -> Option<TakenJob> {
        let queued = match self.queue.queued(">").await {
            Ok(queued) => queued,
            Err(error) => {
                debug!(%error, "the queue could not be listed; the next job is taken as it comes");
                return None;
            }
        };
        let mut farms: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for key in &queued {
            farms.entry(farm_of(key)).or_default().push(key);
        }
        let before = self
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .before(farm_of(key), farms.keys().copied());
        for farm in before.into_iter().take(FARMS_TRIED) {
            let keys = farms.get_mut(farm)?;
            // Others look at the same list.
            keys.shuffle(&mut rand::rng());
            for key in keys.iter().take(JOBS_TRIED) {
                match self.claim(key).await {
                    Ok(Some((record, revision))) => {
                        self.note_turn(key);
                        return Some(self.taken((*key).clone(), record, revision, None));
                    }
                    Ok(None) => {}
                    Err(error) => debug!(job = key, %error, "not taken"),
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farm_served_longest_ago_is_first() {
        let mut turns = Turns::default();
        let farms = ["a", "b", "c"];
        assert!(
            turns.before("a", farms.into_iter()).is_empty(),
            "nobody was served"
        );
        turns.served("a");
        assert_eq!(turns.before("a", farms.into_iter()), ["b", "c"]);
        turns.served("c");
        turns.served("b");
        assert_eq!(turns.before("b", farms.into_iter()), ["a", "c"]);
        assert!(turns.before("a", farms.into_iter()).is_empty());
        // Who has no jobs any more is forgotten, so the list does not grow.
        assert_eq!(turns.before("b", ["b"].into_iter()), Vec::<&str>::new());
        assert_eq!(turns.served.len(), 1);
    }

    #[test]
    fn a_key_begins_with_its_farm() {
        assert_eq!(farm_of("ab.1.2"), "ab");
        assert_eq!(farm_of("odd"), "odd");
    }
}

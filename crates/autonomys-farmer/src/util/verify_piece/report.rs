//! What was found, for people and for scripts.

use super::judge::Fault;
use autonomys_cache::CacheKey;
use autonomys_cluster::InstanceId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Bad items that are named; of a wrecked cache the number says enough.
const MAX_NAMED: usize = 10_000;
/// Of these, how many a person is shown.
const MAX_SHOWN: usize = 100;

/// The result of a run; serialised as the one line of `--json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) cluster: String,
    pub(super) segments: u64,
    /// Different pieces that were looked at.
    pub(super) pieces: u64,
    /// Items, copies included.
    pub(super) items: u64,
    pub(super) bad: u64,
    /// Items that had left their cache for others when they were read: caches have come or gone meanwhile.
    pub(super) passed_on: u64,
    /// Bad ones that are good now.
    pub(super) repaired: u64,
    /// Items of each cache.
    pub(super) caches: BTreeMap<String, u64>,
    /// The first of the bad ones.
    pub(super) bad_items: Vec<BadItem>,
}

/// One bad item.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct BadItem {
    pub(super) cache: String,
    pub(super) item: String,
    pub(super) fault: String,
    pub(super) repaired: bool,
}

impl Report {
    /// Counts a bad item and names it, unless too many have been named.
    pub(super) fn add_bad(&mut self, cache: InstanceId, key: &CacheKey, fault: Fault, repaired: bool) {
        self.bad += 1;
        self.repaired += u64::from(repaired);
        if self.bad_items.len() < MAX_NAMED {
            self.bad_items.push(BadItem {
                cache: cache.to_string(),
                item: key.to_string(),
                fault: fault.to_string(),
                repaired,
            });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cache, items) in &self.caches {
            writeln!(f, "{cache}: {items} items")?;
        }
        for bad in self.bad_items.iter().take(MAX_SHOWN) {
            let outcome = if bad.repaired { " (repaired)" } else { "" };
            writeln!(f, "BAD {} in {}: {}{outcome}", bad.item, bad.cache, bad.fault)?;
        }
        if self.bad > MAX_SHOWN as u64 {
            writeln!(f, "and {} more", self.bad - MAX_SHOWN as u64)?;
        }
        if self.passed_on > 0 {
            writeln!(
                f,
                "{} items were passed on to other caches meanwhile",
                self.passed_on
            )?;
        }
        writeln!(
            f,
            "{} items of {} pieces checked against {} segment commitments: {} bad, {} of them repaired",
            self.items, self.pieces, self.segments, self.bad, self.repaired
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::Role;
    use subspace_core_primitives::pieces::PieceIndex;

    #[test]
    fn names_the_first_and_counts_all() {
        let mut report = Report::default();
        let cache = InstanceId::generate(Role::ShardedCache);
        for index in 0..MAX_NAMED as u64 + 5 {
            let key = CacheKey::piece(PieceIndex::new(index));
            report.add_bad(cache, &key, Fault::WrongPiece, index == 0);
        }
        assert_eq!((report.bad, report.repaired), (MAX_NAMED as u64 + 5, 1));
        assert_eq!(report.bad_items.len(), MAX_NAMED);
        let text = report.to_string();
        assert!(text.contains("BAD piece 0 in sharded-cache."), "{text}");
        assert!(
            text.contains("(repaired)") && text.contains("and 9905 more"),
            "{text}"
        );
    }
}

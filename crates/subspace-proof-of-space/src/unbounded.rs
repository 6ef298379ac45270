//! Tables without any limit on their shape, slow and plain.
//!
//! The fast tables pack positions into few bits, which suffices by a wide margin but cannot be proven to suffice for every
//! seed. When an entry does not fit, the table is made here instead, so that no entry is ever dropped. Being independent of
//! the fast code, this is also what the tests compare it with.

use crate::PosTable;
use crate::compute::compute;
use crate::constants::{NUM_X, PARAM_BC, PARAM_M, PROOF_BYTES, challenge_prefix, target};
use crate::f1::F1;
use std::ops::Range;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// Entries of one table in rank order.
pub(crate) struct Entries {
    /// Sorted `y`.
    pub(crate) ys: Vec<u32>,
    /// Metadata, right-aligned.
    metadata: Vec<u128>,
    /// Ranks of the two parents; empty in table 1.
    pub(crate) links: Vec<(u32, u32)>,
}

impl Entries {
    fn first(seed: &PosSeed) -> Self {
        let mut entries = Vec::with_capacity(NUM_X as usize);
        F1::new(seed).for_each(0..NUM_X, |x, y| entries.push((y, x)));
        entries.sort_unstable();
        Self {
            ys: entries.iter().map(|&(y, _)| y).collect(),
            metadata: entries.iter().map(|&(_, x)| u128::from(x)).collect(),
            links: Vec::new(),
        }
    }

    /// Ranks of the entries of every bucket.
    fn buckets(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        self.ys
            .chunk_by(|left, right| left / PARAM_BC == right / PARAM_BC)
            .map(|chunk| {
                start += chunk.len();
                start - chunk.len()..start
            })
            .collect()
    }

    /// Makes `table` (2 to 7) from its parent.
    fn child(&self, table: u8) -> Self {
        let mut entries = Vec::with_capacity(self.ys.len());
        // Place of the first right entry with each remainder.
        let mut first_places = vec![u32::MAX; PARAM_BC as usize];
        let mut matches = Vec::new();
        for pair in self.buckets().windows(2) {
            let (lefts, rights) = (pair[0].clone(), pair[1].clone());
            let left_bucket = self.ys[lefts.start] / PARAM_BC;
            if self.ys[rights.start] / PARAM_BC != left_bucket + 1 {
                continue;
            }
            first_places.fill(u32::MAX);
            for place in rights.clone().rev() {
                first_places[(self.ys[place] % PARAM_BC) as usize] = place as u32;
            }
            for left in lefts {
                let y = self.ys[left];
                matches.clear();
                for m in 0..PARAM_M {
                    let first = first_places[target(left_bucket & 1, y % PARAM_BC, m) as usize];
                    if first != u32::MAX {
                        let right_y = self.ys[first as usize];
                        matches.extend(
                            (first..rights.end as u32)
                                .take_while(|&right| self.ys[right as usize] == right_y),
                        );
                    }
                }
                matches.sort_unstable();
                for &right in &matches {
                    let (y, metadata) = compute(table, y, self.metadata[left], self.metadata[right as usize]);
                    entries.push((y, metadata, (left as u32, right)));
                }
            }
        }
        // Stable, and the entries are in the order of their parents.
        entries.sort_by_key(|&(y, _, _)| y);
        Self {
            ys: entries.iter().map(|&(y, _, _)| y).collect(),
            metadata: entries.iter().map(|&(_, metadata, _)| metadata).collect(),
            links: entries.iter().map(|&(_, _, link)| link).collect(),
        }
    }
}

/// All seven tables of a seed, complete.
pub(crate) struct UnboundedTable {
    /// `x` of table 1 in rank order.
    xs: Vec<u32>,
    /// Parents in tables 2 to 7.
    links: Vec<Vec<(u32, u32)>>,
    /// Sorted `y` of table 7.
    ys: Vec<u32>,
}

impl UnboundedTable {
    /// Makes the tables on the calling thread; takes seconds.
    pub(crate) fn create(seed: &PosSeed) -> Self {
        Self::create_observed(seed, |_, _| {})
    }

    /// [`Self::create`] that shows every finished table (1 to 7).
    pub(crate) fn create_observed(seed: &PosSeed, mut observe: impl FnMut(u8, &Entries)) -> Self {
        let mut entries = Entries::first(seed);
        observe(1, &entries);
        let xs = entries.metadata.iter().map(|&x| x as u32).collect();
        let mut links = Vec::new();
        for table in 2..=7 {
            entries = entries.child(table);
            observe(table, &entries);
            links.push(std::mem::take(&mut entries.links));
        }
        Self {
            xs,
            links,
            ys: entries.ys,
        }
    }

    /// Collects the `x` values below entry `rank` of table `level + 1`.
    fn leaves(&self, level: usize, rank: u32, leaves: &mut Vec<u32>) {
        if level == 0 {
            leaves.push(self.xs[rank as usize]);
        } else {
            let (left, right) = self.links[level - 1][rank as usize];
            self.leaves(level - 1, left, leaves);
            self.leaves(level - 1, right, leaves);
        }
    }
}

impl PosTable for UnboundedTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        let prefix = challenge_prefix(challenge_index);
        let rank = self.ys.partition_point(|&y| y >> 6 < prefix);
        if *self.ys.get(rank)? >> 6 != prefix {
            return None;
        }
        let mut leaves = Vec::with_capacity(64);
        self.leaves(self.links.len(), rank as u32, &mut leaves);
        let mut proof = [0; PROOF_BYTES];
        for (bytes, pair) in proof
            .as_chunks_mut::<5>()
            .0
            .iter_mut()
            .zip(leaves.as_chunks::<2>().0)
        {
            let bits = (u64::from(pair[0]) << 20) | u64::from(pair[1]);
            bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        Some(PosProof::from(proof))
    }
}

#[cfg(test)]
pub(crate) mod tests;

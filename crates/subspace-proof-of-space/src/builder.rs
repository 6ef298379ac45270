//! Making a table: from bucket to bucket within a table, from table to table, on one thread or on several.
//!
//! Every part of the work owns a contiguous range of left buckets (of `x` values in table 1) and appends what it makes to lists
//! of its own. Parts are consumed in order, so their number has no influence on the result.

use crate::bucket::{BucketTooFull, REMAINDER_SHIFT, SortedBucket};
use crate::chains::Chains;
use crate::constants::{K, NUM_BUCKETS, NUM_X, PARAM_BC};
use crate::f1::F1;
use crate::kernel::{Kernel, Output};
use crate::matching::Matches;
use crate::table::{Kept, LastTable, PackedTable, TableMemory};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;
use subspace_core_primitives::pos::PosSeed;

/// Most parts the work is divided in: every part has half-empty blocks in all buckets, so memory grows with their number.
const MAX_PARTS: usize = 16;

/// What one part works with besides its lists.
struct Scratch {
    left: SortedBucket,
    right: SortedBucket,
    matches: Matches,
    output: Output,
}

/// Buffers for making one table at a time; large, so worth keeping.
pub(crate) struct Workspace {
    scratches: Vec<Box<Scratch>>,
    parents: Vec<Chains>,
    children: Vec<Chains>,
    /// For the table itself; empty memory grows.
    pub(crate) table_memory: TableMemory,
}

impl Workspace {
    /// For that many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let parts = parts(threads);
        let scratch = || {
            Box::new(Scratch {
                left: SortedBucket::new(),
                right: SortedBucket::new(),
                matches: Matches::new(),
                output: Output::new(),
            })
        };
        Self {
            scratches: (0..parts).map(|_| scratch()).collect(),
            parents: (0..parts).map(|_| Chains::new()).collect(),
            children: (0..parts).map(|_| Chains::new()).collect(),
            table_memory: TableMemory::default(),
        }
    }

    /// Whether it was made for as many threads.
    pub(crate) fn suits(&self, threads: usize) -> bool {
        self.scratches.len() == parts(threads)
    }

    /// Bytes held by the lists.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.parents
            .iter()
            .chain(&self.children)
            .map(Chains::memory)
            .sum()
    }
}

/// Number of parts for that many threads.
fn parts(threads: usize) -> usize {
    threads.clamp(1, MAX_PARTS)
}

/// How a table is made.
pub(crate) struct Plan<'a> {
    /// Where parts run; on the calling thread when there is none.
    pub(crate) pool: Option<&'a ThreadPool>,
    /// Most entries of a bucket before [`BucketTooFull`] is returned.
    pub(crate) bucket_limit: usize,
    /// Whether all entries of table 7 are kept, not only those s-buckets refer to.
    pub(crate) full: bool,
}

/// Makes the table of `seed`. `observe` sees the number and the unsorted records of tables 1 to 6.
pub(crate) fn build<Kern: Kernel>(
    kernel: Kern,
    seed: &PosSeed,
    workspace: &mut Workspace,
    plan: &Plan<'_>,
    mut observe: impl FnMut(u8, &[Chains]),
) -> Result<PackedTable, BucketTooFull> {
    let mut join = Join {
        kernel,
        workspace,
        plan,
    };
    join.first(seed)?;
    observe(1, &join.workspace.parents);
    let mut memory = std::mem::take(&mut join.workspace.table_memory);
    let [memory_4, memory_5, memory_6] = std::mem::take(&mut memory.links);
    join.next::<2, 1, 0, 2>(Vec::new())?;
    observe(2, &join.workspace.parents);
    join.next::<3, 2, 0, 3>(Vec::new())?;
    observe(3, &join.workspace.parents);
    let leaves = join.next::<4, 3, 3, 4>(std::mem::take(&mut memory.leaves))?;
    observe(4, &join.workspace.parents);
    let links_4 = join.next::<5, 4, 1, 4>(memory_4)?;
    observe(5, &join.workspace.parents);
    let links_5 = join.next::<6, 4, 1, 3>(memory_5)?;
    observe(6, &join.workspace.parents);
    let (links_6, last) = join.last(memory_6, memory.last_table(plan.full))?;
    Ok(PackedTable {
        leaves,
        links: [links_4, links_5, links_6],
        last,
    })
}

struct Join<'a, Kern> {
    kernel: Kern,
    workspace: &'a mut Workspace,
    plan: &'a Plan<'a>,
}

impl<Kern: Kernel> Join<'_, Kern> {
    /// Fills `parents` with table 1.
    fn first(&mut self, seed: &PosSeed) -> Result<(), BucketTooFull> {
        let parts = self.workspace.parents.len();
        let tasks = self.workspace.parents.iter_mut().enumerate().collect();
        run(self.plan.pool, tasks, |(part, chains): (usize, &mut Chains)| {
            let range = share(NUM_X as usize / 2, parts, part);
            chains.reset::<1>(2 * range.len());
            F1::new(seed).for_each(2 * range.start as u32..2 * range.end as u32, |x, y| {
                let low_bits = x & ((1 << (K - 6)) - 1);
                chains.push(y / PARAM_BC, [((y % PARAM_BC) << REMAINDER_SHIFT) | low_bits]);
            });
            Ok(())
        })
    }

    /// Makes `TABLE` (2 to 6), with records of `CHILD` words, in `parents`, from its parent with records of `WORDS` words, of
    /// which it keeps the last `KEEP` in `memory`.
    fn next<const TABLE: u8, const WORDS: usize, const KEEP: usize, const CHILD: usize>(
        &mut self,
        memory: Vec<u32>,
    ) -> Result<Kept, BucketTooFull> {
        let Workspace {
            scratches,
            parents,
            children,
            ..
        } = &mut *self.workspace;
        let parts = children.len();
        let mut kept = match KEEP {
            0 => Kept::nothing(),
            _ => Kept::new(parents, KEEP, memory),
        };
        let tasks = scratches
            .iter_mut()
            .zip(children.iter_mut())
            .zip(kept.split(parts))
            .collect();
        let kernel = self.kernel;
        let limit = self.plan.bucket_limit;
        run(self.plan.pool, tasks, |((scratch, chains), (buckets, kept))| {
            let expected = NUM_X as usize / parts;
            chains.reset::<CHILD>(expected);
            if TABLE == 6 {
                // Its records are shorter than those of the table that was here before, and it is now that all tables together take
                // most memory.
                chains.give_back_beyond::<CHILD>(expected);
            }
            scratch.join::<_, TABLE, WORDS, KEEP>(kernel, parents, buckets, limit, kept, |output, len| {
                let records = output.buckets[..len].iter().zip(&output.records[..len]);
                chains.extend::<CHILD>(records.map(|(&bucket, record)| {
                    let record = record.first_chunk().expect("no record is longer");
                    (bucket, *record)
                }));
            })
        })?;
        std::mem::swap(parents, children);
        Ok(kept)
    }

    /// Makes table 7 in the empty `last` and keeps the links of table 6 in `memory`; returns them and table 7.
    fn last(&mut self, memory: Vec<u32>, last: LastTable) -> Result<(Kept, LastTable), BucketTooFull> {
        let Workspace {
            scratches,
            parents,
            children,
            ..
        } = &mut *self.workspace;
        // Table 7 goes nowhere near them.
        children.iter_mut().for_each(Chains::give_back);
        let parts = children.len();
        let mut kept = Kept::new(parents, 1, memory);
        let mut lasts = vec![last];
        lasts.extend((1..parts).map(|_| LastTable::new(self.plan.full)));
        let tasks = scratches
            .iter_mut()
            .zip(&mut lasts)
            .zip(kept.split(parts))
            .collect();
        let kernel = self.kernel;
        let limit = self.plan.bucket_limit;
        run(self.plan.pool, tasks, |((scratch, last), (buckets, kept))| {
            scratch.join::<_, 7, 3, 1>(kernel, parents, buckets, limit, kept, |output, len| {
                last.extend(&output.buckets[..len], &output.links[..len]);
            })
        })?;
        Ok((kept, LastTable::merge(lasts)))
    }
}

impl Scratch {
    /// Joins every bucket of `buckets` with the one after it, gives the entries made to `emit` and copies what is kept of the
    /// parents in `buckets` to `kept`.
    fn join<Kern: Kernel, const TABLE: u8, const WORDS: usize, const KEEP: usize>(
        &mut self,
        kernel: Kern,
        parents: &[Chains],
        buckets: Range<usize>,
        limit: usize,
        mut kept: &mut [u32],
        mut emit: impl FnMut(&Output, usize),
    ) -> Result<(), BucketTooFull> {
        let Self {
            left,
            right,
            matches,
            output,
        } = self;
        // References, so that swapping moves nothing.
        let (mut left, mut right) = (left, right);
        kernel.load::<WORDS>(left, parents, buckets.start, limit)?;
        for bucket in buckets {
            if KEEP > 0 {
                let (target, rest) = kept.split_at_mut(left.len() * KEEP);
                let records = left.records.as_chunks::<WORDS>().0;
                for (target, record) in target.as_chunks_mut::<KEEP>().0.iter_mut().zip(records) {
                    target.copy_from_slice(&record[WORDS - KEEP..]);
                }
                kept = rest;
            }
            if bucket + 1 == NUM_BUCKETS {
                break;
            }
            kernel.load::<WORDS>(right, parents, bucket + 1, limit)?;
            for part in parents {
                part.prefetch::<WORDS>((bucket + 2).min(NUM_BUCKETS - 1));
            }
            let mut place = 0;
            while place < left.len() {
                place = kernel.find_matches(left, place, right, bucket & 1, matches);
                kernel.compute::<TABLE>(left, right, bucket as u32, matches, output);
                emit(output, matches.len());
            }
            std::mem::swap(&mut left, &mut right);
        }
        Ok(())
    }
}

/// The share of `part` when `total` things are divided among `parts`.
pub(crate) fn share(total: usize, parts: usize, part: usize) -> Range<usize> {
    total * part / parts..total * (part + 1) / parts
}

/// Runs all tasks, one a thread when there is a pool.
fn run<T: Send>(
    pool: Option<&ThreadPool>,
    tasks: Vec<T>,
    run_one: impl Fn(T) -> Result<(), BucketTooFull> + Send + Sync,
) -> Result<(), BucketTooFull> {
    match pool {
        None => tasks.into_iter().try_for_each(run_one),
        Some(pool) => pool.install(|| tasks.into_par_iter().with_max_len(1).try_for_each(run_one)),
    }
}

#[cfg(test)]
pub(crate) mod tests;

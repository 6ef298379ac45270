//! What is kept of the seven tables of a seed, and finding proofs in it.

use crate::PosTable;
use crate::bucket::BUCKET_LIMIT_BITS;
use crate::builder::share;
use crate::chains::Chains;
use crate::constants::{NUM_BUCKETS, NUM_S_BUCKETS, PROOF_BYTES, challenge_prefix};
use crate::kernel::LINK_PLACES_BITS;
use crate::memory::{prefetch, zeroed_words};
use std::ops::Range;
use subspace_core_primitives::pos::PosProof;

/// Bytes of the four `x` values below an entry of table 3.
const LEAF_BYTES: usize = 10;

/// The kept words of the entries of one table, in rank order.
pub(crate) struct Kept {
    /// Rank of the first entry of every bucket, and the number of entries.
    starts: Vec<u32>,
    /// Words of an entry.
    words_each: usize,
    /// At least the words of the entries.
    pub(crate) words: Vec<u32>,
}

impl Kept {
    /// Without any entries.
    pub(crate) fn nothing() -> Self {
        Self {
            starts: vec![0; NUM_BUCKETS + 1],
            words_each: 0,
            words: Vec::new(),
        }
    }

    /// With place for all entries of a table, in `words` when it is large enough.
    pub(crate) fn new(parts: &[Chains], words_each: usize, mut words: Vec<u32>) -> Self {
        let mut starts = Vec::with_capacity(NUM_BUCKETS + 1);
        let mut sum = 0;
        for bucket in 0..NUM_BUCKETS {
            starts.push(sum as u32);
            sum += parts.iter().map(|part| part.count(bucket)).sum::<usize>();
        }
        starts.push(sum as u32);
        if words.len() < sum * words_each {
            // Sizes of tables differ little from seed to seed. The old memory goes first: both together would be the peak.
            drop(words);
            words = zeroed_words((sum + sum / 64) * words_each);
        }
        Self {
            starts,
            words_each,
            words,
        }
    }

    /// Divides the buckets, and the words with them, among `parts`.
    pub(crate) fn split(&mut self, parts: usize) -> Vec<(Range<usize>, &mut [u32])> {
        let mut rest = self.words.as_mut_slice();
        (0..parts)
            .map(|part| {
                let buckets = share(NUM_BUCKETS, parts, part);
                let entries = self.starts[buckets.end] - self.starts[buckets.start];
                let (words, after) =
                    std::mem::take(&mut rest).split_at_mut(entries as usize * self.words_each);
                rest = after;
                (buckets, words)
            })
            .collect()
    }

    /// Ranks of the two parents of an entry, where `self` is the table of the parents.
    #[inline(always)]
    pub(crate) fn parents(&self, link: u32) -> [usize; 2] {
        let left_bucket = (link >> LINK_PLACES_BITS) as usize;
        let place_mask = (1 << BUCKET_LIMIT_BITS) - 1;
        let left_place = (link >> BUCKET_LIMIT_BITS) & place_mask;
        let right_place = link & place_mask;
        [
            (self.starts[left_bucket] + left_place) as usize,
            (self.starts[left_bucket + 1] + right_place) as usize,
        ]
    }
}

/// Table 7.
pub(crate) enum LastTable {
    /// For every s-bucket the best entry: the low 6 bits of `y` above, the link in the low 32 bits; `u64::MAX` when there is
    /// none. Indexed by the upper 16 of the 20 bits a challenge asks for.
    SBuckets(Vec<u64>),
    /// All entries: `y` above, the link in the low 32 bits.
    Full(Vec<u64>),
}

impl LastTable {
    pub(crate) fn new(full: bool) -> Self {
        if full {
            Self::Full(Vec::new())
        } else {
            Self::s_buckets(Vec::new())
        }
    }

    /// No proofs yet, in the memory of `best`.
    fn s_buckets(mut best: Vec<u64>) -> Self {
        best.clear();
        best.resize(NUM_S_BUCKETS, u64::MAX);
        Self::SBuckets(best)
    }

    /// Adds entries that come after all earlier ones.
    #[inline(always)]
    pub(crate) fn extend(&mut self, ys: &[u32], links: &[u32]) {
        let entries = ys.iter().zip(links);
        match self {
            Self::Full(all) => all.extend(entries.map(|(&y, &link)| (u64::from(y) << 32) | u64::from(link))),
            Self::SBuckets(best) => {
                for (&y, &link) in entries {
                    // S-buckets ask for 20-bit prefixes whose last 4 bits are zero.
                    if y & 0x3c0 == 0 {
                        let best = &mut best[(y >> 10) as usize % NUM_S_BUCKETS];
                        // Among equal ones the first stays.
                        if u64::from(y & 63) < *best >> 32 {
                            *best = (u64::from(y & 63) << 32) | u64::from(link);
                        }
                    }
                }
            }
        }
    }

    /// Joins the tables of all parts, which are in order.
    pub(crate) fn merge(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut merged = parts.next().unwrap_or_else(|| Self::new(false));
        for part in parts {
            match (&mut merged, part) {
                (Self::Full(all), Self::Full(more)) => all.extend(more),
                (Self::SBuckets(best), Self::SBuckets(others)) => {
                    for (best, other) in best.iter_mut().zip(others) {
                        if other >> 32 < *best >> 32 {
                            *best = other;
                        }
                    }
                }
                // All parts are made alike.
                (Self::Full(_), Self::SBuckets(_)) | (Self::SBuckets(_), Self::Full(_)) => {}
            }
        }
        if let Self::Full(all) = &mut merged {
            // Stable: equal `y` stay in the order of their parents.
            all.sort_by_key(|entry| entry >> 32);
        }
        merged
    }

    /// The link of the lowest-ranked entry that a challenge asks for.
    #[inline(always)]
    pub(crate) fn find(&self, challenge_index: u32) -> Option<u32> {
        let prefix = challenge_prefix(challenge_index);
        match self {
            Self::SBuckets(best) => {
                let entry = *best.get(prefix as usize >> 4)?;
                (prefix & 15 == 0 && entry != u64::MAX).then_some(entry as u32)
            }
            Self::Full(all) => {
                let rank = all.partition_point(|entry| (entry >> 38) < u64::from(prefix));
                let entry = *all.get(rank)?;
                (entry >> 38 == u64::from(prefix)).then_some(entry as u32)
            }
        }
    }
}

/// Everything needed to find proofs: about 25 MB.
pub(crate) struct PackedTable {
    /// Records of table 3, which hold the four `x` values below an entry.
    pub(crate) leaves: Kept,
    /// Links of tables 4, 5 and 6.
    pub(crate) links: [Kept; 3],
    pub(crate) last: LastTable,
}

/// Large memory of a [`PackedTable`], to be used for another one.
#[derive(Default)]
pub(crate) struct TableMemory {
    /// Of the leaves.
    pub(crate) leaves: Vec<u32>,
    /// Of the links.
    pub(crate) links: [Vec<u32>; 3],
    /// Of table 7.
    last: Vec<u64>,
}

impl TableMemory {
    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let links = self.links.iter().map(Vec::capacity).sum::<usize>();
        4 * (self.leaves.capacity() + links) + 8 * self.last.capacity()
    }

    /// An empty table 7 of s-buckets in this memory; a complete one when `full`, which has memory of its own.
    pub(crate) fn last_table(&mut self, full: bool) -> LastTable {
        if full {
            LastTable::new(true)
        } else {
            LastTable::s_buckets(std::mem::take(&mut self.last))
        }
    }
}

/// Ranks of both parents of every entry, given by its link to entries of `parents`, of `words_each` words. Asks for the words of the
/// parents.
#[inline(always)]
pub(crate) fn expand<const N: usize, const PARENTS: usize>(
    links: [u32; N],
    parents: &Kept,
    words_each: usize,
) -> [u32; PARENTS] {
    const { assert!(PARENTS == 2 * N) };
    let mut ranks = [0; PARENTS];
    for (pair, link) in ranks.as_chunks_mut::<2>().0.iter_mut().zip(links) {
        *pair = parents.parents(link).map(|rank| {
            prefetch(&parents.words, rank * words_each);
            // The last word may be in the next cache line.
            prefetch(&parents.words, (rank + 1) * words_each - 1);
            rank as u32
        });
    }
    ranks
}

/// The links of entries of `table`.
#[inline(always)]
pub(crate) fn links_of<const N: usize>(ranks: [u32; N], table: &Kept) -> [u32; N] {
    let mut links = ranks;
    for link in &mut links {
        *link = table.words[*link as usize];
    }
    links
}

impl PackedTable {
    /// The record of an entry of table 3.
    #[inline(always)]
    pub(crate) fn leaf(&self, rank: usize) -> [u32; 3] {
        self.leaves.words.as_chunks().0[rank]
    }

    /// What another table can use.
    pub(crate) fn take_memory(&mut self) -> TableMemory {
        let last = match &mut self.last {
            LastTable::SBuckets(best) => std::mem::take(best),
            LastTable::Full(_) => Vec::new(),
        };
        TableMemory {
            leaves: std::mem::take(&mut self.leaves.words),
            links: self
                .links
                .each_mut()
                .map(|links| std::mem::take(&mut links.words)),
            last,
        }
    }
}

impl PosTable for PackedTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        let link = self.last.find(challenge_index)?;
        let [links_4, links_5, links_6] = &self.links;
        // Level by level, so that a processor waits for all places of a level at once.
        let ranks_6 = expand::<1, 2>([link], links_6, 1);
        let ranks_5 = expand::<2, 4>(links_of(ranks_6, links_6), links_5, 1);
        let ranks_4 = expand::<4, 8>(links_of(ranks_5, links_5), links_4, 1);
        let ranks_3 = expand::<8, 16>(links_of(ranks_4, links_4), &self.leaves, 3);
        let mut proof = [0; PROOF_BYTES];
        for (part, rank) in proof.as_chunks_mut::<LEAF_BYTES>().0.iter_mut().zip(ranks_3) {
            *part = leaf_bytes(self.leaf(rank as usize));
        }
        Some(PosProof::from(proof))
    }
}

/// The 80 bits after the 14-bit remainder of a record of table 3.
fn leaf_bytes(record: [u32; 3]) -> [u8; LEAF_BYTES] {
    let bits = record
        .into_iter()
        .fold(0_u128, |bits, word| (bits << 32) | u128::from(word))
        >> 2;
    let mut bytes = [0; LEAF_BYTES];
    bytes.copy_from_slice(&bits.to_be_bytes()[16 - LEAF_BYTES..]);
    bytes
}

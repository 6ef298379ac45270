//! Growing lists of records, one list for every bucket.
//!
//! A table is produced in the order of its parents but consumed bucket by bucket. Its records are appended here to the list of
//! the bucket they fall in. A list is a chain of small blocks of one common array: records written at about the same time lie
//! close together, no bucket has a limit, and little is wasted.

use crate::constants::NUM_BUCKETS;
use crate::memory::{give_back, prefetch, zeroed_words};

/// Records in a block: long enough that taking a new one is rare, short enough that half a block for every bucket is little.
const BLOCK: usize = 16;
/// Words of a cache line.
const LINE: usize = 16;
/// How many blocks ahead of the one begun are asked for: blocks are begun in the order in which they lie in memory.
const BLOCKS_AHEAD: usize = 12;

/// The lists of all buckets. Records are `W` words; all calls between two [`Chains::reset`]s must use the same `W`.
pub(crate) struct Chains {
    words: Vec<u32>,
    /// Block after every block.
    next: Vec<u32>,
    /// First block of every bucket.
    heads: Box<[u32; NUM_BUCKETS]>,
    /// Where the next record of every bucket goes, in records. A multiple of [`BLOCK`]: no place left in the last block; zero:
    /// no block yet (block 0 is never used).
    cursors: Box<[u32; NUM_BUCKETS]>,
    /// Number of blocks of every bucket.
    blocks: Box<[u32; NUM_BUCKETS]>,
    used_blocks: usize,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Self {
            words: Vec::new(),
            next: Vec::new(),
            heads: Box::new([0; NUM_BUCKETS]),
            cursors: Box::new([0; NUM_BUCKETS]),
            blocks: Box::new([0; NUM_BUCKETS]),
            used_blocks: 1,
        }
    }

    /// Empties all lists and makes place for about `expected` records of `W` words; more are possible.
    pub(crate) fn reset<const W: usize>(&mut self, expected: usize) {
        self.heads.fill(0);
        self.cursors.fill(0);
        self.blocks.fill(0);
        self.used_blocks = 1;
        self.reserve::<W>(Self::blocks_for(expected));
    }

    /// Gives the memory of all records back until the next [`Chains::reset`].
    pub(crate) fn give_back(&mut self) {
        give_back(&mut self.words);
    }

    /// Gives back what about `expected` records of `W` words do not need. More records are possible, as ever.
    pub(crate) fn give_back_beyond<const W: usize>(&mut self, expected: usize) {
        let needed = Self::blocks_for(expected) * BLOCK * W;
        if let Some(rest) = self.words.get_mut(needed..) {
            give_back(rest);
        }
    }

    /// Blocks for about that many records: half a block more for every bucket, and 1/16 because table sizes vary.
    fn blocks_for(expected: usize) -> usize {
        (expected + expected / 16) / BLOCK + NUM_BUCKETS / 2 + 2
    }

    /// Makes place for that many blocks.
    fn reserve<const W: usize>(&mut self, blocks: usize) {
        if self.next.len() < blocks {
            self.next.resize(blocks, 0);
        }
        if self.words.len() < blocks * BLOCK * W {
            // Exactly: doubling would take far more memory than a table that is a little larger than expected needs.
            let mut words = zeroed_words(blocks * BLOCK * W);
            words[..self.words.len()].copy_from_slice(&self.words);
            self.words = words;
        }
    }

    /// Appends a record to the list of `bucket`.
    #[inline(always)]
    pub(crate) fn push<const W: usize>(&mut self, bucket: u32, record: [u32; W]) {
        self.extend(std::iter::once((bucket, record)));
    }

    /// Appends records to the lists of their buckets, in order.
    #[inline(always)]
    pub(crate) fn extend<const W: usize>(&mut self, records: impl ExactSizeIterator<Item = (u32, [u32; W])>) {
        // In the worst case every record begins a block. Reserving before the loop keeps growth out of it.
        let blocks = self.used_blocks + records.len();
        if self.next.len() < blocks || self.words.len() < blocks * BLOCK * W {
            self.grow::<W>(blocks);
        }
        let places = self.words.as_chunks_mut::<W>().0;
        for (bucket, record) in records {
            let bucket = bucket as usize;
            let mut cursor = self.cursors[bucket];
            if (cursor as usize).is_multiple_of(BLOCK) {
                let block = self.used_blocks;
                self.used_blocks += 1;
                if cursor == 0 {
                    self.heads[bucket] = block as u32;
                } else {
                    self.next[cursor as usize / BLOCK - 1] = block as u32;
                }
                self.blocks[bucket] += 1;
                cursor = (block * BLOCK) as u32;
                for line in 0..W * BLOCK / LINE {
                    prefetch(
                        places.as_flattened(),
                        (block + BLOCKS_AHEAD) * BLOCK * W + line * LINE,
                    );
                }
            }
            places[cursor as usize] = record;
            self.cursors[bucket] = cursor + 1;
        }
    }

    /// Makes place for that many blocks and some more.
    #[cold]
    fn grow<const W: usize>(&mut self, blocks: usize) {
        self.reserve::<W>(blocks + blocks / 32);
    }

    /// Number of records in the list of `bucket`.
    pub(crate) fn count(&self, bucket: usize) -> usize {
        match self.blocks[bucket] as usize {
            0 => 0,
            blocks => (blocks - 1) * BLOCK + (self.cursors[bucket] as usize - 1) % BLOCK + 1,
        }
    }

    /// Asks for the list of `bucket`, so that a copy of it a little later need not wait.
    #[inline(always)]
    pub(crate) fn prefetch<const W: usize>(&self, bucket: usize) {
        let mut block = self.heads[bucket] as usize;
        for _ in 0..self.blocks[bucket] {
            for line in 0..W * BLOCK / LINE {
                prefetch(&self.words, block * BLOCK * W + line * LINE);
            }
            block = self.next[block] as usize;
        }
    }

    /// Copies the list of `bucket` to the start of `records` and returns how many there were; `None` when they do not fit.
    /// `records` has place for a multiple of the block.
    #[inline(always)]
    pub(crate) fn copy<const W: usize>(&self, bucket: usize, records: &mut [u32]) -> Option<usize> {
        let count = self.count(bucket);
        if count.next_multiple_of(BLOCK) * W > records.len() {
            // The last block is copied whole, so that copies have a constant length.
            return None;
        }
        let mut block = self.heads[bucket] as usize;
        for target in records.chunks_exact_mut(BLOCK * W).take(count.div_ceil(BLOCK)) {
            target.copy_from_slice(&self.words[block * BLOCK * W..][..BLOCK * W]);
            block = self.next[block] as usize;
        }
        Some(count)
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        4 * (self.words.capacity() + self.next.capacity() + 3 * NUM_BUCKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<const W: usize>(buckets: &[usize], expected: usize, chains: &mut Chains) {
        chains.reset::<W>(expected);
        let mut lists = vec![Vec::new(); NUM_BUCKETS];
        for (index, &bucket) in buckets.iter().enumerate() {
            let record = std::array::from_fn(|word| (index * W + word) as u32);
            chains.push::<W>(bucket as u32, record);
            lists[bucket].extend(record);
        }
        for (bucket, list) in lists.iter().enumerate() {
            assert_eq!(chains.count(bucket) * W, list.len());
            let mut records = vec![0; list.len().next_multiple_of(BLOCK * W)];
            assert_eq!(chains.copy::<W>(bucket, &mut records), Some(list.len() / W));
            assert_eq!(records[..list.len()], list[..]);
            if !list.is_empty() {
                let length = records.len() - 1;
                assert_eq!(chains.copy::<W>(bucket, &mut records[..length]), None);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn lists_keep_their_order(
            buckets in prop::collection::vec(prop_oneof![0..NUM_BUCKETS, 4430..NUM_BUCKETS, 3..4_usize], 0..30_000),
            expected in 0..40_000_usize,
        ) {
            let mut chains = Chains::new();
            check::<1>(&buckets, expected, &mut chains);
            check::<4>(&buckets, 0, &mut chains);
            check::<3>(&buckets, expected, &mut chains);
        }
    }
}

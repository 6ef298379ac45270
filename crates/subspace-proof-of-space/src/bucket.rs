//! One bucket of a table, sorted and ready for matching.

#[cfg(target_arch = "x86_64")]
mod sort_avx512;

use crate::chains::Chains;
use crate::constants::{PARAM_B, PARAM_BC, PARAM_C};

/// Most entries a [`SortedBucket`] holds. The mean is 236 and the standard deviation 15, so a fuller bucket practically does
/// not exist; where one does, the table is made without limits.
pub(crate) const BUCKET_LIMIT: usize = 1 << BUCKET_LIMIT_BITS;
/// Bits of a place within a bucket.
pub(crate) const BUCKET_LIMIT_BITS: u32 = 9;
/// Most keys that the sort with vectors takes; one bucket in eleven has more.
#[cfg(target_arch = "x86_64")]
const SORT_LIMIT: usize = 256;
/// Words of the longest record.
pub(crate) const MAX_RECORD_WORDS: usize = 4;
/// Words of the records of a full bucket.
pub(crate) const RECORD_WORDS: usize = BUCKET_LIMIT * MAX_RECORD_WORDS;
/// Bytes beyond the last entry that vector code may read from rows and columns.
pub(crate) const BYTE_PADDING: usize = 64;
/// Every record starts with the remainder of its `y`, this far up.
pub(crate) const REMAINDER_SHIFT: u32 = 18;

/// A bucket has more entries than the fast tables can address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketTooFull;

/// A bucket in rank order.
pub(crate) struct SortedBucket {
    len: usize,
    /// Records one after the other.
    pub(crate) records: Box<[u32; RECORD_WORDS]>,
    /// Row of every entry.
    pub(crate) rows: [u8; BUCKET_LIMIT + BYTE_PADDING],
    /// Column of every entry.
    pub(crate) columns: [u8; BUCKET_LIMIT + BYTE_PADDING],
    /// For every row, the place of the first entry of it or of a later row.
    pub(crate) row_starts: [u16; PARAM_B as usize + 1],
    /// Records in the order they were emitted.
    emitted: Box<[u32; RECORD_WORDS]>,
    /// Remainder and place in `emitted`.
    keys: [u32; BUCKET_LIMIT],
}

impl SortedBucket {
    pub(crate) fn new() -> Self {
        Self {
            len: 0,
            records: Box::new([0; RECORD_WORDS]),
            rows: [0; BUCKET_LIMIT + BYTE_PADDING],
            columns: [0; BUCKET_LIMIT + BYTE_PADDING],
            row_starts: [0; PARAM_B as usize + 1],
            emitted: Box::new([0; RECORD_WORDS]),
            keys: [0; BUCKET_LIMIT],
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Remainder of the entry at `place`, for records of `W` words.
    #[cfg(test)]
    pub(crate) fn remainder<const W: usize>(&self, place: usize) -> u32 {
        self.records[place * W] >> REMAINDER_SHIFT
    }

    /// Collects `bucket` from the parts of a table, which are in order, and sorts it by remainder and emission.
    #[inline(always)]
    pub(crate) fn load<const W: usize>(
        &mut self,
        parts: &[Chains],
        bucket: usize,
        limit: usize,
    ) -> Result<(), BucketTooFull> {
        self.collect::<W>(parts, bucket, limit)?;
        self.sort_keys::<W>();
        self.arrange::<W>();
        Ok(())
    }

    /// [`Self::load`] with vectors.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    pub(crate) fn load_avx512<const W: usize>(
        &mut self,
        parts: &[Chains],
        bucket: usize,
        limit: usize,
    ) -> Result<(), BucketTooFull> {
        self.collect::<W>(parts, bucket, limit)?;
        match self.keys.first_chunk_mut::<SORT_LIMIT>() {
            Some(keys) if self.len <= SORT_LIMIT => {
                let records = self.emitted.as_chunks::<W>().0;
                for (place, (key, record)) in keys.iter_mut().zip(records).enumerate() {
                    *key = key_of(record[0], place);
                }
                sort_avx512::sort_keys(keys, self.len);
            }
            _ => self.sort_keys::<W>(),
        }
        self.arrange::<W>();
        Ok(())
    }

    /// Fills `emitted`.
    #[inline(always)]
    fn collect<const W: usize>(
        &mut self,
        parts: &[Chains],
        bucket: usize,
        limit: usize,
    ) -> Result<(), BucketTooFull> {
        let mut len = 0;
        for part in parts {
            len += part
                .copy::<W>(bucket, &mut self.emitted[len * W..])
                .ok_or(BucketTooFull)?;
        }
        if len > limit {
            return Err(BucketTooFull);
        }
        self.len = len;
        Ok(())
    }

    /// Fills the first `len` keys and sorts them.
    #[inline(always)]
    fn sort_keys<const W: usize>(&mut self) {
        /// Bins are this many remainders wide, as a power of two; they hold half an entry each on average, so little is left to sort
        /// within them.
        const BIN_BITS: u32 = 5;
        /// Number of bins.
        const BINS: usize = 512;
        const _: () = assert!((PARAM_BC >> BIN_BITS) < BINS as u32);
        let len = self.len;
        let emitted = &self.emitted.as_chunks::<W>().0[..len];

        let mut ends = [0_u16; BINS];
        let bin = |record: u32| (record >> (REMAINDER_SHIFT + BIN_BITS)) as usize % BINS;
        for record in emitted {
            ends[bin(record[0])] += 1;
        }
        // Sums of all counts before each, four at a time: multiplied by this, every quarter of a word becomes the sum of itself and those
        // below. None overflows, because there are few entries.
        const SUMS: u64 = 0x0001_0001_0001_0001;
        let mut before = 0;
        for counts in ends.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = counts.map(u64::from);
            let sums = (a | b << 16 | c << 32 | d << 48).wrapping_mul(SUMS);
            let starts = (sums << 16).wrapping_add(SUMS.wrapping_mul(before));
            *counts = [0, 16, 32, 48].map(|shift| (starts >> shift) as u16);
            before += sums >> 48;
        }
        for (place, record) in emitted.iter().enumerate() {
            let end = &mut ends[bin(record[0])];
            self.keys[usize::from(*end) % BUCKET_LIMIT] = key_of(record[0], place);
            *end += 1;
        }
        // Bins are in order, so entries move within their bin only.
        let keys = &mut self.keys[..len];
        for place in 1..len {
            let key = keys[place];
            let mut hole = place;
            while hole > 0 && keys[hole - 1] > key {
                keys[hole] = keys[hole - 1];
                hole -= 1;
            }
            keys[hole] = key;
        }
    }

    /// Fills everything else from the sorted keys.
    #[inline(always)]
    fn arrange<const W: usize>(&mut self) {
        let len = self.len;
        let keys = &self.keys[..len];
        let emitted = self.emitted.as_chunks::<W>().0;
        let records = &mut self.records.as_chunks_mut::<W>().0[..len];
        for (record, key) in records.iter_mut().zip(keys) {
            *record = emitted[*key as usize % BUCKET_LIMIT];
        }
        let (rows, columns) = (&mut self.rows[..len], &mut self.columns[..len]);
        for ((row, column), key) in rows.iter_mut().zip(columns).zip(keys) {
            let remainder = key >> BUCKET_LIMIT_BITS;
            *row = (remainder / PARAM_C) as u8;
            *column = (remainder % PARAM_C) as u8;
        }
        // After every row the place behind its last entry; where a row has none, that of the row before.
        self.row_starts.fill(0);
        for (next, &row) in (1..).zip(&self.rows[..len]) {
            self.row_starts[usize::from(row) + 1] = next;
        }
        let mut start = 0;
        for row_start in &mut self.row_starts {
            start = start.max(*row_start);
            *row_start = start;
        }
    }
}

/// What entries are sorted by: remainder, then place of emission, which makes all keys distinct and the order that of a stable sort.
#[inline(always)]
fn key_of(first_word: u32, place: usize) -> u32 {
    (first_word >> REMAINDER_SHIFT) << BUCKET_LIMIT_BITS | place as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constants::NUM_BUCKETS;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn sorting_is_stable_and_rows_are_found(
            // Few remainders, so that equal ones are frequent.
            remainders in prop::collection::vec(prop_oneof![0..PARAM_BC, 100..105_u32, 15_110..PARAM_BC], 0..500),
            split in 0.0..1.0_f64,
            with_vectors in any::<bool>(),
        ) {
            let split = (remainders.len() as f64 * split) as usize;
            let mut parts = [Chains::new(), Chains::new()];
            for (index, &remainder) in remainders.iter().enumerate() {
                parts[usize::from(index >= split)].push::<2>(17, [remainder << REMAINDER_SHIFT, index as u32]);
            }
            let mut expected: Vec<_> = remainders.iter().enumerate().map(|(index, &r)| (r, index as u32)).collect();
            expected.sort();
            let mut bucket = SortedBucket::new();
            #[cfg(target_arch = "x86_64")]
            if crate::lanes::Avx512::detect().is_some() && with_vectors {
                // SAFETY: the processor was asked.
                unsafe { bucket.load_avx512::<2>(&parts, 17, BUCKET_LIMIT) }.unwrap();
            }
            if bucket.len() != expected.len() {
                bucket.load::<2>(&parts, 17, BUCKET_LIMIT).unwrap();
            }
            prop_assert_eq!(bucket.len(), expected.len());
            for (place, &(remainder, index)) in expected.iter().enumerate() {
                prop_assert_eq!(bucket.records[2 * place..2 * place + 2].to_vec(), vec![remainder << REMAINDER_SHIFT, index]);
                prop_assert_eq!(bucket.remainder::<2>(place), remainder);
                prop_assert_eq!(u32::from(bucket.rows[place]), remainder / PARAM_C);
                prop_assert_eq!(u32::from(bucket.columns[place]), remainder % PARAM_C);
            }
            for row in 0..=PARAM_B {
                let start = expected.partition_point(|&(remainder, _)| remainder / PARAM_C < row);
                prop_assert_eq!(usize::from(bucket.row_starts[row as usize]), start);
            }
            if !expected.is_empty() {
                prop_assert_eq!(bucket.load::<2>(&parts, 17, expected.len() - 1), Err(BucketTooFull));
            }
        }
    }

    #[test]
    fn more_entries_than_fit_are_refused() {
        let mut chains = Chains::new();
        let mut bucket = SortedBucket::new();
        for count in 1..=BUCKET_LIMIT + 1 {
            chains.push::<4>(NUM_BUCKETS as u32 - 1, [1; 4]);
            let loaded = bucket.load::<4>(std::slice::from_ref(&chains), NUM_BUCKETS - 1, BUCKET_LIMIT);
            assert_eq!(loaded.is_ok(), count <= BUCKET_LIMIT, "{count}");
        }
    }
}

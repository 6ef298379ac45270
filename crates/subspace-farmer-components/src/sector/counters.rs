//! Counts, for all s-buckets at once, how many of a number of records have a chunk there.

use super::NUM_S_BUCKETS;
use super::bitmap::{WORDS, Words, zero_words};

/// 65 536 counters held as bit planes: plane `p` has bit `p` of every counter, so adding a record is a ripple of carries
/// over whole words instead of 65 536 additions.
pub(crate) struct SBucketCounter {
    planes: Vec<Box<Words>>,
}

impl SBucketCounter {
    pub(crate) fn new() -> Self {
        Self { planes: Vec::new() }
    }

    /// Adds one to every s-bucket whose bit is set.
    pub(crate) fn add(&mut self, stored: &Words) {
        let mut carry = *stored;
        for plane in &mut self.planes {
            let mut any = 0;
            for (plane, carry) in plane.iter_mut().zip(&mut carry) {
                let overflow = *plane & *carry;
                *plane ^= *carry;
                *carry = overflow;
                any |= overflow;
            }
            if any == 0 {
                return;
            }
        }
        let mut plane = zero_words();
        plane.copy_from_slice(&carry);
        self.planes.push(plane);
    }

    /// The count of one s-bucket.
    pub(crate) fn count(&self, s_bucket: u16) -> u32 {
        let s_bucket = usize::from(s_bucket);
        self.planes.iter().enumerate().fold(0, |count, (bit, plane)| {
            count | ((plane[s_bucket / 64] >> (s_bucket % 64) & 1) as u32) << bit
        })
    }

    /// The counts of all s-buckets; counts must fit 16 bits, which holds because a sector has at most 65 535 records.
    pub(crate) fn counts(&self) -> Box<[u16; NUM_S_BUCKETS]> {
        let mut counts = vec![0_u16; NUM_S_BUCKETS];
        for (bit, plane) in self.planes.iter().enumerate() {
            for (word, counts) in plane.iter().zip(counts.as_chunks_mut::<64>().0) {
                for (position, count) in counts.iter_mut().enumerate() {
                    *count |= ((word >> position & 1) as u16) << bit;
                }
            }
        }
        counts
            .into_boxed_slice()
            .try_into()
            .expect("allocated with exactly this many counts")
    }
}

const _: () = assert!(WORDS * 64 == NUM_S_BUCKETS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_like_addition() {
        let mut counter = SBucketCounter::new();
        let mut expected = vec![0_u32; NUM_S_BUCKETS];
        let mut state = 1_u64;
        for round in 0..37 {
            let mut words = zero_words();
            for word in words.iter_mut() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
                *word = state ^ state >> 31;
            }
            counter.add(&words);
            for (s_bucket, expected) in expected.iter_mut().enumerate() {
                *expected += (words[s_bucket / 64] >> (s_bucket % 64) & 1) as u32;
            }
        }
        assert!(
            expected
                .iter()
                .enumerate()
                .all(|(s, &count)| counter.count(s as u16) == count)
        );
        assert!(
            counter
                .counts()
                .iter()
                .zip(&expected)
                .all(|(&a, &b)| u32::from(a) == b)
        );
    }
}

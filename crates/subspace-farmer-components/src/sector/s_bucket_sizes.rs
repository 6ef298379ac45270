//! How many chunks each s-bucket of a sector holds, and where each s-bucket starts.

use super::NUM_S_BUCKETS;
use std::fmt;
use std::sync::Arc;
use subspace_core_primitives::pieces::SBucket;

/// An s-bucket's start is the stored start of its group plus the sizes of the s-buckets before it in the group.
const GROUP: usize = 256;
const GROUPS: usize = NUM_S_BUCKETS / GROUP;

/// Sizes of all s-buckets of one sector, in chunks.
///
/// Takes 132 KB per sector: 65 536 16-bit sizes, and a running sum for each group of 256, so that the start of an s-bucket
/// costs at most 255 additions. Clones share the memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SBucketSizes {
    sizes: Arc<[u16]>,
    group_starts: Arc<[u32]>,
}

impl fmt::Debug for SBucketSizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SBucketSizes")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

impl SBucketSizes {
    /// Takes the sizes of s-buckets 0, 1, ... 65 535.
    pub fn new(sizes: Box<[u16; NUM_S_BUCKETS]>) -> Self {
        // The sum fits: 65 536 * 65 535 < 2^32.
        let group_starts = sizes
            .chunks_exact(GROUP)
            .scan(0_u32, |next, group| {
                let start = *next;
                *next += sum(group);
                Some(start)
            })
            .collect();
        Self {
            sizes: (sizes as Box<[u16]>).into(),
            group_starts,
        }
    }

    /// Chunks in this s-bucket.
    pub fn size(&self, s_bucket: SBucket) -> u16 {
        self.sizes[usize::from(s_bucket)]
    }

    /// Chunks in all lower s-buckets together.
    pub fn offset(&self, s_bucket: SBucket) -> u32 {
        let s_bucket = usize::from(s_bucket);
        let group = s_bucket / GROUP;
        self.group_starts[group] + sum(&self.sizes[group * GROUP..s_bucket])
    }

    /// Starts of all s-buckets in chunks, ascending.
    pub fn offsets(&self) -> impl Iterator<Item = u32> {
        self.sizes.iter().scan(0, |next, &size| {
            let offset = *next;
            *next += u32::from(size);
            Some(offset)
        })
    }

    /// Chunks of the whole sector.
    pub fn total(&self) -> u32 {
        self.group_starts[GROUPS - 1] + sum(&self.sizes[NUM_S_BUCKETS - GROUP..])
    }

    /// Sizes of all 65 536 s-buckets.
    pub fn as_slice(&self) -> &[u16] {
        &self.sizes
    }

    /// A copy of the sizes, as sector metadata has them.
    pub fn to_array(&self) -> Box<[u16; NUM_S_BUCKETS]> {
        Box::<[u16]>::from(&*self.sizes)
            .try_into()
            .expect("constructed from this many sizes")
    }
}

fn sum(sizes: &[u16]) -> u32 {
    sizes.iter().map(|&size| u32::from(size)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_running_sums() {
        let sizes: Vec<u16> = (0..NUM_S_BUCKETS).map(|s| (s * 7919 % 1000) as u16).collect();
        let sizes = SBucketSizes::new(sizes.into_boxed_slice().try_into().unwrap());
        let mut start = 0;
        for (s_bucket, offset) in sizes.offsets().enumerate() {
            assert_eq!(offset, start);
            let s_bucket = SBucket::from(s_bucket as u16);
            assert_eq!(sizes.offset(s_bucket), start);
            start += u32::from(sizes.size(s_bucket));
        }
        assert_eq!(sizes.total(), start);
        assert_eq!(SBucketSizes::new(sizes.to_array()), sizes);
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let sizes = vec![u16::MAX; NUM_S_BUCKETS].into_boxed_slice();
        let sizes = SBucketSizes::new(sizes.try_into().unwrap());
        assert_eq!(sizes.total(), 65_536 * 65_535);
        assert_eq!(sizes.offset(SBucket::from(u16::MAX)), 65_535 * 65_535);
    }
}

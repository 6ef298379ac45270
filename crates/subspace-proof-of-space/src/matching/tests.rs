//! Every matching against the definition.

use super::*;
use crate::bucket::{BUCKET_LIMIT, REMAINDER_SHIFT};
use crate::chains::Chains;
use crate::constants::{PARAM_BC, remainders_match};
use crate::simd::SimdLevel;
use proptest::prelude::*;

fn sorted_bucket(remainders: &[u32]) -> SortedBucket {
    let mut chains = Chains::new();
    for remainder in remainders {
        chains.push::<1>(0, [remainder << REMAINDER_SHIFT]);
    }
    let mut bucket = SortedBucket::new();
    bucket.load::<1>(&[chains], 0, BUCKET_LIMIT).unwrap();
    bucket
}

/// Compares with the definition for both parities; returns the number of matches.
fn check(level: SimdLevel, lefts: &[u32], rights: &[u32]) -> usize {
    let (left, right) = (sorted_bucket(lefts), sorted_bucket(rights));
    let mut total = 0;
    for parity in 0..2 {
        let base = parity as u32 * PARAM_BC;
        let mut expected = Vec::new();
        for left_place in 0..left.len() {
            for right_place in 0..right.len() {
                let left_y = base + left.remainder::<1>(left_place);
                if remainders_match(left_y, right.remainder::<1>(right_place)) {
                    expected.push(word(left_place, right_place));
                }
            }
        }
        let mut found = Vec::new();
        let mut matches = Matches::new();
        let mut place = 0;
        while place < left.len() {
            let next = match level {
                SimdLevel::Portable => find_matches_portable(&left, place, &right, parity, &mut matches),
                #[cfg(target_arch = "x86_64")]
                SimdLevel::Avx2 => {
                    let token = crate::lanes::Avx2::detect().unwrap();
                    find_matches_avx2(token, &left, place, &right, parity, &mut matches)
                }
                #[cfg(target_arch = "x86_64")]
                SimdLevel::Avx512 => {
                    let token = crate::lanes::Avx512::detect().unwrap();
                    find_matches_avx512(token, &left, place, &right, parity, &mut matches)
                }
                #[cfg(not(target_arch = "x86_64"))]
                _ => unreachable!("not supported"),
            };
            assert!(next > place);
            place = next;
            found.extend_from_slice(&matches.words[..matches.len()]);
        }
        assert_eq!(found, expected, "{level} parity {parity}");
        total += found.len();
    }
    total
}

fn supported() -> impl Iterator<Item = SimdLevel> {
    SimdLevel::ALL.into_iter().filter(|level| level.is_supported())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn matches_are_those_of_the_definition(
        lefts in prop::collection::vec(prop_oneof![0..PARAM_BC, 0..127_u32, 14_986..PARAM_BC], 0..400),
        rights in prop::collection::vec(0..PARAM_BC, 0..=BUCKET_LIMIT - 1),
    ) {
        for level in supported() {
            check(level, &lefts, &rights);
        }
    }
}

#[test]
fn many_equal_entries_all_match() {
    // These match for m = 0, the first two after even buckets and the last one after odd ones.
    for level in supported() {
        for (left, right) in [(0, 0), (127 * 70 + 5, 127 * 70 + 5), (127 * 118 + 126, 127 * 118)] {
            let rights: Vec<_> = [vec![right; 300], (0..190).map(|index| index * 79).collect()].concat();
            let found = check(level, &[left; 20], &rights);
            assert!(found >= 20 * 300, "{level} {found}");
        }
    }
}

use super::*;
use crate::Scalar;

#[test]
fn a_bucket_larger_than_a_block_is_summed_in_parts() {
    let point = crate::g1::generator_affine();
    let count = BLOCK_POINTS + 77;
    let multiples = vec![point; count];
    let sorted = SortedDigits {
        entries: (0..count as u32).collect(),
        starts: std::iter::once(0).chain([count as u32; BUCKETS]).collect(),
    };
    let mut buckets = vec![INFINITY; BUCKETS];
    sum_buckets(&multiples, &sorted, &mut buckets);
    let expected = G1Point::from_affine(&point).multiplied(&Scalar::from_u64(count as u64));
    assert_eq!(weighted_sum(&buckets), expected);
}

use super::*;
use crate::msm::{SCALAR_BITS, multi_scalar_mult};

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

fn points(count: usize) -> Vec<blst_p1_affine> {
    let mut point = G1Point::generator();
    let mut points = Vec::new();
    for index in 0..count {
        points.push(point);
        point = point.multiplied(&Scalar::from_u64(1_000_003 + index as u64));
    }
    batch_affine::normalize(&points)
}

#[test]
fn agrees_with_the_general_algorithm() {
    let points = points(300);
    let tables = FixedBaseTables::new(&points, &pool());
    let mut random = Scalar::from_u64(0x1234_5678_9abc_def1);
    let mut next = || {
        random = random.square() + Scalar::from_u64(7);
        random
    };
    let largest = -Scalar::ONE;
    let scalars = (0..points.len() as u64)
        .map(|index| match index % 5 {
            0 => Scalar::ZERO,
            1 => largest,
            // Digits at the border of sign and carry.
            2 => Scalar::from_u64(0x8000_8001_7fff_ffff),
            3 => Scalar::from_u64(index),
            _ => next(),
        })
        .collect::<Vec<_>>();
    assert_eq!(
        tables.multi_scalar_mult(0, &scalars),
        multi_scalar_mult(&points, &scalars, SCALAR_BITS)
    );
    assert_eq!(
        tables.multi_scalar_mult(7, &scalars[..100]),
        multi_scalar_mult(&points[7..], &scalars[..100], SCALAR_BITS)
    );
    assert_eq!(tables.multi_scalar_mult(0, &[]), G1Point::IDENTITY);
}

#[test]
fn equal_and_opposite_points_in_one_bucket_are_added_correctly() {
    let point = points(3)[2];
    let mut opposite = point;
    batch_affine::negate(&mut opposite);
    // P + P - P - P + P = P, with a doubling and an identity on the way.
    let points = [point, point, opposite, opposite, point];
    let tables = FixedBaseTables::new(&points, &pool());
    let one = Scalar::from_u64(5);
    assert_eq!(
        tables.multi_scalar_mult(0, &[one; 5]),
        G1Point::from_affine(&point).multiplied(&one)
    );
    assert_eq!(tables.multi_scalar_mult(0, &[one; 4]), G1Point::IDENTITY);
    assert_eq!(
        tables.multi_scalar_mult(0, &[one; 2]),
        G1Point::from_affine(&point).multiplied(&(one + one))
    );
}

#[test]
fn a_bucket_larger_than_a_block_is_summed_in_parts() {
    let point = points(2)[1];
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

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
    for level in SimdLevel::ALL {
        let tables = FixedBaseTables::new(&points, level, &pool());
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
}

#[test]
fn equal_and_opposite_points_in_one_bucket_are_added_correctly() {
    let point = points(3)[2];
    let mut opposite = point;
    batch_affine::negate(&mut opposite);
    // P + P - P - P + P = P, with a doubling and an identity on the way.
    let points = [point, point, opposite, opposite, point];
    let one = Scalar::from_u64(5);
    for level in SimdLevel::ALL {
        let tables = FixedBaseTables::new(&points, level, &pool());
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
}

use super::*;
use crate::scalar::tests::any_scalar;
use proptest::prelude::*;

/// `7^((r - 1) / n)` by repeated squaring from `(r - 1) / 2^32` bit by bit, independent of the tables.
fn root_of_unity(n: usize) -> Scalar {
    let mut exponent =
        hex::decode("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000").unwrap();
    for _ in 0..n.trailing_zeros() {
        let mut carry = 0;
        for byte in &mut exponent {
            let value = *byte >> 1 | carry << 7;
            carry = *byte & 1;
            *byte = value;
        }
        assert_eq!(carry, 0);
    }
    exponent.iter().fold(Scalar::ONE, |power, byte| {
        (0..8).rev().fold(power, |power, bit| {
            let power = power.square();
            if byte >> bit & 1 == 1 {
                power * Scalar::from_u64(7)
            } else {
                power
            }
        })
    })
}

fn naive_forward(coefficients: &[Scalar]) -> Vec<Scalar> {
    let root = root_of_unity(coefficients.len());
    (0..coefficients.len() as u64)
        .map(|index| {
            let point = root.pow(index);
            coefficients
                .iter()
                .rev()
                .fold(Scalar::ZERO, |value, coefficient| value * point + *coefficient)
        })
        .collect()
}

fn powers_of_two_values() -> impl Strategy<Value = Vec<Scalar>> {
    (0..=7_u32).prop_flat_map(|log| proptest::collection::vec(any_scalar(), 1 << log))
}

#[test]
fn domain_points_are_powers_of_the_root() {
    let mut n = 1;
    while n <= MAX_DOMAIN_SIZE {
        let root = root_of_unity(n);
        for index in [0, 1, 2, 3, n / 4, n / 2, n - 1, n, n + 1] {
            assert_eq!(
                domain_point(n, index).unwrap(),
                root.pow(index as u64),
                "{index} of {n}"
            );
        }
        n *= 2;
    }
    assert_eq!(
        domain_point(128, 1).unwrap().to_bytes().to_vec(),
        hex::decode("6898111413588742b7c68b4d7fdd60d098d0caac87f5713c5130c2c1660125be").unwrap()
    );
    assert_eq!(
        domain_point(65_536, 1).unwrap().to_bytes().to_vec(),
        hex::decode("2155379d12180caa88f39a78f1aeb57867a665ae1fcadc91d7118f85cd96b8ad").unwrap()
    );
}

#[test]
fn lengths_without_a_domain_are_refused() {
    for length in [0, 3, 6, 2 * MAX_DOMAIN_SIZE] {
        assert_eq!(
            forward(&mut vec![Scalar::ONE; length]),
            Err(DomainError { length })
        );
        assert_eq!(
            inverse(&mut vec![Scalar::ONE; length]),
            Err(DomainError { length })
        );
        assert!(domain_point(length, 0).is_err());
    }
}

#[test]
fn the_largest_transform_evaluates_and_comes_back() {
    let coefficients = (0..MAX_DOMAIN_SIZE as u64)
        .map(|index| Scalar::from_u64(index).pow(3))
        .collect::<Vec<_>>();
    let mut values = coefficients.clone();
    forward(&mut values).unwrap();
    for index in [0, 1, 4097, 65_535] {
        let point = domain_point(MAX_DOMAIN_SIZE, index).unwrap();
        assert_eq!(
            values[index],
            crate::Polynomial::from_coefficients(coefficients.clone()).evaluate(point)
        );
    }
    inverse(&mut values).unwrap();
    assert!(values == coefficients);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forward_equals_the_definition(coefficients in powers_of_two_values()) {
        let mut values = coefficients.clone();
        forward(&mut values).unwrap();
        prop_assert_eq!(&values, &naive_forward(&coefficients));
        inverse(&mut values).unwrap();
        prop_assert_eq!(values, coefficients);
    }
}

use super::*;
use crate::scalar::tests::any_scalar;
use crate::transform::MAX_DOMAIN_SIZE;
use proptest::prelude::*;

/// Scalars with zeroes, ones and the largest number among them.
fn scalars(count: usize, seed: u64) -> Vec<Scalar> {
    let mut value = Scalar::from_u64(seed);
    (0..count)
        .map(|index| {
            value = value.square() + Scalar::from_u64(5);
            match index % 41 {
                7 => Scalar::ZERO,
                11 => Scalar::ONE,
                13 => -Scalar::ONE,
                _ => value,
            }
        })
        .collect()
}

/// Runs `operation` with everything that this processor has and compares the results.
fn same<R: PartialEq>(what: &str, operation: impl Fn(Arithmetic) -> R) {
    let expected = operation(Arithmetic::PORTABLE);
    for arithmetic in Arithmetic::supported() {
        assert!(operation(arithmetic) == expected, "{what}, {arithmetic}");
    }
}

fn on(values: &[Scalar], operation: impl FnOnce(&mut [Scalar])) -> Vec<Scalar> {
    let mut values = values.to_vec();
    operation(&mut values);
    values
}

#[test]
fn transforms_do_not_depend_on_the_instructions() {
    let mut length = 1;
    while length <= MAX_DOMAIN_SIZE {
        let largest = vec![-Scalar::ONE; length];
        for values in [scalars(length, 3), largest] {
            same(&format!("{length} coefficients"), |arithmetic| {
                on(&values, |values| arithmetic.forward(values).unwrap())
            });
            same(&format!("{length} values"), |arithmetic| {
                on(&values, |values| arithmetic.inverse(values).unwrap())
            });
            if length < MAX_DOMAIN_SIZE {
                same(&format!("{length} values to the coset"), |arithmetic| {
                    on(&values, |values| arithmetic.to_odd_coset(values).unwrap())
                });
                same(&format!("{length} values from the coset"), |arithmetic| {
                    on(&values, |values| arithmetic.from_odd_coset(values).unwrap())
                });
            }
        }
        length *= 2;
    }
}

#[test]
fn lengths_without_a_domain_are_refused_everywhere() {
    for arithmetic in Arithmetic::supported() {
        for length in [0, 3, 96, 2 * MAX_DOMAIN_SIZE] {
            let mut values = vec![Scalar::ONE; length];
            assert!(arithmetic.forward(&mut values).is_err());
            assert!(arithmetic.inverse(&mut values).is_err());
            assert!(arithmetic.to_odd_coset(&mut values).is_err());
            assert!(arithmetic.from_odd_coset(&mut values).is_err());
            assert!(values.iter().all(|value| *value == Scalar::ONE));
        }
        assert!(
            arithmetic
                .to_odd_coset(&mut vec![Scalar::ONE; MAX_DOMAIN_SIZE])
                .is_err()
        );
    }
}

#[test]
fn element_by_element_arithmetic_does_not_depend_on_the_instructions() {
    for length in [0, 1, 7, 8, 9, 31, 32, 33, 64, 200, 1000] {
        let values = scalars(length, 5);
        let factors = scalars(length, 6);
        same("products", |arithmetic| {
            on(&values, |values| arithmetic.multiply(values, &factors))
        });
        let factor = factors.iter().fold(-Scalar::ONE, |a, b| a + *b);
        same("multiples", |arithmetic| {
            on(&values, |values| arithmetic.scale(values, factor))
        });
        same("inverses", |arithmetic| {
            on(&values, |values| arithmetic.batch_inverse(values))
        });
        let numbers: Vec<_> = factors.iter().map(Scalar::to_bytes).collect();
        same("sums with multiples of encoded numbers", |arithmetic| {
            let mut sums = values.clone();
            arithmetic.add_encoded(&mut sums, &numbers, factor).unwrap();
            for (index, sum) in sums.iter().enumerate() {
                assert_eq!(*sum, values[index] + factors[index] * factor);
            }
            for wrong in 0..length {
                let mut numbers = numbers.clone();
                numbers[wrong] = [0xff; 32];
                let mut unchanged = values.clone();
                assert!(arithmetic.add_encoded(&mut unchanged, &numbers, factor).is_err());
                assert!(unchanged == values);
            }
            sums
        });
        same("powers", |arithmetic| {
            arithmetic.powers(Scalar::from_u64(7), length)
        });
    }
    let zeroes = vec![Scalar::ZERO; 100];
    same("inverses of zeroes", |arithmetic| {
        on(&zeroes, |values| arithmetic.batch_inverse(values))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn products_are_those_of_single_scalars(pairs in proptest::collection::vec((any_scalar(), any_scalar()), 0..40)) {
        let (a, b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        for arithmetic in Arithmetic::supported() {
            let products = on(&a, |values| arithmetic.multiply(values, &b));
            let inverses = on(&a, |values| arithmetic.batch_inverse(values));
            for (index, (a, b)) in pairs.iter().enumerate() {
                prop_assert_eq!(products[index], *a * *b);
                prop_assert_eq!(inverses[index], a.inverse().unwrap_or_default());
            }
        }
    }
}

//! Properties of commitments, witnesses and batch verification, over the insecure development reference string.

// Helpers of tests count as tests.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::sync::OnceLock;
use subspace_kzg::{
    Commitment, CommitmentBatch, CommitmentBatchError, G1Point, Kzg, KzgError, Opening, PointError,
    Polynomial, ReferenceString, Scalar, ScalarError, SimdLevel, Witness,
};

fn pool() -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap())
}

fn kzg() -> &'static Kzg {
    static KZG: OnceLock<Kzg> = OnceLock::new();
    KZG.get_or_init(|| Kzg::new(ReferenceString::insecure_development(pool())))
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    any::<[[u8; 31]; 2]>().prop_map(|[a, b]| Scalar::from_safe_bytes(&a) * Scalar::from_safe_bytes(&b))
}

fn any_values() -> impl Strategy<Value = Vec<Scalar>> {
    (0..=5_u32).prop_flat_map(|log| proptest::collection::vec(any_scalar(), 1 << log))
}

fn sum(a: &Commitment, b: &Commitment) -> Commitment {
    let mut sum = a.to_point().unwrap();
    sum.add_assign(&b.to_point().unwrap());
    Commitment::from(sum)
}

/// Openings of all values of a polynomial.
fn openings(values: &[Scalar]) -> Vec<Opening> {
    let polynomial = Polynomial::interpolate(values).unwrap();
    let commitment = kzg().commit(&polynomial).unwrap();
    let witnesses = kzg().create_all_witnesses(&polynomial, pool()).unwrap();
    let num_values = values.len();
    (0..)
        .zip(values.iter().copied().zip(witnesses))
        .map(|(index, (value, witness))| Opening {
            commitment,
            num_values,
            index,
            value,
            witness,
        })
        .collect()
}

/// On the curve, outside the prime-order subgroup.
fn outside_subgroup() -> [u8; 48] {
    let mut bytes = [0; 48];
    (bytes[0], bytes[47]) = (0x80, 4);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn commitments_are_linear(
        (a, b) in (0..=5_u32).prop_flat_map(|log| {
            let values = || proptest::collection::vec(any_scalar(), 1 << log);
            (values(), values())
        }),
        factor in any_scalar(),
    ) {
        let commit = |values: &[Scalar]| kzg().commit_values(values).unwrap();
        let added = a.iter().zip(&b).map(|(a, b)| *a + *b).collect::<Vec<_>>();
        prop_assert_eq!(commit(&added), sum(&commit(&a), &commit(&b)));
        let scaled = a.iter().map(|a| *a * factor).collect::<Vec<_>>();
        prop_assert_eq!(commit(&scaled), Commitment::from(commit(&a).to_point().unwrap().multiplied(&factor)));
    }

    #[test]
    fn all_witnesses_equal_single_ones_and_verify(values in any_values()) {
        let polynomial = Polynomial::interpolate(&values).unwrap();
        for opening in openings(&values) {
            let Opening { commitment, num_values, index, value, witness } = opening;
            prop_assert_eq!(kzg().create_witness(&polynomial, num_values, index).unwrap(), witness);
            prop_assert!(kzg().verify(&commitment, num_values, index, &value, &witness));
            prop_assert!(!kzg().verify(&commitment, num_values, index, &(value + Scalar::ONE), &witness));
        }
    }

    #[test]
    fn a_batch_with_anything_wrong_is_rejected(
        a in any_values(),
        b in any_values(),
        at in any::<prop::sample::Index>(),
        kind in 0..5,
    ) {
        let mut batch = openings(&a);
        batch.extend(openings(&b));
        prop_assert!(kzg().verify_batch(&batch));
        let opening = at.get(&batch);
        let index = batch.iter().position(|candidate| std::ptr::eq(candidate, opening)).unwrap();
        let opening = &mut batch[index];
        match kind {
            0 => opening.value += Scalar::ONE,
            1 => opening.commitment = sum(&opening.commitment, &Commitment::from(G1Point::generator())),
            2 => {
                let mut point = opening.witness.to_point().unwrap();
                point.add_assign(&G1Point::generator());
                opening.witness = Witness::from(point);
            }
            3 => opening.index = opening.num_values as u32,
            _ => opening.witness = Witness::try_from_bytes(&outside_subgroup()).unwrap(),
        }
        prop_assert!(!kzg().verify_batch(&batch));
    }

    #[test]
    fn a_batch_of_commitments_with_a_wrong_one_is_rejected(
        records in proptest::collection::vec(proptest::collection::vec(any_scalar(), 16), 1..6),
        at in any::<prop::sample::Index>(),
        chunk in 0..16_usize,
    ) {
        let commitments =
            records.iter().map(|values| kzg().commit_values(values).unwrap()).collect::<Vec<_>>();
        let verify = |records: &[Vec<Scalar>]| {
            let mut batch = CommitmentBatch::new(16).unwrap();
            assert!(batch.is_empty());
            for (index, (values, commitment)) in records.iter().zip(&commitments).enumerate() {
                if index % 2 == 0 {
                    batch.add(values, commitment).unwrap();
                } else {
                    let bytes = values.iter().map(Scalar::to_bytes).collect::<Vec<_>>();
                    batch.add_bytes(&bytes, commitment).unwrap();
                }
            }
            assert_eq!(batch.len(), records.len());
            batch.verify(kzg()).unwrap()
        };
        prop_assert!(verify(&records));
        let mut damaged = records.clone();
        let index = at.index(damaged.len());
        damaged[index][chunk] += Scalar::ONE;
        prop_assert!(!verify(&damaged));
    }
}

#[test]
fn precomputed_tables_change_nothing_but_speed() {
    let mut value = Scalar::from_u64(3);
    let values = (0..32_768)
        .map(|_| {
            value = value.square() + Scalar::from_u64(5);
            value
        })
        .collect::<Vec<_>>();
    let polynomial = Polynomial::interpolate(&values).unwrap();
    let commitment = kzg().commit_parallel(&polynomial, pool()).unwrap();
    let witness = kzg()
        .create_witness_parallel(&polynomial, 65_536, 777, pool())
        .unwrap();
    // Equal values give a constant polynomial, whose digits all fall into few buckets; zeroes into none.
    let ones = Polynomial::from_coefficients(vec![Scalar::from_u64(1 << 40); 4096]);
    let ones_commitment = kzg().commit(&ones).unwrap();
    let zeroes = Polynomial::from_coefficients(vec![Scalar::ZERO; 4096]);
    for level in SimdLevel::ALL {
        let fast = Kzg::with_simd_level(kzg().reference_string().clone(), level).with_precomputation(pool());
        assert!(fast.is_precomputed() && !kzg().is_precomputed());
        assert_eq!(
            fast.simd_level(),
            if level.is_supported() {
                level
            } else {
                SimdLevel::Portable
            }
        );
        assert_eq!(fast.commit(&polynomial).unwrap(), commitment);
        assert_eq!(fast.commit_parallel(&polynomial, pool()).unwrap(), commitment);
        assert_eq!(fast.create_witness(&polynomial, 65_536, 777).unwrap(), witness);
        assert_eq!(fast.commit(&ones).unwrap(), ones_commitment);
        assert_eq!(fast.commit(&zeroes).unwrap(), Commitment::IDENTITY);
    }
}

#[test]
fn inputs_outside_of_the_limits_are_errors() {
    let too_long = Polynomial::from_coefficients(vec![Scalar::ONE; 32_769]);
    let too_many = KzgError::TooManyCoefficients { coefficients: 32_769 };
    assert_eq!(kzg().commit(&too_long), Err(too_many));
    assert_eq!(kzg().commit_parallel(&too_long, pool()), Err(too_many));
    assert_eq!(kzg().create_witness(&too_long, 65_536, 0), Err(too_many));
    assert_eq!(kzg().commit(&Polynomial::default()), Ok(Commitment::IDENTITY));

    let polynomial = Polynomial::from_coefficients(vec![Scalar::ONE; 8]);
    assert_eq!(
        kzg().create_witness(&polynomial, 8, 8),
        Err(KzgError::IndexOutOfRange {
            index: 8,
            num_values: 8
        })
    );
    // 5 values are opened on the domain of 8.
    assert!(kzg().create_witness(&polynomial, 5, 7).is_ok());
    assert!(matches!(
        kzg().create_witness(&polynomial, 65_537, 0),
        Err(KzgError::Domain(_))
    ));
    assert!(
        kzg()
            .create_all_witnesses(&Polynomial::default(), pool())
            .is_err()
    );
    assert!(kzg().commit_values(&[Scalar::ONE; 3]).is_err());
    assert!(kzg().verify_batch(&[]));

    let mut batch = CommitmentBatch::new(4).unwrap();
    let outside = Commitment::try_from_bytes(&outside_subgroup()).unwrap();
    assert_eq!(
        batch.add(&[Scalar::ONE; 4], &outside),
        Err(CommitmentBatchError::Point(PointError::NotInSubgroup))
    );
    assert_eq!(
        batch.add(&[Scalar::ONE; 3], &Commitment::IDENTITY),
        Err(CommitmentBatchError::Length {
            expected: 4,
            given: 3
        })
    );
    assert_eq!(
        batch.add_bytes(&[[0xff; 32]; 4], &Commitment::IDENTITY),
        Err(CommitmentBatchError::Scalar(ScalarError::NotCanonical))
    );
    assert_eq!(batch.verify(kzg()), Ok(true));
}

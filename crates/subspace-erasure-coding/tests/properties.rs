//! Properties of extension and recovery.

// Helpers of tests count as tests.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Arithmetic, Commitment, G1Point, Polynomial, Scalar, transform};

fn erasure_coding(scale: usize) -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(scale).unwrap()).unwrap()
}

fn pool() -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap())
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    any::<[[u8; 31]; 2]>().prop_map(|[a, b]| Scalar::from_safe_bytes(&a) * Scalar::from_safe_bytes(&b))
}

/// Source values and a shuffled list of the positions of their codeword.
fn source_and_order() -> impl Strategy<Value = (Vec<Scalar>, Vec<usize>)> {
    (0..=8_u32).prop_flat_map(|log| {
        let n = 1 << log;
        let positions = Just((0..2 * n).collect::<Vec<_>>()).prop_shuffle();
        (proptest::collection::vec(any_scalar(), n), positions)
    })
}

fn codeword(source: &[Scalar]) -> Vec<Scalar> {
    let parity = erasure_coding(16).extend(source).unwrap();
    source
        .iter()
        .zip(parity)
        .flat_map(|(source, parity)| [*source, parity])
        .collect()
}

fn keep(values: &[Scalar], positions: &[usize]) -> Vec<Option<Scalar>> {
    let mut shards = vec![None; values.len()];
    for position in positions {
        shards[*position] = Some(values[*position]);
    }
    shards
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parity_is_the_polynomial_at_the_odd_points((source, _) in source_and_order()) {
        let polynomial = Polynomial::interpolate(&source).unwrap();
        for (index, parity) in erasure_coding(16).extend(&source).unwrap().into_iter().enumerate().take(5) {
            let point = transform::domain_point(2 * source.len(), 2 * index + 1).unwrap();
            prop_assert_eq!(parity, polynomial.evaluate(point));
        }
    }

    #[test]
    fn enough_values_recover_everything(
        (source, order) in source_and_order(),
        extra in any::<prop::sample::Index>(),
    ) {
        let n = source.len();
        let values = codeword(&source);
        let present = n + extra.index(n + 1);
        let shards = keep(&values, &order[..present]);
        let polynomial = Polynomial::interpolate(&source).unwrap().trimmed();
        for arithmetic in Arithmetic::supported() {
            let erasure_coding = erasure_coding(9).with_arithmetic(arithmetic);
            prop_assert_eq!(&erasure_coding.recover(&shards).unwrap(), &values);
            prop_assert_eq!(&erasure_coding.recover_source(&shards).unwrap(), &source);
            prop_assert_eq!(&erasure_coding.recover_poly(&shards).unwrap(), &polynomial);
            prop_assert_eq!(&erasure_coding.recover_poly_parallel(&shards, pool()).unwrap(), &polynomial);
        }
    }

    #[test]
    fn too_few_values_are_an_error((source, order) in source_and_order(), fewer in any::<prop::sample::Index>()) {
        let present = fewer.index(source.len());
        let shards = keep(&codeword(&source), &order[..present]);
        let expected = ErasureCodingError::TooManyMissing { present, total: shards.len() };
        prop_assert_eq!(erasure_coding(16).recover(&shards), Err(expected));
        prop_assert_eq!(erasure_coding(16).recover_source(&shards), Err(expected));
        prop_assert_eq!(erasure_coding(16).recover_poly(&shards), Err(expected));
    }

    #[test]
    fn inconsistent_values_show_in_the_polynomial((source, order) in source_and_order(), extra in any::<prop::sample::Index>()) {
        let n = source.len();
        let mut values = codeword(&source);
        let present = n + 1 + extra.index(n);
        values[order[0]] += Scalar::ONE;
        let shards = keep(&values, &order[..present]);
        let polynomial = erasure_coding(16).recover_poly(&shards).unwrap();
        prop_assert!(polynomial.coefficients().len() > n);
        prop_assert!(polynomial.coefficients().len() <= present);
        for position in &order[..present] {
            let point = transform::domain_point(2 * n, *position).unwrap();
            prop_assert_eq!(polynomial.evaluate(point), values[*position]);
        }
        let mut recovered = polynomial.into_coefficients();
        recovered.resize(2 * n, Scalar::ZERO);
        transform::forward(&mut recovered).unwrap();
        prop_assert_eq!(erasure_coding(16).recover(&shards).unwrap(), recovered.clone());
        let source = recovered.into_iter().step_by(2).collect::<Vec<_>>();
        prop_assert_eq!(erasure_coding(16).recover_source(&shards).unwrap(), source);
    }
}

#[test]
fn a_whole_record_is_recovered_with_all_instructions() {
    let mut value = Scalar::from_u64(3);
    let source = (0..1 << 15)
        .map(|_| {
            value = value.square() + Scalar::from_u64(5);
            value
        })
        .collect::<Vec<_>>();
    let values = codeword(&source);
    let polynomial = Polynomial::interpolate(&source).unwrap();
    // Half of the values, then more than half: those are interpolated on a larger coset.
    for least in [1 << 15, 40_000] {
        let shards = (0..values.len())
            .map(|position| ((position * 7919 + 13) % values.len() < least).then_some(values[position]))
            .collect::<Vec<_>>();
        for arithmetic in Arithmetic::supported() {
            let erasure_coding = erasure_coding(16).with_arithmetic(arithmetic);
            assert!(erasure_coding.recover(&shards).unwrap() == values, "{arithmetic}");
            assert!(
                erasure_coding.recover_poly(&shards).unwrap() == polynomial,
                "{arithmetic}"
            );
            let parallel = erasure_coding.recover_poly_parallel(&shards, pool()).unwrap();
            assert!(parallel == polynomial, "{arithmetic}, parallel");
        }
    }
}

#[test]
fn lengths_are_checked() {
    let erasure_coding = erasure_coding(3);
    assert_eq!(erasure_coding.max_shards(), 8);
    for given in [0, 3, 8] {
        let expected = Err(ErasureCodingError::Length { given, max_shards: 8 });
        assert_eq!(erasure_coding.extend(&vec![Scalar::ONE; given]), expected);
    }
    for given in [0, 1, 6, 16] {
        let expected = ErasureCodingError::Length { given, max_shards: 8 };
        let shards = vec![Some(Scalar::ONE); given];
        assert_eq!(erasure_coding.recover(&shards), Err(expected));
        assert_eq!(erasure_coding.recover_source(&shards), Err(expected));
        assert_eq!(erasure_coding.recover_poly(&shards), Err(expected));
    }
    assert!(ErasureCoding::new(NonZeroUsize::new(17).unwrap()).is_err());
}

#[test]
fn equal_opposite_and_zero_commitments_are_extended() {
    // Scalar k stands for the commitment k · G1; extension is linear, so it must agree with that of the scalars.
    let generator = G1Point::generator();
    for numbers in [vec![0_u64; 8], vec![5; 8], vec![1, 0, 1, 0, 0, 0, 7, 7], vec![3]] {
        let mut source = numbers
            .iter()
            .map(|number| Scalar::from_u64(*number))
            .collect::<Vec<_>>();
        if let Some(last) = source.last_mut() {
            *last = -*last;
        }
        let commit = |scalars: &[Scalar]| {
            scalars
                .iter()
                .map(|scalar| Commitment::from(generator.multiplied(scalar)))
                .collect::<Vec<_>>()
        };
        let extended = erasure_coding(16).extend_commitments(&commit(&source)).unwrap();
        assert_eq!(extended, commit(&codeword(&source)));
    }
}

#[test]
fn commitments_outside_the_subgroup_are_refused() {
    // x = 4 is on the curve and outside the subgroup.
    let mut bytes = [0; 48];
    (bytes[0], bytes[47]) = (0x80, 4);
    let outside = Commitment::try_from_bytes(&bytes).unwrap();
    assert!(matches!(
        erasure_coding(16).extend_commitments(&[Commitment::IDENTITY, outside]),
        Err(ErasureCodingError::Commitment { index: 1, .. })
    ));
}

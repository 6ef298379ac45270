//! Golden vectors of `erasure_coding.json`.

// Helpers of tests count as tests.
#![allow(clippy::unwrap_used)]

use autonomys_test_support::{mainnet_kzg_params, report_skipped, scalars, section};
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Arithmetic, Commitment, Kzg, Polynomial, ReferenceString, Scalar};

fn pool() -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap())
}

/// The mainnet instance; `None` after having reported the test as skipped.
fn kzg(test_name: &str) -> Option<Kzg> {
    static KZG: OnceLock<Option<Kzg>> = OnceLock::new();
    let kzg = KZG.get_or_init(|| {
        let blob = mainnet_kzg_params()?;
        Some(Kzg::new(
            ReferenceString::mainnet_from_bytes_parallel(&blob, pool()).unwrap(),
        ))
    });
    if kzg.is_none() {
        report_skipped(test_name, "there are no mainnet KZG parameters on this machine");
    }
    kzg.clone()
}

fn erasure_coding() -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap()
}

/// Erasure coding with every set of instructions that this processor has.
fn all_instructions() -> impl Iterator<Item = ErasureCoding> {
    Arithmetic::supported().map(|arithmetic| erasure_coding().with_arithmetic(arithmetic))
}

fn values(label: &str, count: usize) -> Vec<Scalar> {
    scalars(label, count)
        .iter()
        .map(|bytes| Scalar::try_from_bytes(bytes).unwrap())
        .collect()
}

fn hash<const N: usize>(items: impl IntoIterator<Item = [u8; N]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        hasher.update(&item);
    }
    hasher.finalize().to_hex().to_string()
}

fn scalars_hash(values: &[Scalar]) -> String {
    hash(values.iter().map(Scalar::to_bytes))
}

/// Which of `2n` positions the text names; other texts are of the form `position i present when ...`.
fn is_present(description: &str, position: usize, n: usize) -> bool {
    match description {
        "only parity shards (odd positions) present" => position % 2 == 1,
        "only source shards (even positions) present" => position.is_multiple_of(2),
        "only first half present" => position < n,
        "only second half present" => position >= n,
        "all present" => true,
        "only first half minus one present (insufficient)" => position + 1 < n,
        _ => {
            let factors = description
                .strip_prefix("position i present when (i*")
                .and_then(|rest| rest.strip_suffix(") mod (2n) < n"))
                .unwrap_or_else(|| panic!("unknown description {description}"));
            let (factor, offset) = factors.split_once(" + ").unwrap();
            let (factor, offset) = (factor.parse::<usize>().unwrap(), offset.parse::<usize>().unwrap());
            (position * factor + offset) % (2 * n) < n
        }
    }
}

#[test]
fn cases() {
    let Some(kzg) = kzg("cases") else { return };
    let erasure_coding = erasure_coding();
    let section = section("erasure_coding.json", "cases");
    for case in section.root().items() {
        let n = case.get("num_source").usize();
        let source = values(case.get("label").str(), n);
        assert_eq!(scalars_hash(&source), case.get("source_blake3").str());
        let parity = erasure_coding.extend(&source).unwrap();
        for other in all_instructions() {
            assert!(other.extend(&source).unwrap() == parity);
        }
        assert_eq!(scalars_hash(&parity), case.get("parity_blake3").str());
        let interleaved = source
            .iter()
            .zip(&parity)
            .flat_map(|(source, parity)| [*source, *parity])
            .collect::<Vec<_>>();
        assert_eq!(scalars_hash(&interleaved), case.get("interleaved_blake3").str());
        for sample in case.get("parity_samples").items() {
            let [index, value] = sample.items().try_into().ok().unwrap();
            assert_eq!(parity[index.usize()].to_bytes(), value.array());
        }
        let polynomial = Polynomial::interpolate(&source).unwrap();
        let commitment = kzg.commit_parallel(&polynomial, pool()).unwrap().to_bytes();
        assert_eq!(commitment, case.get("commitment_of_source_polynomial").array());

        for recovery in case.get("recovery").items() {
            let description = recovery.get("present").str();
            let shards = interleaved
                .iter()
                .enumerate()
                .map(|(position, value)| is_present(description, position, n).then_some(*value))
                .collect::<Vec<_>>();
            let present = shards.iter().flatten().count();
            assert_eq!(present, recovery.get("num_present").usize(), "{description}");
            // The reference aborts when nothing is missing; here that succeeds like any other recovery.
            let error = recovery.get("error");
            let unsupported_by_reference = !error.is_null() && error.str() == "panic";
            let succeeds = recovery.get("ok").bool() || unsupported_by_reference;

            let all = erasure_coding.recover(&shards);
            let recovered_source = erasure_coding.recover_source(&shards);
            let recovered_polynomial = erasure_coding.recover_poly(&shards);
            for other in all_instructions() {
                assert!(other.recover(&shards) == all, "{description}");
                assert!(other.recover_source(&shards) == recovered_source, "{description}");
                assert!(
                    other.recover_poly(&shards) == recovered_polynomial,
                    "{description}"
                );
            }
            assert_eq!(
                succeeds,
                error.is_null() || unsupported_by_reference,
                "{description}"
            );
            let (equals, source_equals, recovered_commitment) = (
                recovery.get("equals_interleaved"),
                recovery.get("source_equals"),
                recovery.get("recovered_polynomial_commitment"),
            );
            if !succeeds {
                let expected = ErasureCodingError::TooManyMissing {
                    present,
                    total: 2 * n,
                };
                assert_eq!(all, Err(expected), "{description}");
                assert_eq!(recovered_source, Err(expected), "{description}");
                assert_eq!(recovered_polynomial, Err(expected), "{description}");
            } else {
                assert!(equals.is_null() || equals.bool());
                assert!(source_equals.is_null() || source_equals.bool());
                assert!(all.unwrap() == interleaved, "{description}");
                assert!(recovered_source.unwrap() == source, "{description}");
                // Committing takes time and equal polynomials have equal commitments.
                assert!(
                    recovered_polynomial.unwrap() == polynomial.clone().trimmed(),
                    "{description}"
                );
                assert!(recovered_commitment.is_null() || recovered_commitment.array() == commitment);
            }
            if !recovery.get("ok").bool() {
                assert!(equals.is_null() && source_equals.is_null() && recovered_commitment.is_null());
            }
        }
    }
    section.finish();
}

#[test]
fn commitments() {
    let Some(kzg) = kzg("commitments") else { return };
    let section = section("erasure_coding.json", "commitments");
    for case in section.root().items() {
        let n = case.get("num_source").usize();
        let prefix = case.get("label_prefix").str();
        let records = (0..n)
            .map(|index| values(&format!("{prefix}/{index}"), 4))
            .collect::<Vec<_>>();
        let source = records
            .iter()
            .map(|values| kzg.commit_values(values).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(
            hash(source.iter().map(Commitment::to_bytes)),
            case.get("source_commitments_blake3").str()
        );
        let extended = erasure_coding().extend_commitments(&source).unwrap();
        assert_eq!(extended.len(), 2 * n);
        assert_eq!(
            hash(extended.iter().map(Commitment::to_bytes)),
            case.get("extended_blake3").str()
        );
        // The longest case lists only the first ones.
        for (commitment, expected) in extended.iter().zip(case.get("extended").items()) {
            assert_eq!(commitment.to_bytes(), expected.array());
        }
        let unchanged = extended.iter().step_by(2).eq(&source);
        assert_eq!(unchanged, case.get("even_positions_equal_source").bool());
        // Odd positions commit to the parity of the columns.
        let parity_of_first_record = (0..4)
            .map(|chunk| {
                let column = records.iter().map(|record| record[chunk]).collect::<Vec<_>>();
                erasure_coding().extend(&column).unwrap()[0]
            })
            .collect::<Vec<_>>();
        assert_eq!(extended[1], kzg.commit_values(&parity_of_first_record).unwrap());
    }
    section.finish();
}

//! Golden vectors of `kzg.json`.

// Helpers of tests count as tests.
#![allow(clippy::unwrap_used)]

use autonomys_test_support::{mainnet_kzg_params, report_skipped, scalars, section};
use std::sync::OnceLock;
use subspace_kzg::{
    Arithmetic, Commitment, Kzg, Polynomial, ReferenceString, Scalar, SimdLevel, Witness, transform,
};

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

/// The same parameters with precomputed tables, for each set of instructions that there is code for.
fn precomputed(kzg: &Kzg) -> &'static [Kzg] {
    static PRECOMPUTED: OnceLock<Vec<Kzg>> = OnceLock::new();
    PRECOMPUTED.get_or_init(|| {
        let with_level = |level| Kzg::with_simd_level(kzg.reference_string().clone(), level);
        let supported = SimdLevel::ALL.into_iter().filter(|level| level.is_supported());
        supported
            .map(|level| with_level(level).with_precomputation(pool()))
            .collect()
    })
}

fn values(label: &str, count: usize) -> Vec<Scalar> {
    scalars(label, count)
        .iter()
        .map(|bytes| Scalar::try_from_bytes(bytes).unwrap())
        .collect()
}

fn hash(values: &[Scalar]) -> String {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&value.to_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn polynomials() {
    let Some(kzg) = kzg("polynomials") else { return };
    let section = section("kzg.json", "polynomials");
    for case in section.root().items() {
        let count = case.get("num_values").usize();
        let values = values(case.get("label").str(), count);
        assert_eq!(hash(&values), case.get("values_blake3").str());
        assert_eq!(values[0].to_bytes(), case.get("first_value").array());
        let polynomial = Polynomial::interpolate(&values).unwrap();
        for arithmetic in Arithmetic::supported() {
            let mut coefficients = values.clone();
            arithmetic.inverse(&mut coefficients).unwrap();
            assert!(coefficients == polynomial.coefficients(), "{arithmetic}");
            arithmetic.forward(&mut coefficients).unwrap();
            assert!(coefficients == values, "{arithmetic}");
        }
        let commitment = kzg.commit(&polynomial).unwrap();
        assert_eq!(commitment.to_bytes(), case.get("commitment").array());
        assert_eq!(kzg.commit_values(&values).unwrap(), commitment);
        assert_eq!(kzg.commit_parallel(&polynomial, pool()).unwrap(), commitment);
        for fast in precomputed(&kzg) {
            assert_eq!(fast.commit(&polynomial).unwrap(), commitment);
        }
        let all_witnesses =
            (count <= Kzg::MAX_ALL_WITNESSES).then(|| kzg.create_all_witnesses(&polynomial, pool()).unwrap());

        for opening in case.get("witnesses").items() {
            let index = opening.get("index").u32();
            let value = values[index as usize];
            assert_eq!(value.to_bytes(), opening.get("value").array());
            let witness = kzg
                .create_witness_parallel(&polynomial, count, index, pool())
                .unwrap();
            assert_eq!(witness.to_bytes(), opening.get("witness").array());
            for fast in precomputed(&kzg) {
                assert_eq!(fast.create_witness(&polynomial, count, index).unwrap(), witness);
            }
            if let Some(all_witnesses) = &all_witnesses {
                assert_eq!(all_witnesses[index as usize], witness);
                assert_eq!(kzg.create_witness(&polynomial, count, index).unwrap(), witness);
            }

            let verify = |index: u32, value: &Scalar, witness: &Witness| {
                kzg.verify(&commitment, count, index, value, witness)
            };
            assert_eq!(verify(index, &value, &witness), opening.get("verify").bool());
            let next_index = (index + 1) % count as u32;
            let next_value = values[next_index as usize];
            assert_eq!(
                verify(index, &next_value, &witness),
                opening.get("verify_with_value_of_next_index").bool()
            );
            assert_eq!(
                verify(next_index, &value, &witness),
                opening.get("verify_at_next_index").bool()
            );
            let mut damaged = witness.to_bytes();
            damaged[47] ^= 1;
            assert_eq!(
                Witness::try_from_bytes(&damaged).is_ok(),
                opening.get("witness_last_byte_xor_1_decodes").bool()
            );
            let wrong = Witness::try_from_bytes(&commitment.to_bytes()).unwrap();
            assert_eq!(
                verify(index, &value, &wrong),
                opening.get("verify_with_commitment_as_witness").bool()
            );
            assert!(!kzg.verify(&commitment, count, count as u32, &value, &witness));
        }
    }
    section.finish();
}

#[test]
fn extended_domain_witnesses() {
    let Some(kzg) = kzg("extended_domain_witnesses") else {
        return;
    };
    let section = section("kzg.json", "extended_domain_witnesses");
    for case in section.root().items() {
        let count = case.get("num_source_values").usize();
        let domain = case.get("domain_size").usize();
        let source = values(case.get("label").str(), count);
        let polynomial = Polynomial::interpolate(&source).unwrap();
        let commitment = kzg.commit(&polynomial).unwrap();
        assert_eq!(commitment.to_bytes(), case.get("commitment").array());
        let mut extended = polynomial.coefficients().to_vec();
        extended.resize(domain, Scalar::ZERO);
        for arithmetic in Arithmetic::supported() {
            let mut values = extended.clone();
            arithmetic.forward(&mut values).unwrap();
            transform::inverse(&mut values).unwrap();
            assert!(values == extended, "{arithmetic}");
        }
        transform::forward(&mut extended).unwrap();

        for opening in case.get("witnesses").items() {
            let index = opening.get("index").u32();
            let value = extended[index as usize];
            assert_eq!(value.to_bytes(), opening.get("value").array());
            let witness = kzg
                .create_witness_parallel(&polynomial, domain, index, pool())
                .unwrap();
            assert_eq!(witness.to_bytes(), opening.get("witness").array());
            for fast in precomputed(&kzg) {
                assert_eq!(fast.create_witness(&polynomial, domain, index).unwrap(), witness);
            }
            assert_eq!(
                kzg.verify(&commitment, domain, index, &value, &witness),
                opening.get("verify").bool()
            );
            assert_eq!(
                kzg.verify(&commitment, domain, index, &source[0], &witness),
                opening.get("verify_with_source_0").bool()
            );
        }
    }
    section.finish();
}

/// Values of a polynomial from its description, such as `256 values all equal to 1`.
fn special_values(name: &str) -> Vec<Scalar> {
    let (count, rest) = name.split_once(' ').unwrap();
    let count = count.parse().unwrap();
    match rest {
        "zero values" => vec![Scalar::ZERO; count],
        "values, value i equals i" => (0..count as u64).map(Scalar::from_u64).collect(),
        "values all equal to r-1" => vec![-Scalar::ONE; count],
        _ => {
            let value = rest
                .strip_prefix("values all equal to ")
                .unwrap()
                .parse()
                .unwrap();
            vec![Scalar::from_u64(value); count]
        }
    }
}

#[test]
fn special_polynomials() {
    let Some(kzg) = kzg("special_polynomials") else {
        return;
    };
    let section = section("kzg.json", "special_polynomials");
    for case in section.root().items() {
        let values = special_values(case.get("name").str());
        let polynomial = Polynomial::interpolate(&values).unwrap();
        let commitment = kzg.commit(&polynomial).unwrap();
        assert_eq!(commitment.to_bytes(), case.get("commitment").array());
        let all_witnesses = kzg.create_all_witnesses(&polynomial, pool()).unwrap();
        for opening in case.get("witnesses").items() {
            let index = opening.get("index").u32();
            let value = Scalar::try_from_bytes(&opening.get("value").array()).unwrap();
            assert_eq!(values[index as usize], value);
            let witness = kzg.create_witness(&polynomial, values.len(), index).unwrap();
            assert_eq!(witness.to_bytes(), opening.get("witness").array());
            assert_eq!(all_witnesses[index as usize], witness);
            assert_eq!(
                kzg.verify(&commitment, values.len(), index, &value, &witness),
                opening.get("verify").bool()
            );
        }
    }
    section.finish();
}

#[test]
fn scalar_encodings() {
    let section = section("kzg.json", "scalars");
    for case in section.root().items() {
        let name = case.get("name").str();
        let scalar = Scalar::try_from_bytes(&case.get("bytes").array()).ok();
        assert_eq!(scalar.is_some(), case.get("accepted").bool(), "{name}");
        let (round_trip, safe_bytes) = (case.get("round_trip"), case.get("safe_bytes"));
        match scalar {
            Some(scalar) => assert_eq!(scalar.to_bytes(), round_trip.array(), "{name}"),
            None => assert!(round_trip.is_null(), "{name}"),
        }
        match scalar.and_then(|scalar| scalar.try_to_safe_bytes()) {
            Some(bytes) => assert_eq!(bytes, safe_bytes.array(), "{name}"),
            None => assert!(safe_bytes.is_null(), "{name}"),
        }
    }
    section.finish();
}

#[test]
fn safe_bytes() {
    let section = section("kzg.json", "safe_bytes");
    for case in section.root().items() {
        let scalar = Scalar::from_safe_bytes(&case.get("safe_bytes").array());
        assert_eq!(scalar.to_bytes(), case.get("scalar_bytes").array());
        assert_eq!(scalar.try_to_safe_bytes(), Some(case.get("back").array()));
    }
    section.finish();
}

#[test]
fn g1_decoding() {
    let section = section("kzg.json", "g1_decoding");
    for case in section.root().items() {
        let name = case.get("name").str();
        let commitment = Commitment::try_from_bytes(&case.get("bytes").array()).ok();
        assert_eq!(commitment.is_some(), case.get("accepted").bool(), "{name}");
        let re_encoded = case.get("re_encoded");
        match commitment {
            Some(commitment) => assert_eq!(commitment.to_bytes(), re_encoded.array(), "{name}"),
            None => assert!(re_encoded.is_null(), "{name}"),
        }
    }
    section.finish();
}

#[test]
fn cofactor_points() {
    let Some(kzg) = kzg("cofactor_points") else { return };
    // The cases open one of the polynomials of the file, which gives the domain.
    let polynomials = section("kzg.json", "polynomials");
    let section = section("kzg.json", "cofactor_points");
    let cases = section.root().items();
    let plain = cases[0].get("commitment").str();
    let num_values = polynomials
        .root()
        .items()
        .iter()
        .find(|polynomial| polynomial.get("commitment").str() == plain)
        .map(|polynomial| polynomial.get("num_values").usize())
        .unwrap();
    for case in cases {
        let what = case.get("what").str();
        let commitment = Commitment::try_from_bytes(&case.get("commitment").array()).unwrap();
        let witness = Witness::try_from_bytes(&case.get("witness").array()).unwrap();
        let value = Scalar::try_from_bytes(&case.get("value").array()).unwrap();
        let index = case.get("index").u32();
        let valid = kzg.verify(&commitment, num_values, index, &value, &witness);
        assert_eq!(valid, case.get("verify").bool(), "{what}");
        let opening = subspace_kzg::Opening {
            commitment,
            num_values,
            index,
            value,
            witness,
        };
        let in_subgroup = commitment.is_in_subgroup() && witness.is_in_subgroup();
        assert_eq!(kzg.verify_batch(&[opening]), valid && in_subgroup, "{what}");
    }
    section.finish();
}

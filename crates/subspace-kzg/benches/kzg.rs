//! Figures of one core, and of two at once, for record-sized polynomials, with the insecure development reference string.

// The group macro makes a public function without documentation; a benchmark may stop at wrong inputs like a test.
#![allow(missing_docs, clippy::unwrap_used)]

mod yardstick;

use autonomys_test_support::bench::{at_once, criterion, group, pool};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::LazyLock;
use subspace_kzg::{
    Commitment, CommitmentBatch, Kzg, Opening, Polynomial, ReferenceString, Scalar, SimdLevel, transform,
};

const NUM_CHUNKS: usize = 32_768;
const NUM_PIECES: usize = 256;

static REFERENCE_STRING: LazyLock<ReferenceString> =
    LazyLock::new(|| ReferenceString::insecure_development(&pool(2)));
static KZG: LazyLock<Kzg> =
    LazyLock::new(|| Kzg::new(REFERENCE_STRING.clone()).with_precomputation(&pool(2)));

fn values(count: usize, seed: u64) -> Vec<Scalar> {
    let mut value = Scalar::from_u64(seed);
    (0..count)
        .map(|_| {
            value = value.square() + Scalar::from_u64(5);
            value
        })
        .collect()
}

fn records(criterion: &mut Criterion) {
    let record = values(NUM_CHUNKS, 3);
    let polynomial = Polynomial::interpolate(&record).unwrap();

    let mut group = group(criterion, "kzg");
    at_once(
        &mut group,
        "commit_2_15",
        || (),
        |()| KZG.commit(black_box(&polynomial)).unwrap(),
    );
    group.bench_function("commit_2_15_portable", |bencher| {
        let portable =
            Kzg::with_simd_level(REFERENCE_STRING.clone(), SimdLevel::Portable).with_precomputation(&pool(2));
        bencher.iter(|| portable.commit(black_box(&polynomial)));
    });
    group.bench_function("commit_2_15_without_tables", |bencher| {
        let yardstick = yardstick::Yardstick::new(polynomial.coefficients());
        bencher.iter(|| black_box(&yardstick).sum());
    });
    at_once(
        &mut group,
        "witness_2_15",
        || (),
        |()| {
            KZG.create_witness(black_box(&polynomial), 2 * NUM_CHUNKS, 12_345)
                .unwrap()
        },
    );
    at_once(
        &mut group,
        "inverse_fft_2_15",
        || record.clone(),
        |scratch| {
            scratch.copy_from_slice(&record);
            transform::inverse(black_box(scratch)).unwrap();
        },
    );
    group.bench_function("precompute", |bencher| {
        let pool = pool(1);
        bencher.iter(|| Kzg::new(REFERENCE_STRING.clone()).with_precomputation(&pool));
    });
    group.bench_function("insecure_development", |bencher| {
        let pool = pool(1);
        bencher.iter(|| ReferenceString::insecure_development(&pool));
    });
    group.bench_function("verify_16_record_commitments", |bencher| {
        let commitment: Commitment = KZG.commit(&polynomial).unwrap();
        bencher.iter(|| {
            let mut batch = CommitmentBatch::new(NUM_CHUNKS).unwrap();
            for _ in 0..16 {
                batch.add(&record, &commitment).unwrap();
            }
            batch.verify(&KZG)
        });
    });
    group.finish();
}

/// Openings of a polynomial over all pieces of a segment.
fn openings(segment: &Polynomial) -> Vec<Opening> {
    let commitment = KZG.commit(segment).unwrap();
    let witnesses = KZG.create_all_witnesses(segment, &pool(2)).unwrap();
    values(NUM_PIECES, 7)
        .into_iter()
        .zip(witnesses)
        .enumerate()
        .map(|(index, (value, witness))| Opening {
            commitment,
            num_values: NUM_PIECES,
            index: index as u32,
            value,
            witness,
        })
        .collect()
}

fn segments(criterion: &mut Criterion) {
    let segment = Polynomial::interpolate(&values(NUM_PIECES, 7)).unwrap();
    let mut group = group(criterion, "kzg");
    group.bench_function("all_witnesses_256", |bencher| {
        let pool = pool(1);
        bencher.iter(|| KZG.create_all_witnesses(black_box(&segment), &pool));
    });
    group.bench_function("verify", |bencher| {
        let Opening {
            commitment,
            num_values,
            index,
            value,
            witness,
        } = openings(&segment)[9];
        bencher.iter(|| KZG.verify(&commitment, num_values, index, black_box(&value), &witness));
    });
    group.bench_function("verify_batch_256", |bencher| {
        let openings = openings(&segment);
        bencher.iter(|| KZG.verify_batch(black_box(&openings)));
    });
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = records, segments);
criterion_main!(benches);

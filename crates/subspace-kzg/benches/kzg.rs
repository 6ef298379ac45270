//! Figures of one core for record-sized polynomials, with the insecure development reference string.

// The group macro makes a public function without documentation; a benchmark may stop at wrong inputs like a test.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use subspace_kzg::{
    Commitment, CommitmentBatch, Kzg, Opening, Polynomial, ReferenceString, Scalar, SimdLevel, transform,
};

const NUM_CHUNKS: usize = 32_768;
const NUM_PIECES: usize = 256;

fn values(count: usize, seed: u64) -> Vec<Scalar> {
    let mut value = Scalar::from_u64(seed);
    (0..count)
        .map(|_| {
            value = value.square() + Scalar::from_u64(5);
            value
        })
        .collect()
}

fn benchmark(criterion: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let reference_string = ReferenceString::insecure_development(&pool);
    let plain = Kzg::new(reference_string.clone());
    let kzg = Kzg::new(reference_string.clone()).with_precomputation(&pool);
    let portable =
        Kzg::with_simd_level(reference_string.clone(), SimdLevel::Portable).with_precomputation(&pool);
    let record = values(NUM_CHUNKS, 3);
    let polynomial = Polynomial::interpolate(&record).unwrap();

    let mut group = criterion.benchmark_group("kzg");
    group.sample_size(10);
    group.bench_function("commit_2_15", |bencher| {
        bencher.iter(|| kzg.commit(black_box(&polynomial)))
    });
    group.bench_function("commit_2_15_portable", |bencher| {
        bencher.iter(|| portable.commit(black_box(&polynomial)));
    });
    group.bench_function("commit_2_15_without_tables", |bencher| {
        bencher.iter(|| plain.commit(black_box(&polynomial)));
    });
    group.bench_function("witness_2_15", |bencher| {
        bencher.iter(|| kzg.create_witness(black_box(&polynomial), 2 * NUM_CHUNKS, 12_345));
    });
    group.bench_function("inverse_fft_2_15", |bencher| {
        let mut scratch = record.clone();
        bencher.iter(|| {
            scratch.copy_from_slice(&record);
            transform::inverse(black_box(&mut scratch))
        });
    });
    group.bench_function("precompute", |bencher| {
        bencher.iter(|| Kzg::new(reference_string.clone()).with_precomputation(&pool));
    });
    group.bench_function("insecure_development", |bencher| {
        bencher.iter(|| ReferenceString::insecure_development(&pool));
    });

    let segment = Polynomial::interpolate(&values(NUM_PIECES, 7)).unwrap();
    let segment_commitment = kzg.commit(&segment).unwrap();
    let witnesses = kzg.create_all_witnesses(&segment, &pool).unwrap();
    group.bench_function("all_witnesses_256", |bencher| {
        bencher.iter(|| kzg.create_all_witnesses(black_box(&segment), &pool));
    });
    let openings = values(NUM_PIECES, 7)
        .into_iter()
        .zip(witnesses)
        .enumerate()
        .map(|(index, (value, witness))| Opening {
            commitment: segment_commitment,
            num_values: NUM_PIECES,
            index: index as u32,
            value,
            witness,
        })
        .collect::<Vec<_>>();
    group.bench_function("verify", |bencher| {
        let Opening {
            commitment,
            num_values,
            index,
            value,
            witness,
        } = openings[9];
        bencher.iter(|| kzg.verify(&commitment, num_values, index, black_box(&value), &witness));
    });
    group.bench_function("verify_batch_256", |bencher| {
        bencher.iter(|| kzg.verify_batch(black_box(&openings)));
    });
    let commitment: Commitment = kzg.commit(&polynomial).unwrap();
    group.bench_function("verify_16_record_commitments", |bencher| {
        bencher.iter(|| {
            let mut batch = CommitmentBatch::new(NUM_CHUNKS).unwrap();
            for _ in 0..16 {
                batch.add(&record, &commitment).unwrap();
            }
            batch.verify(&kzg)
        });
    });
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);

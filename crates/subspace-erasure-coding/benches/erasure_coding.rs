//! Figures of one core, and of two at once, for records; of one core for the columns of a segment.

// The group macro makes a public function without documentation; a benchmark may stop at wrong inputs like a test.
#![allow(missing_docs, clippy::unwrap_used)]

use autonomys_test_support::bench::{at_once, criterion, group, on_pools, pool};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroUsize;
use subspace_erasure_coding::ErasureCoding;
use subspace_erasure_coding::columns::ColumnRecovery;
use subspace_kzg::{Commitment, G1Point, Scalar};

const NUM_CHUNKS: usize = 32_768;
const NUM_RAW_RECORDS: usize = 128;
/// Chunk offsets of the column figures: a sixteenth of a record keeps the inputs small.
const COLUMNS: usize = NUM_CHUNKS / 16;

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
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap();
    let source = values(NUM_CHUNKS, 3);
    let parity = erasure_coding.extend(&source).unwrap();
    let half_missing = source
        .iter()
        .zip(&parity)
        .flat_map(|(source, parity)| [*source, *parity])
        .enumerate()
        .map(|(position, value)| ((position * 7919 + 13) % (2 * NUM_CHUNKS) < NUM_CHUNKS).then_some(value))
        .collect::<Vec<_>>();

    let mut group = group(criterion, "erasure_coding");
    at_once(
        &mut group,
        "extend_2_15",
        || (),
        |()| erasure_coding.extend(black_box(&source)).unwrap(),
    );
    on_pools(&mut group, "recover_poly_half_missing", |pool| {
        erasure_coding.recover_poly_parallel(black_box(&half_missing), pool)
    });
    group.finish();
}

fn columns(criterion: &mut Criterion) {
    let pool = pool(1);
    let erasure_coding = ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap();
    let source = values(NUM_RAW_RECORDS, 3);
    let mut group = group(criterion, "erasure_coding");
    let records = (0..NUM_RAW_RECORDS as u64)
        .map(|record| {
            values(COLUMNS, record)
                .iter()
                .map(Scalar::to_bytes)
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    let mut parity = vec![vec![[0; 32]; COLUMNS]; NUM_RAW_RECORDS];
    group.bench_function("extend_2048_columns_of_128", |bencher| {
        bencher.iter(|| {
            let mut buffers = parity.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>();
            erasure_coding.extend_records(black_box(&records), &mut buffers, &pool)
        });
    });
    let all = records
        .iter()
        .zip(&parity)
        .flat_map(|(source, parity)| [source, parity])
        .collect::<Vec<_>>();
    let present = (0..all.len())
        .map(|position| position < NUM_RAW_RECORDS)
        .collect::<Vec<_>>();
    let given = all
        .iter()
        .zip(&present)
        .map(|(record, present)| present.then_some(record.as_slice()))
        .collect::<Vec<_>>();
    let mut outputs = vec![vec![[0; 32]; COLUMNS]; NUM_RAW_RECORDS];
    for (name, count) in [
        ("recover_2048_columns_all_missing", NUM_RAW_RECORDS),
        ("recover_2048_columns_one_record", 1),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let recovery = ColumnRecovery::new(&erasure_coding, &present).unwrap();
                let mut wanted = (NUM_RAW_RECORDS..)
                    .zip(outputs.iter_mut().map(Vec::as_mut_slice))
                    .take(count)
                    .collect::<Vec<_>>();
                recovery.recover_records(black_box(&given), &mut wanted, &pool)
            });
        });
    }

    let mut point = G1Point::generator();
    let commitments = (0..NUM_RAW_RECORDS)
        .map(|_| {
            point = point.multiplied(&source[1]);
            Commitment::from(point)
        })
        .collect::<Vec<_>>();
    group.bench_function("extend_128_commitments", |bencher| {
        bencher.iter(|| erasure_coding.extend_commitments(black_box(&commitments)));
    });
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = records, columns);
criterion_main!(benches);

//! Time to make a table, to look up all proofs of the protocol in it, and to verify proofs.

// The macro of criterion makes a public function without documentation.
#![allow(missing_docs)]

use autonomys_test_support::bench::{at_once, criterion, group, pool};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use subspace_core_primitives::pos::PosSeed;
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace};

/// Proofs that verification goes round: they differ in cost.
const PROOFS: usize = 256;

fn benches(criterion: &mut Criterion) {
    let proof_of_space = ChiaProofOfSpace::new();
    println!("instruction set: {}", proof_of_space.simd_level());
    let seed = PosSeed::from([1; 32]);

    let mut group = group(criterion, "proof_of_space");
    group.bench_function("table_single", |bencher| {
        bencher.iter(|| proof_of_space.create_table(black_box(&seed)))
    });
    group.bench_function("table_parallel", |bencher| {
        let pool = pool(2);
        bencher.iter(|| proof_of_space.create_table_parallel(black_box(&seed), &pool));
    });
    at_once(
        &mut group,
        "table_a_thread",
        || (),
        |()| proof_of_space.create_table(black_box(&seed)),
    );
    // As plotting, proving and reading look them up: in groups, and with their hashes.
    let s_buckets: Vec<u32> = (0..1 << 16).collect();
    group.bench_function("find_65536", |bencher| {
        let table = proof_of_space.create_table(&seed);
        bencher.iter(|| {
            let mut found = 0;
            table.for_each_proof_hash(black_box(&s_buckets), &mut |_, _| found += 1);
            found
        });
    });
    group.bench_function("find_65536_one_by_one", |bencher| {
        let table = proof_of_space.create_table(&seed);
        bencher.iter(|| {
            s_buckets
                .iter()
                .filter(|&s_bucket| table.find_proof(black_box(*s_bucket)).is_some())
                .count()
        });
    });
    at_once(
        &mut group,
        "verify",
        || {
            let table = proof_of_space.create_table(&seed);
            let proofs = (0..1 << 16).filter_map(|s_bucket| Some((s_bucket, table.find_proof(s_bucket)?)));
            proofs.take(PROOFS).collect::<Vec<_>>().into_iter().cycle()
        },
        |proofs| {
            let (s_bucket, proof) = proofs.next().expect("every table has proofs");
            assert!(proof_of_space.is_proof_valid(black_box(&seed), s_bucket, &proof));
        },
    );
    group.finish();
}

criterion_group!(name = all; config = criterion(); targets = benches);
criterion_main!(all);

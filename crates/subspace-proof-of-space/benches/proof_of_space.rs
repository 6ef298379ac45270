//! Time to make a table, to look up all proofs of the protocol in it, and to verify one.

// The macro of criterion makes a public function without documentation.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use subspace_core_primitives::pos::PosSeed;
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace};

fn benches(criterion: &mut Criterion) {
    let proof_of_space = ChiaProofOfSpace::new();
    println!("instruction set: {}", proof_of_space.simd_level());
    let seed = PosSeed::from([1; 32]);
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .expect("threads can be started");

    let mut group = criterion.benchmark_group("proof_of_space");
    group.sample_size(20);
    group.bench_function("table_single", |bencher| {
        bencher.iter(|| proof_of_space.create_table(black_box(&seed)))
    });
    group.bench_function("table_parallel", |bencher| {
        bencher.iter(|| proof_of_space.create_table_parallel(black_box(&seed), &pool));
    });

    let table = proof_of_space.create_table(&seed);
    group.bench_function("find_65536", |bencher| {
        bencher.iter(|| {
            (0..1 << 16)
                .filter(|&s_bucket| table.find_proof(black_box(s_bucket)).is_some())
                .count()
        });
    });

    let (s_bucket, proof) = (0..1 << 16)
        .find_map(|s_bucket| Some((s_bucket, table.find_proof(s_bucket)?)))
        .expect("every table has proofs");
    group.bench_function("verify", |bencher| {
        bencher.iter(|| proof_of_space.is_proof_valid(black_box(&seed), s_bucket, &proof));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);

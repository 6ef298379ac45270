//! Time of proving and verifying a slot of one million iterations (mainnet slots have about two hundred times as many).
#![allow(
    missing_docs,
    reason = "the macro of criterion makes functions without documentation"
)]

use autonomys_test_support::bench::{criterion, group};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroU32;
use subspace_core_primitives::pot::PotSeed;
use subspace_proof_of_time::{prove, verify};

fn pot(criterion: &mut Criterion) {
    let seed = PotSeed([0x11; 16]);
    let iterations = NonZeroU32::new(1_000_000).expect("not zero");
    let checkpoints = prove(seed, iterations).expect("a multiple of 16");

    let mut group = group(criterion, "proof-of-time");
    group.throughput(Throughput::Elements(iterations.get().into()));
    group.bench_function("prove", |bencher| {
        bencher.iter(|| prove(black_box(seed), iterations))
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| verify(black_box(seed), iterations, black_box(&checkpoints)));
    });
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = pot);
criterion_main!(benches);

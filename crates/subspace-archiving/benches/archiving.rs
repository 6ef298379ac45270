//! Archiving one segment and reconstructing its pieces from half of them, with one and with two threads.
//!
//! Uses the insecure development reference string: the cost does not depend on the points.

use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use criterion::{BenchmarkId, Criterion};
use rayon::ThreadPoolBuilder;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;
use subspace_archiving::{PiecesReconstructor, archive_segment};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE, SegmentIndex,
};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Kzg, ReferenceString};

fn archiving(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archiving");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(1));
    let pools = [1, 2].map(|threads| {
        (
            threads,
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads can be started"),
        )
    });
    let pool = &pools[1].1;
    let kzg = Kzg::new(ReferenceString::insecure_development(pool)).with_precomputation(pool);
    let scale = NonZeroUsize::new(16).expect("not zero");
    let erasure_coding = ErasureCoding::new(scale).expect("the scale of records is supported");
    let mut raw_segment = vec![0; RECORDED_HISTORY_SEGMENT_SIZE];
    ChaCha8::new(&[1; 32].into(), &[0; 12].into()).apply_keystream(&mut raw_segment);
    let last = LastArchivedBlock {
        number: 0,
        archived_progress: ArchivedBlockProgress::Complete,
    };
    let archive = |pool| {
        let hash = Blake3Hash::default();
        archive_segment(
            &raw_segment,
            SegmentIndex::ZERO,
            hash,
            last,
            &kzg,
            &erasure_coding,
            pool,
        )
        .expect("the segment has the right size")
    };

    for (threads, pool) in &pools {
        group.bench_function(BenchmarkId::new("segment", threads), |bencher| {
            bencher.iter(|| black_box(archive(pool)));
        });
    }

    let segment = archive(pool);
    let commitment = segment.segment_header.segment_commitment();
    let reconstructor = PiecesReconstructor::new(kzg.clone(), erasure_coding);
    let second_half: Vec<_> = segment
        .pieces
        .iter()
        .enumerate()
        .map(|(position, piece)| (position >= 128).then(|| piece.clone()))
        .collect();
    for (threads, pool) in &pools {
        group.bench_function(BenchmarkId::new("reconstruct_pieces", threads), |bencher| {
            bencher.iter(|| {
                let pieces = reconstructor.reconstruct_pieces(&second_half, &commitment, pool);
                black_box(pieces.expect("half of the pieces is enough"))
            });
        });
        group.bench_function(BenchmarkId::new("reconstruct_piece", threads), |bencher| {
            bencher.iter(|| {
                let piece = reconstructor.reconstruct_piece(&second_half, &commitment, 1, pool);
                black_box(piece.expect("half of the pieces is enough"))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    archiving(&mut criterion);
    criterion.final_summary();
}

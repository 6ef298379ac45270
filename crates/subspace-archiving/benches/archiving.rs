//! Archiving one segment, checking its pieces, and reconstructing them from half of them, with one and with two threads.
//!
//! Uses the insecure development reference string: the cost does not depend on the points.

#![allow(missing_docs)] // The macro makes a public function.

use autonomys_test_support::bench::{at_once, criterion, group, on_pools, pool};
use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rayon::ThreadPool;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_archiving::{NewArchivedSegment, PiecesReconstructor, archive_segment, is_piece_valid};
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::Piece;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE, SegmentIndex,
};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::{Kzg, ReferenceString};

/// Pieces that are checked together: what a plot-server fetches at a time.
const BATCH: usize = 64;

static KZG: LazyLock<Kzg> = LazyLock::new(|| {
    let pool = pool(2);
    Kzg::new(ReferenceString::insecure_development(&pool)).with_precomputation(&pool)
});
static ERASURE_CODING: LazyLock<ErasureCoding> = LazyLock::new(|| {
    let scale = NonZeroUsize::new(16).expect("not zero");
    ErasureCoding::new(scale).expect("the scale of records is supported")
});
static RAW_SEGMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut raw_segment = vec![0; RECORDED_HISTORY_SEGMENT_SIZE];
    ChaCha8::new(&[1; 32].into(), &[0; 12].into()).apply_keystream(&mut raw_segment);
    raw_segment
});
static SEGMENT: LazyLock<NewArchivedSegment> = LazyLock::new(|| archive(&pool(2)));
static RECONSTRUCTOR: LazyLock<PiecesReconstructor> =
    LazyLock::new(|| PiecesReconstructor::new(KZG.clone(), *ERASURE_CODING));
/// The positions from 128 on.
static SECOND_HALF: LazyLock<Vec<Option<Piece>>> = LazyLock::new(|| {
    let pieces = SEGMENT.pieces.iter().enumerate();
    pieces
        .map(|(position, piece)| (position >= 128).then(|| piece.clone()))
        .collect()
});

fn archive(pool: &ThreadPool) -> NewArchivedSegment {
    let last = LastArchivedBlock {
        number: 0,
        archived_progress: ArchivedBlockProgress::Complete,
    };
    archive_segment(
        &RAW_SEGMENT,
        SegmentIndex::ZERO,
        Blake3Hash::default(),
        last,
        &KZG,
        &ERASURE_CODING,
        pool,
    )
    .expect("the segment has the right size")
}

fn segments(criterion: &mut Criterion) {
    let mut group = group(criterion, "archiving");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("segment", threads), |bencher| {
            let pool = pool(threads);
            bencher.iter(|| black_box(archive(&pool)));
        });
        group.bench_function(BenchmarkId::new("reconstruct_pieces", threads), |bencher| {
            let pool = pool(threads);
            let commitment = SEGMENT.segment_header.segment_commitment();
            bencher.iter(|| {
                let pieces = RECONSTRUCTOR.reconstruct_pieces(&SECOND_HALF, &commitment, &pool);
                black_box(pieces.expect("half of the pieces is enough"))
            });
        });
        group.bench_function(BenchmarkId::new("reconstruct_piece", threads), |bencher| {
            let pool = pool(threads);
            let commitment = SEGMENT.segment_header.segment_commitment();
            bencher.iter(|| {
                let piece = RECONSTRUCTOR.reconstruct_piece(&SECOND_HALF, &commitment, 1, &pool);
                black_box(piece.expect("half of the pieces is enough"))
            });
        });
    }
    group.finish();
}

fn validation(criterion: &mut Criterion) {
    let mut group = group(criterion, "validation");
    at_once(
        &mut group,
        "piece",
        || SEGMENT.segment_header.segment_commitment(),
        |commitment| assert!(is_piece_valid(&KZG, &SEGMENT.pieces[3], commitment, 3)),
    );
    on_pools(&mut group, "batch_of_64", |pool| {
        let pieces: Vec<_> = (0..)
            .zip(&SEGMENT.pieces[..BATCH])
            .map(|(position, piece)| PieceToCheck {
                piece: piece.clone(),
                segment_commitment: SEGMENT.segment_header.segment_commitment(),
                position,
            })
            .collect();
        assert!(find_invalid_pieces(&KZG, &pieces, pool).is_empty());
    });
    group.finish();
}

criterion_group!(name = all; config = criterion(); targets = segments, validation);
criterion_main!(all);

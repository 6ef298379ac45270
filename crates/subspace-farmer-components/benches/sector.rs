//! Encoding, auditing, proving and reading, in memory.
//!
//! Run with `cargo bench -p subspace-farmer-components`. One thread unless `BENCH_THREADS` says otherwise. The development
//! reference string is used: the time of the arithmetic does not depend on it.

#![allow(missing_docs)] // The macro makes a public function.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, PieceOffset, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{AuditChallenge, audit_sector};
use subspace_farmer_components::plotting::{SectorToEncode, encode_record, encode_sector};
use subspace_farmer_components::proving::{provable_candidates, prove, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{
    LoadedSector, NUM_CHUNKS, NUM_S_BUCKETS, SectorMetadata, sector_size,
};
use subspace_kzg::{Kzg, ReferenceString, Scalar};
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind, proof_of_space};

const PIECES_IN_SECTOR: u16 = 4;

fn pool() -> ThreadPool {
    let threads = std::env::var("BENCH_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(1);
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads can be started")
}

fn piece(kzg: &Kzg) -> Piece {
    let mut record = vec![0; NUM_CHUNKS * 32];
    blake3::Hasher::new()
        .update(b"piece")
        .finalize_xof()
        .fill(&mut record);
    let chunks = record.as_chunks_mut::<32>().0;
    chunks.iter_mut().for_each(|chunk| chunk[0] = 0);
    let scalars: Vec<_> = chunks
        .iter()
        .map(|chunk| Scalar::try_from_bytes(chunk).expect("the top byte is zero"))
        .collect();
    let commitment = kzg
        .commit_values(&scalars)
        .expect("a record has as many chunks as there are powers");
    Piece::from_parts(
        &record,
        &RecordCommitment::from(commitment),
        &RecordWitness::from([0; 48]),
    )
    .expect("made of parts of the right sizes")
}

/// The sizes that s-buckets of a sector of 1000 pieces have: about 630 chunks in the lower ones, nothing in the upper ones.
fn full_sector(public_key_hash: &Blake3Hash) -> LoadedSector {
    let mut sizes = vec![0; NUM_S_BUCKETS];
    let chunks = 1000 * NUM_CHUNKS;
    for (s_bucket, size) in sizes.iter_mut().enumerate().take(chunks / 630) {
        *size = 600 + (s_bucket % 61) as u16;
    }
    let metadata = SectorMetadata {
        sector_index: 0,
        pieces_in_sector: 1000,
        s_bucket_sizes: sizes
            .into_boxed_slice()
            .try_into()
            .expect("allocated with this many sizes"),
        history_size: HistorySize::ONE,
    };
    LoadedSector::new(public_key_hash, metadata)
}

fn benches(criterion: &mut Criterion) {
    let pool = pool();
    let kzg = Kzg::new(ReferenceString::insecure_development(&pool)).with_precomputation(&pool);
    let erasure_coding =
        ErasureCoding::new(NonZeroUsize::new(16).expect("is not zero")).expect("a supported scale");
    let proof_of_space = proof_of_space(ProofOfSpaceKind::Chia);
    let proof_of_space: &dyn ProofOfSpace = &*proof_of_space;
    let public_key_hash = blake3_hash(b"public key");
    let piece = piece(&kzg);

    let plot = || {
        let sector = SectorToEncode {
            public_key_hash,
            sector_index: 0,
            history_size: HistorySize::ONE,
            pieces: vec![piece.clone(); PIECES_IN_SECTOR.into()],
        };
        let concurrency = NonZeroUsize::new(pool.current_num_threads()).expect("a pool has threads");
        let cancelled = AtomicBool::new(false);
        encode_sector(
            sector,
            proof_of_space,
            &erasure_coding,
            &pool,
            concurrency,
            &|_| {},
            &cancelled,
        )
        .expect("the piece is valid")
    };
    let encoded = plot();
    let sector = LoadedSector::new(&public_key_hash, encoded.metadata.0.clone());
    let reader = SectorReader::new(&encoded.sector, &sector, ReadMode::SingleReads, Some(&pool));

    let mut group = criterion.benchmark_group("sector");
    group.sample_size(10);
    let seed = sector.sector_id.derive_evaluation_seed(PieceOffset::ZERO);
    group.bench_function("encode_record", |bencher| {
        bencher.iter(|| encode_record(piece.record_chunks(), &seed, proof_of_space, &erasure_coding));
    });
    group.throughput(Throughput::Elements(PIECES_IN_SECTOR.into()));
    group.bench_function("plot_per_piece", |bencher| bencher.iter(plot));
    group.finish();

    let full = full_sector(&public_key_hash);
    let plot = vec![0x5a; sector_size(1000)];
    let mut buffer = Vec::new();
    let mut number = 0_u64;
    criterion.bench_function("audit/sector_1000_in_memory", |bencher| {
        bencher.iter_batched(
            || loop {
                number += 1;
                let global_challenge = blake3_hash(&number.to_le_bytes());
                let challenge = full.sector_id.derive_sector_slot_challenge(&global_challenge);
                // Empty s-buckets would make the mean look better.
                if full.s_bucket_sizes.size(challenge.s_bucket_audit_index()) > 0 {
                    break AuditChallenge {
                        global_challenge,
                        solution_range: 1,
                    };
                }
            },
            |challenge| audit_sector(&full, plot.as_slice(), black_box(&challenge), &mut buffer),
            BatchSize::SmallInput,
        );
    });
    drop(plot);

    let contents_map = reader.read_contents_map().expect("the sector is intact");
    let candidate = (0_u64..)
        .find_map(|number| {
            let global_challenge = blake3_hash(&number.to_le_bytes());
            let challenge = AuditChallenge {
                global_challenge,
                solution_range: u64::MAX,
            };
            let audit = audit_sector(&sector, &encoded.sector, &challenge, &mut buffer)
                .expect("memory can be read")?;
            provable_candidates(&audit, &contents_map).first().copied()
        })
        .expect("some s-bucket is not empty");
    let mut group = criterion.benchmark_group("prove");
    group.sample_size(10);
    group.bench_function("solution_in_memory", |bencher| {
        bencher.iter(|| {
            let input = read_proof_input(&reader, &contents_map, &candidate, ProofOfSpaceKind::Chia)
                .expect("the sector is intact");
            prove(&input.request, &kzg, &erasure_coding, proof_of_space, &pool).expect("the sector is intact")
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("read");
    group.sample_size(10);
    group.bench_function("piece", |bencher| {
        bencher.iter(|| {
            reader
                .read_piece(PieceOffset::ZERO, proof_of_space, &erasure_coding)
                .expect("the sector is intact")
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);

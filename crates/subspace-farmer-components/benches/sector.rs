//! Encoding, auditing, proving and reading; the sector of audits, proofs and reads has 1000 pieces and lies in memory.

#![allow(missing_docs)] // The macro makes a public function.

mod support;

use autonomys_test_support::bench::{TWO_THREADS, at_once, criterion, group, on_pools};
use criterion::{Criterion, Throughput, criterion_group};
use rayon::ThreadPool;
use std::hint::black_box;
use std::sync::LazyLock;
use subspace_core_primitives::pieces::{Piece, PieceOffset};
use subspace_farmer_components::auditing::{AuditChallenge, audit_sector};
use subspace_farmer_components::plotting::encode_record;
use subspace_farmer_components::proving::{ProofPart, provable_candidates, prove, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::LoadedSector;
use subspace_proof_of_space::ProofOfSpaceKind;
use support::{ERASURE_CODING, FullSectorFiles, KZG, PROOF_OF_SPACE, challenges, first_seed};

/// Pieces of the sector that is plotted: few, so that what happens once a sector counts too much rather than too little.
const PLOTTED_PIECES: u16 = 4;
/// Challenges that audits go round: more s-buckets than any cache near the processor holds.
const CHALLENGES: usize = 8192;

/// The plotted sector and its bytes.
static FULL: LazyLock<(LoadedSector, Vec<u8>)> = LazyLock::new(|| {
    let files = FullSectorFiles::get();
    (files.loaded(), files.bytes())
});
static PIECE: LazyLock<Piece> = LazyLock::new(|| support::piece(0));

fn plotting(criterion: &mut Criterion) {
    let mut group = group(criterion, "sector");
    at_once(
        &mut group,
        "encode_record",
        || first_seed(&FULL.0),
        |seed| encode_record(PIECE.record_chunks(), seed, &*PROOF_OF_SPACE, &ERASURE_CODING),
    );
    group.throughput(Throughput::Elements(PLOTTED_PIECES.into()));
    for (threads, suffix) in [(1, ""), (2, TWO_THREADS)] {
        group.bench_function(format!("plot_per_piece{suffix}"), |bencher| {
            let pieces = vec![PIECE.clone(); PLOTTED_PIECES.into()];
            bencher.iter(|| support::plot(pieces.clone(), threads, &|_| {}));
        });
    }
    group.finish();
}

fn auditing(criterion: &mut Criterion) {
    let mut group = group(criterion, "audit");
    at_once(
        &mut group,
        "sector_1000_in_memory",
        || {
            let challenges: Vec<_> = challenges(&FULL.0, 1).take(CHALLENGES).collect();
            (challenges.into_iter().cycle(), Vec::new())
        },
        |(challenges, buffer)| {
            let challenge = challenges.next().expect("it goes round");
            audit_sector(&FULL.0, FULL.1.as_slice(), black_box(&challenge), buffer)
        },
    );
    group.finish();
}

/// From a slot's challenge to the proof: audit, contents map, the record's chunks, proof. `None` when the audited chunks
/// are unencoded ones.
fn audit_and_prove(challenge: &AuditChallenge, pool: &ThreadPool) -> Option<ProofPart> {
    let (sector, bytes) = &*FULL;
    let audit = audit_sector(sector, bytes.as_slice(), challenge, &mut Vec::new())
        .expect("memory can be read")
        .expect("any chunk wins in this solution range");
    let reader = SectorReader::new(bytes.as_slice(), sector, ReadMode::SingleReads, Some(pool));
    let contents_map = reader.read_contents_map().expect("the sector is intact");
    let candidate = *provable_candidates(&audit, &contents_map).first()?;
    let input = read_proof_input(&reader, &contents_map, &candidate, ProofOfSpaceKind::Chia)
        .expect("the sector is intact");
    let proof = prove(&input.request, &KZG, &ERASURE_CODING, &*PROOF_OF_SPACE, pool);
    Some(proof.expect("the sector is intact"))
}

fn proving(criterion: &mut Criterion) {
    let mut group = group(criterion, "prove");
    on_pools(&mut group, "solution_in_memory", |pool| {
        static CHALLENGE: LazyLock<AuditChallenge> = LazyLock::new(|| {
            challenges(&FULL.0, u64::MAX)
                .find(|challenge| {
                    audit_and_prove(challenge, &autonomys_test_support::bench::pool(2)).is_some()
                })
                .expect("most s-buckets have encoded chunks")
        });
        audit_and_prove(&CHALLENGE, pool).expect("it was proved before")
    });
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = group(criterion, "read");
    on_pools(&mut group, "piece", |pool| {
        let (sector, bytes) = &*FULL;
        SectorReader::new(bytes.as_slice(), sector, ReadMode::SingleReads, Some(pool))
            .read_piece(PieceOffset::ZERO, &*PROOF_OF_SPACE, &ERASURE_CODING)
            .expect("the sector is intact")
    });
    group.finish();
}

criterion_group!(name = all; config = criterion(); targets = plotting, auditing, proving, reading);

fn main() {
    // `scripts/bench-protocol` has the inputs made before it ties the process to one processor.
    if std::env::var_os("BENCH_INPUTS_ONLY").is_some() {
        FullSectorFiles::get();
        return;
    }
    all();
    Criterion::default().configure_from_args().final_summary();
}

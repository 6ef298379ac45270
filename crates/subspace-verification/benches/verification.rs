//! Time of verifying one solution, without and with the check of its piece.
#![allow(
    missing_docs,
    reason = "the macro of criterion makes functions without documentation"
)]

use autonomys_test_support::{mainnet_kzg_params, report_skipped, section};
use criterion::{Criterion, criterion_group, criterion_main};
use parity_scale_codec::Decode;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::segments::{HistorySize, SegmentCommitment};
use subspace_core_primitives::solutions::Solution;
use subspace_kzg::{Kzg, ReferenceString};
use subspace_proof_of_space::{ProofOfSpaceKind, proof_of_space};
use subspace_verification::{PieceCheckParams, VerifySolutionParams, verify_solution};

fn verification(criterion: &mut Criterion) {
    let Some(blob) = mainnet_kzg_params() else {
        report_skipped(
            "verification",
            "the mainnet KZG parameters are not on this machine",
        );
        return;
    };
    let kzg = Kzg::new(ReferenceString::mainnet_from_bytes(&blob).expect("the mainnet parameters"));
    let proof_of_space = proof_of_space(ProofOfSpaceKind::Chia);
    let vectors = section("solution_verification.json", "cases");
    let cases = vectors.root().items();
    // The first case is a valid solution with all checks.
    let (case, piece) = (&cases[0], cases[0].get("piece_check"));
    let size = |number: u64| HistorySize::from_segments(number).expect("not zero");
    let fraction = piece.get("recent_history_fraction").items();
    let solution = Solution::decode(&mut case.get("solution").bytes().as_slice()).expect("decodes");
    let slot = case.get("slot").u64();
    let full = VerifySolutionParams {
        proof_of_time: PotOutput(case.get("proof_of_time").array()),
        solution_range: case.get("solution_range").u64(),
        piece_check_params: Some(PieceCheckParams {
            max_pieces_in_sector: piece.get("max_pieces_in_sector").u16(),
            segment_commitment: SegmentCommitment(piece.get("segment_commitment").array()),
            recent_segments: size(piece.get("recent_segments").u64()),
            recent_history_fraction: (size(fraction[0].u64()), size(fraction[1].u64())),
            min_sector_lifetime: size(piece.get("min_sector_lifetime").u64()),
            current_history_size: size(piece.get("current_history_size").u64()),
            sector_expiration_check_segment_commitment: None,
        }),
    };
    let stateless = VerifySolutionParams {
        piece_check_params: None,
        ..full
    };

    let mut group = criterion.benchmark_group("verify-solution");
    group.sample_size(50);
    for (name, params) in [("stateless", stateless), ("with piece", full)] {
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| verify_solution(&solution, slot, &params, &kzg, &*proof_of_space).expect("valid"));
        });
    }
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);

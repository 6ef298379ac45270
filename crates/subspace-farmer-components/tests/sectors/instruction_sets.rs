//! The environment variable that chooses the instruction set changes nothing about sectors, audits, proofs and pieces.

use super::{ERASURE_CODING, POOL, challenge_with_candidates, load, piece, to_encode};
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::pos::PosSeed;
use subspace_farmer_components::auditing::audit_sector;
use subspace_farmer_components::plotting::encode_sector;
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_proof_of_space::{ChiaProofOfSpace, ProofOfSpace, SIMD_ENVIRONMENT_VARIABLE, SimdLevel};

/// Set for the processes that this test starts: where they write what they computed.
const OUTPUT_VARIABLE: &str = "INSTRUCTION_SETS_OUTPUT";

/// Plots a piece with the proof of space of the network, audits the sector, reads the piece back and verifies proofs; a text
/// that says how all of it came out.
fn everything() -> String {
    let proof_of_space = ChiaProofOfSpace::new();
    let encoded = encode_sector(
        to_encode(vec![piece(3)]),
        &proof_of_space,
        &ERASURE_CODING,
        &POOL,
        NonZeroUsize::MIN,
        &|_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let sector = load(&encoded);
    let challenge = challenge_with_candidates(&sector);
    let audit = audit_sector(&sector, &encoded.sector, &challenge, &mut Vec::new()).unwrap();
    let reader = SectorReader::new(&encoded.sector, &sector, ReadMode::SingleReads, Some(&POOL));
    let read = reader
        .read_piece(PieceOffset::ZERO, &proof_of_space, &ERASURE_CODING)
        .unwrap();
    assert_eq!(read, piece(3));
    let seed = PosSeed::from([1; 32]);
    let table = proof_of_space.create_table(&seed);
    let proofs = (0..1000).filter_map(|s_bucket| Some((s_bucket, table.find_proof(s_bucket)?)));
    let valid = proofs
        .filter(|(s_bucket, proof)| proof_of_space.is_proof_valid(&seed, *s_bucket, proof))
        .count();
    assert!(valid > 500, "{valid}");
    format!(
        "{} {} {audit:?} {}",
        proof_of_space.simd_level(),
        blake3::hash(&encoded.sector),
        valid
    )
}

#[test]
fn all_instruction_sets_give_the_same() {
    if let Some(output) = std::env::var_os(OUTPUT_VARIABLE) {
        return std::fs::write(output, everything()).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let outputs: Vec<_> = SimdLevel::ALL
        .into_iter()
        .filter(|level| level.is_supported())
        .map(|level| {
            let output = directory.path().join(level.to_string());
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "instruction_sets::all_instruction_sets_give_the_same"])
                .env(SIMD_ENVIRONMENT_VARIABLE, level.to_string())
                .env(OUTPUT_VARIABLE, &output)
                .output()
                .unwrap();
            assert!(
                status.status.success(),
                "{level}: {}",
                String::from_utf8_lossy(&status.stdout)
            );
            let text = std::fs::read_to_string(output).unwrap();
            text.strip_prefix(&level.to_string()).unwrap().to_string()
        })
        .collect();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "{outputs:#?}");
}

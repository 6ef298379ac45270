//! `audit.json`: candidates and solutions of the sectors of `sector.json`.

use crate::plotted::{AllPlotted, Plotted, plotted};
use autonomys_test_support::{Node, Section, section};
use parity_scale_codec::{Decode, Encode};
use std::collections::HashSet;
use std::io::Write;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::pot::PotOutput;
use subspace_core_primitives::solutions::{Solution, VerifySolutionParams};
use subspace_farmer_components::auditing::{
    AuditChallenge, AuditResult, SectorAudit, SectorInPlot, audit_plot, audit_sector,
};
use subspace_farmer_components::proving::{
    ProofPart, ProofRequest, provable_candidates, prove, read_proof_input,
};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_farmer_components::sector::{ChunkKind, SectorContentsMap};
use subspace_proof_of_space::ProofOfSpace;
use subspace_verification::verify_solution;

struct Challenges(Section);

struct Slot {
    number: u64,
    proof_of_time: PotOutput,
    global_challenge: Blake3Hash,
}

impl Challenges {
    fn new() -> Self {
        Self(section("sector.json", "challenges"))
    }

    fn get(&self, number: u64) -> Slot {
        let challenges = self.0.root().items();
        let challenge = challenges
            .iter()
            .find(|challenge| challenge.get("challenge").u64() == number)
            .unwrap();
        Slot {
            number: challenge.get("slot").u64(),
            proof_of_time: PotOutput::from(challenge.get("proof_of_time").array()),
            global_challenge: Blake3Hash::from(challenge.get("global_challenge").array()),
        }
    }
}

#[test]
fn audits() {
    let Some(all) = plotted("audit::audits") else {
        return;
    };
    let challenges = Challenges::new();
    let section = section("audit.json", "audits");
    let mut buffer = Vec::new();
    for case in section.root().items() {
        let plotted = all.sector(case.get("sector").str());
        let slot = challenges.get(case.get("challenge").u64());
        let challenge = AuditChallenge {
            global_challenge: slot.global_challenge,
            solution_range: case.get("solution_range").u64(),
        };
        let slot_challenge = plotted
            .sector
            .sector_id
            .derive_sector_slot_challenge(&slot.global_challenge);
        assert_eq!(*slot_challenge, case.get("sector_slot_challenge").array());
        let s_bucket = slot_challenge.s_bucket_audit_index();
        assert_eq!(s_bucket.get(), case.get("s_bucket").u16());
        assert_eq!(
            plotted.sector.s_bucket_byte_offset(s_bucket),
            case.get("audited_bytes_offset").u64()
        );
        assert_eq!(
            plotted.sector.s_bucket_sizes.size(s_bucket),
            case.get("audited_chunks").u16()
        );
        if let Some(audit) = SectorAudit::new(&plotted.sector, &slot.global_challenge) {
            assert_eq!(audit.offset, case.get("audited_bytes_offset").u64());
            assert_eq!(audit.size, case.get("audited_chunks").usize() * 32);
            assert_eq!(
                (audit.s_bucket, audit.sector_slot_challenge),
                (s_bucket, slot_challenge)
            );
        }

        let result = audit_sector(&plotted.sector, &plotted.encoded.sector, &challenge, &mut buffer).unwrap();
        let reader = SectorReader::new(
            &plotted.encoded.sector,
            &plotted.sector,
            ReadMode::SingleReads,
            Some(&all.inputs.pool),
        );
        let contents_map = reader.read_contents_map().unwrap();
        check_candidates(&case.get("candidates"), result.as_ref(), &contents_map);
        let solutions = case.get("solutions").items();
        if !solutions.is_empty() {
            let result = result.expect("there are candidates");
            check_solutions(&solutions, all, plotted, &result, &slot, &challenge);
        }
    }
    section.finish();
}

fn check_candidates(expected: &Node<'_>, result: Option<&AuditResult>, contents_map: &SectorContentsMap) {
    let expected = expected.items();
    let Some(result) = result else {
        assert!(expected.is_empty(), "{}", expected[0].path());
        return;
    };
    assert_eq!(result.candidates.len(), expected.len());
    let records: Vec<_> = contents_map.s_bucket_records(result.s_bucket).collect();
    for (candidate, expected) in result.candidates.iter().zip(&expected) {
        assert_eq!(candidate.chunk_offset, expected.get("chunk_offset").u16());
        assert_eq!(candidate.solution_distance, expected.get("distance").u64());
        let (piece_offset, kind) = records[usize::from(candidate.chunk_offset)];
        assert_eq!(piece_offset.get(), expected.get("piece_offset").u16());
        assert_eq!(kind == ChunkKind::Encoded, expected.get("encoded").bool());
    }
}

/// Proves the way a farm with a remote prover does: every part crosses the wire.
fn check_solutions(
    expected: &[Node<'_>],
    all: &AllPlotted,
    plotted: &Plotted,
    result: &AuditResult,
    slot: &Slot,
    challenge: &AuditChallenge,
) {
    let reward_address = section("sector.json", "reward_address");
    let reward_address = PublicKey::from(reward_address.root().array());
    let reader = SectorReader::new(
        &plotted.encoded.sector,
        &plotted.sector,
        ReadMode::SingleReads,
        Some(&all.inputs.pool),
    );
    let contents_map = reader.read_contents_map().unwrap();
    let candidates = provable_candidates(result, &contents_map);
    for (candidate, expected) in candidates.iter().zip(expected) {
        assert_eq!(
            candidates[0].solution_distance,
            expected.get("best_solution_distance").u64()
        );
        assert_eq!(candidates.len(), expected.get("provable_count").usize());
        assert_eq!(
            candidate.piece_offset,
            PieceOffset::from(expected.get("piece_offset").u16())
        );

        let input = read_proof_input(&reader, &contents_map, candidate, all.proof_of_space.kind()).unwrap();
        let request = ProofRequest::from_bytes(&input.request.encode()).unwrap();
        let proof = prove(
            &request,
            &all.inputs.kzg,
            &all.inputs.erasure_coding,
            &all.proof_of_space,
            &all.inputs.pool,
        )
        .unwrap();
        let proof = ProofPart::decode(&mut proof.encode().as_slice()).unwrap();
        let solution = input
            .solution_part
            .into_solution(plotted.public_key, reward_address, &proof);

        assert_eq!(*solution.chunk, expected.get("chunk").array());
        assert_eq!(*solution.chunk_witness, expected.get("chunk_witness").array());
        assert_eq!(
            *solution.record_commitment,
            expected.get("record_commitment").array()
        );
        assert_eq!(*solution.record_witness, expected.get("record_witness").array());
        assert_eq!(*solution.proof_of_space, expected.get("proof_of_space").array());
        assert_eq!(solution.encode(), expected.get("scale").bytes());
        let distance = verify(all, &solution, slot, challenge);
        assert_eq!(distance, expected.get("verified_distance").u64());
        assert_eq!(distance, candidate.solution_distance);
    }
    assert!(expected.len() <= candidates.len());
}

fn verify(all: &AllPlotted, solution: &Solution, slot: &Slot, challenge: &AuditChallenge) -> u64 {
    let params = VerifySolutionParams {
        proof_of_time: slot.proof_of_time,
        solution_range: challenge.solution_range,
        piece_check_params: None,
    };
    verify_solution(
        solution,
        slot.number,
        &params,
        &all.inputs.kzg,
        &all.proof_of_space,
    )
    .unwrap()
}

#[test]
fn multi_sector_plot() {
    let Some(all) = plotted("audit::multi_sector_plot") else {
        return;
    };
    let challenges = Challenges::new();
    // The plot consists of the sectors whose name starts with "a".
    let sectors: Vec<_> = all
        .sectors
        .iter()
        .filter(|sector| sector.name.starts_with('a'))
        .collect();
    let mut plot = Vec::new();
    let mut in_plot = Vec::new();
    for plotted in &sectors {
        in_plot.push(SectorInPlot {
            sector: &plotted.sector,
            start: plot.len() as u64,
        });
        plot.extend_from_slice(&plotted.encoded.sector);
    }
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plot-{}.bin", std::process::id()));
    std::fs::File::create(&path).unwrap().write_all(&plot).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    let section = section("audit.json", "multi_sector_plot");
    for case in section.root().items() {
        let challenge = AuditChallenge {
            global_challenge: challenges.get(case.get("challenge").u64()).global_challenge,
            solution_range: u64::MAX,
        };
        let modified: HashSet<_> = case
            .get("sectors_being_modified")
            .items()
            .iter()
            .map(Node::u16)
            .collect();
        let expected: Vec<_> = case
            .get("results")
            .items()
            .iter()
            .map(|result| {
                let candidates: Vec<_> = result
                    .get("candidates")
                    .items()
                    .iter()
                    .map(|candidate| (candidate.items()[0].u16(), candidate.items()[1].u64()))
                    .collect();
                (result.get("sector_index").u16(), candidates)
            })
            .collect();
        let skip = |sector_index| modified.contains(&sector_index);
        for audit in [
            audit_plot(&plot, &in_plot, &challenge, &skip, None),
            audit_plot(&file, &in_plot, &challenge, &skip, Some(&all.inputs.pool)),
        ] {
            assert!(audit.errors.is_empty());
            let found: Vec<_> = audit
                .results
                .iter()
                .map(|result| {
                    let candidates = result.candidates.iter();
                    let candidates = candidates
                        .map(|found| (found.chunk_offset, found.solution_distance))
                        .collect();
                    (result.sector_index, candidates)
                })
                .collect();
            assert_eq!(found, expected);
        }
    }
    section.finish();
}

//! `sector_sparse.json`: a sector with too few proofs of space.

use crate::pieces::{Inputs, inputs};
use crate::plotted::{Plotted, plot};
use crate::proof_of_space::SparseProofOfSpace;
use crate::sector_fields::check_sector;
use autonomys_test_support::{label, section, xof};
use std::sync::OnceLock;
use subspace_core_primitives::derive_global_challenge;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::pot::PotOutput;
use subspace_farmer_components::auditing::{AuditChallenge, SectorAudit, audit_sector};
use subspace_farmer_components::proving::{provable_candidates, prove, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_proof_of_space::ProofOfSpace;

fn sparse(test: &str) -> Option<(&'static Inputs, &'static Plotted)> {
    static PLOTTED: OnceLock<Plotted> = OnceLock::new();
    let inputs = inputs(test)?;
    let plotted = PLOTTED.get_or_init(|| {
        let section = section("sector_sparse.json", "sector");
        plot(&section.root(), inputs, &SparseProofOfSpace, 2)
    });
    Some((inputs, plotted))
}

#[test]
fn sector() {
    let Some((inputs, plotted)) = sparse("sector_sparse::sector") else {
        return;
    };
    let section = section("sector_sparse.json", "sector");
    assert_eq!(xof(&label("sparse/public_key"), 32), *plotted.public_key);
    check_sector(&section.root(), plotted, inputs);
    section.finish();
}

#[test]
fn reading() {
    let Some((inputs, plotted)) = sparse("sector_sparse::reading") else {
        return;
    };
    let section = section("sector_sparse.json", "reading");
    for case in section.root().items() {
        let offset = case.get("piece_offset").u16();
        let mode = if offset % 2 == 0 {
            ReadMode::WholeSector
        } else {
            ReadMode::SingleReads
        };
        let piece = SectorReader::new(&plotted.encoded.sector, &plotted.sector, mode, None)
            .read_piece(
                PieceOffset::from(offset),
                &SparseProofOfSpace,
                &inputs.erasure_coding,
            )
            .unwrap();
        let index = plotted.piece_indexes[usize::from(offset)];
        assert_eq!(index.get(), case.get("piece_index").u64());
        assert_eq!(*piece.hash(), case.get("piece_blake3").array());
        assert_eq!(piece == inputs.pieces[&index], case.get("equals_original").bool());
    }
    section.finish();
}

#[test]
fn audits() {
    let Some((inputs, plotted)) = sparse("sector_sparse::audits") else {
        return;
    };
    let challenges = section("sector.json", "challenges");
    let first_challenge = &challenges.root().items()[0];
    let first_slot = first_challenge.get("slot").u64() - first_challenge.get("challenge").u64();

    let section = section("sector_sparse.json", "audits");
    let reader = SectorReader::new(
        &plotted.encoded.sector,
        &plotted.sector,
        ReadMode::SingleReads,
        None,
    );
    let contents_map = reader.read_contents_map().unwrap();
    let mut proved = false;
    for case in section.root().items() {
        let number = case.get("challenge").u64();
        let proof_of_time: [u8; 16] = xof(&label(&format!("sector/pot/{number}")), 16)
            .try_into()
            .unwrap();
        let randomness = PotOutput::from(proof_of_time).derive_global_randomness();
        let global_challenge = Blake3Hash::from(case.get("global_challenge").array());
        assert_eq!(
            derive_global_challenge(&randomness, first_slot + number),
            global_challenge
        );

        let challenge = AuditChallenge {
            global_challenge,
            solution_range: u64::MAX,
        };
        let slot_challenge = plotted
            .sector
            .sector_id
            .derive_sector_slot_challenge(&global_challenge);
        assert_eq!(
            slot_challenge.s_bucket_audit_index().get(),
            case.get("s_bucket").u16()
        );
        let audit = SectorAudit::new(&plotted.sector, &global_challenge);
        assert_eq!(
            audit.map_or(0, |audit| audit.size / 32),
            case.get("audited_chunks").usize()
        );
        let result = audit_sector(
            &plotted.sector,
            &plotted.encoded.sector,
            &challenge,
            &mut Vec::new(),
        )
        .unwrap();
        let found: Vec<_> = result.iter().flat_map(|result| &result.candidates).collect();
        let expected = case.get("candidates_offset_distance").items();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let expected = expected.items();
            assert_eq!(found.chunk_offset, expected[0].u16());
            assert_eq!(found.solution_distance, expected[1].u64());
        }
        let provable = result.map_or_else(Vec::new, |result| provable_candidates(&result, &contents_map));
        assert_eq!(provable.len(), case.get("provable_candidates").usize());

        // Proving works from a record with unencoded chunks too.
        if let (Some(candidate), false) = (provable.first(), proved) {
            let kind = SparseProofOfSpace.kind();
            let input = read_proof_input(&reader, &contents_map, candidate, kind).unwrap();
            prove(
                &input.request,
                &inputs.kzg,
                &inputs.erasure_coding,
                &SparseProofOfSpace,
                &inputs.pool,
            )
            .unwrap();
            proved = true;
        }
    }
    section.finish();
    assert!(proved);
}

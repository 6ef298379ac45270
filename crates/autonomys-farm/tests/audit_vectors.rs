//! `audit.json` through files: every audit of the vectors with each read engine.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

// Made for the tests of `subspace-farmer-components`, which look at more of them.
#[allow(dead_code)]
#[path = "../../subspace-farmer-components/tests/vectors/pieces.rs"]
mod pieces;
#[allow(dead_code)]
#[path = "../../subspace-farmer-components/tests/vectors/plotted.rs"]
mod plotted;
#[allow(dead_code)]
#[path = "../../subspace-farmer-components/tests/vectors/proof_of_space.rs"]
mod proof_of_space;

use autonomys_farm::reads::{EngineSelection, FarmReader, ReadEngine};
use autonomys_test_support::{report_skipped, section};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot};

#[test]
fn every_audit_with_each_engine() {
    const TEST: &str = "every_audit_with_each_engine";
    let Some(all) = plotted::plotted(TEST) else {
        return;
    };
    // One plot of all sectors, none at a round offset.
    let mut file = tempfile::tempfile().unwrap();
    let mut starts = BTreeMap::new();
    let mut end = 13;
    file.write_all(&[0xff; 13]).unwrap();
    for plotted in &all.sectors {
        starts.insert(plotted.name.clone(), end);
        file.write_all(&plotted.encoded.sector).unwrap();
        end += plotted.encoded.sector.len() as u64;
    }
    let reader = FarmReader::new(EngineSelection::Auto, 2, "vectors").unwrap();
    for engine in ReadEngine::ALL {
        match engine.check() {
            Ok(()) => audits(all, &file, &starts, &reader, engine),
            Err(error) => report_skipped(TEST, &error.to_string()),
        }
    }
}

fn audits(
    all: &plotted::AllPlotted,
    file: &File,
    starts: &BTreeMap<String, u64>,
    reader: &FarmReader,
    engine: ReadEngine,
) {
    let challenges = section("sector.json", "challenges");
    let audits = section("audit.json", "audits");
    let mut candidates = 0;
    for case in audits.root().items() {
        let name = case.get("sector").str();
        let number = case.get("challenge").u64();
        let listed = challenges.root().items();
        let slot = listed
            .iter()
            .find(|slot| slot.get("challenge").u64() == number)
            .unwrap();
        let challenge = AuditChallenge {
            global_challenge: Blake3Hash::from(slot.get("global_challenge").array()),
            solution_range: case.get("solution_range").u64(),
        };
        let sectors = [SectorInPlot {
            sector: &all.sector(name).sector,
            start: starts[name],
        }];
        let (audit, used) = reader.audit_file(file, &sectors, &challenge, &|_| false, engine);
        assert_eq!(used, engine);
        assert!(audit.errors.is_empty(), "{:?}", audit.errors);
        let found: Vec<_> = audit
            .results
            .iter()
            .flat_map(|result| &result.candidates)
            .map(|candidate| (candidate.chunk_offset, candidate.solution_distance))
            .collect();
        let expected: Vec<_> = case
            .get("candidates")
            .items()
            .iter()
            .map(|expected| (expected.get("chunk_offset").u16(), expected.get("distance").u64()))
            .collect();
        assert_eq!(found, expected, "{}", case.path());
        candidates += found.len();
    }
    assert!(candidates > 0, "the vectors have winners");
}

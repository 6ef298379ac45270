//! Each read engine finds and reads the same.

use super::*;
use crate::reads::{EngineSelection, FarmReader, ReadEngine, RecordReading};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::auditing::{AuditChallenge, SectorInPlot, audit_plot};
use subspace_farmer_components::plotting::{SectorToEncode, encode_sector};
use subspace_proof_of_space::{FastTestProofOfSpace, ProofOfSpaceKind};

/// Wide enough that about one chunk in four wins.
const RANGE: u64 = u64::MAX / 4;
/// Sectors of each list that is audited: several threads share it.
const AUDITED: usize = 300;

fn engines() -> impl Iterator<Item = ReadEngine> {
    ReadEngine::ALL.into_iter().filter(|engine| match engine.check() {
        Ok(()) => true,
        Err(error) => {
            println!("SKIPPED with {engine}: {error}");
            false
        }
    })
}

fn challenge(number: u8) -> AuditChallenge {
    AuditChallenge {
        global_challenge: blake3_hash(&[number]),
        solution_range: RANGE,
    }
}

#[test]
fn engines_find_the_same_and_name_the_same_sectors() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = Arc::new(Farm::open(&options(directory.path(), 3)).expect("made"));
    for sector in 0..3 {
        write(&farm, sector, sector as u8);
    }
    // The last sector loses its end, as on a disk that lost blocks.
    let lost = farm.sector_start(2) + farm.sector_size() / 2;
    farm.plot_file().set_len(lost).expect("cut");
    let loaded = farm.plotted_sectors();
    let sectors: Vec<_> = loaded
        .iter()
        .cycle()
        .take(AUDITED)
        .map(|sector| SectorInPlot {
            sector,
            start: farm.sector_start(sector.sector_index),
        })
        .collect();
    let reader = FarmReader::new(EngineSelection::Auto, 4, "test").expect("threads");
    let (mut winners, mut errors) = (0, 0);
    for number in 0..20 {
        let challenge = challenge(number);
        let skip = |sector| sector == 1 && number % 2 == 0;
        let expected = audit_plot(farm.plot_file(), &sectors, &challenge, &skip, None);
        let unreadable = |audit: &subspace_farmer_components::auditing::PlotAudit| -> Vec<_> {
            audit
                .errors
                .iter()
                .map(|error| (error.sector_index, error.source.kind()))
                .collect()
        };
        for engine in engines() {
            let (audit, used) = reader.audit_file(farm.plot_file(), &sectors, &challenge, &skip, engine);
            assert_eq!(used, engine);
            assert_eq!(audit.results, expected.results, "{engine}, challenge {number}");
            assert_eq!(
                unreadable(&audit),
                unreadable(&expected),
                "{engine}, challenge {number}"
            );
        }
        winners += expected.results.len();
        errors += expected.errors.len();
    }
    assert!(winners > 0 && errors > 0, "{winners} winners, {errors} errors");

    let timed = reader.audit(&farm, &challenge(1));
    assert_eq!(timed.sectors, 3);
    assert_eq!(timed.audit.results, farm.audit(&challenge(1), None).results);
}

/// A farm with one sector that was really plotted.
fn plotted(directory: &Path) -> Arc<Farm> {
    let farm = Arc::new(Farm::open(&options(directory, 1)).expect("made"));
    let record = vec![1; NUM_CHUNKS * 32];
    let piece = Piece::from_parts(&record, &RecordCommitment::default(), &RecordWitness::default());
    let to_encode = SectorToEncode {
        public_key_hash: *farm.public_key_hash(),
        sector_index: 0,
        history_size: HistorySize::ONE,
        pieces: vec![piece.expect("parts of the right sizes")],
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("threads");
    let scale = NonZeroUsize::new(16).expect("is not zero");
    let encoded = encode_sector(
        to_encode,
        &FastTestProofOfSpace,
        &ErasureCoding::new(scale).expect("a supported scale"),
        &pool,
        NonZeroUsize::MIN,
        &|_| {},
        &AtomicBool::new(false),
    )
    .expect("the piece is valid");
    let mut writer = farm.write_sector(0).expect("free");
    writer.write(0, &encoded.sector).expect("written");
    writer.commit(encoded.metadata).expect("committed");
    farm
}

#[test]
fn a_record_is_the_same_however_it_is_read() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = plotted(directory.path());
    let winner = (0..100)
        .map(|number| AuditChallenge {
            solution_range: u64::MAX,
            ..challenge(number)
        })
        .flat_map(|challenge| farm.audit(&challenge, None).results)
        .find_map(|result| farm.provable(&result).expect("readable"))
        .expect("most s-buckets hold a chunk");
    let candidate = winner.candidates[0];
    let kind = ProofOfSpaceKind::FastTest;
    let expected = farm
        .read_proof_input(&winner, &candidate, kind, None)
        .expect("readable");
    let reader = FarmReader::new(EngineSelection::Auto, 4, "test").expect("threads");
    let ways = engines()
        .map(RecordReading::Chunks)
        .chain([RecordReading::WholeSector]);
    let ways: Vec<_> = ways.collect();
    for way in &ways {
        let read = reader
            .read_proof_input_with(&farm, &winner, &candidate, kind, *way)
            .expect("readable");
        assert!(read.input == expected, "{way}");
    }
    let estimates = reader.measure_records(&farm).expect("readable");
    assert_eq!(estimates.len(), ways.len());
    assert!(estimates.is_sorted_by_key(|(_, estimate)| *estimate));
    assert_eq!(reader.record_reading(), estimates[0].0);
    let read = reader
        .read_proof_input(&farm, &winner, &candidate, kind)
        .expect("readable");
    assert!(read.input == expected && read.reading == estimates[0].0);

    // A record that is not there any more is an error in every way, and no crash.
    farm.plot_file().set_len(farm.sector_size() / 2).expect("cut");
    for way in ways {
        let error = reader.read_proof_input_with(&farm, &winner, &candidate, kind, way);
        let error = error.expect_err("cut off").to_string();
        assert!(error.contains("sector 0"), "{way}: {error}");
    }
}

#[test]
fn a_farm_is_looked_at_while_it_is_farmed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let farm = plotted(directory.path());
    let hash = || {
        [
            "plot.bin",
            "metadata.bin",
            "identity.bin",
            "single_disk_farm.json",
        ]
        .map(|name| blake3_hash(&std::fs::read(directory.path().join(name)).expect("there")))
    };
    let before = hash();
    let seen = Farm::inspect(directory.path()).expect("it is there");
    assert_eq!(seen.public_key(), farm.public_key());
    assert_eq!(seen.plotted_sectors(), farm.plotted_sectors());
    assert!(seen.sector_is_intact(0).expect("readable"));
    drop(seen);
    assert_eq!(hash(), before);
    assert!(matches!(
        Farm::open(&options(directory.path(), 1)),
        Err(FarmError::InUse { .. })
    ));
    let nothing = directory.path().join("nothing");
    std::fs::create_dir(&nothing).expect("made");
    let error = Farm::inspect(&nothing).expect_err("no farm").to_string();
    assert!(error.contains("there is no farm"), "{error}");
    assert_eq!(
        std::fs::read_dir(&nothing).expect("there").count(),
        0,
        "nothing is made"
    );
}

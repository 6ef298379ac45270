//! Peak memory of single operations, each in a process of its own: what it needs on top of its inputs and of what exists once
//! a process (fixed-base tables).
//!
//! Prints a table, or one JSON line with `--json`.

#![allow(missing_docs)]

mod support;

use autonomys_test_support::bench::pool;
use autonomys_test_support::xof;
use rayon::ThreadPool;
use std::fs;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use subspace_archiving::archive_segment;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::pos::PosSeed;
use subspace_core_primitives::segments::{
    ArchivedBlockProgress, LastArchivedBlock, RECORDED_HISTORY_SEGMENT_SIZE, SegmentIndex,
};
use subspace_farmer_components::auditing::audit_sector;
use subspace_farmer_components::plotting::encode_record;
use subspace_farmer_components::proving::{provable_candidates, prove, read_proof_input};
use subspace_farmer_components::reading::{ReadMode, SectorReader};
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind};
use support::{ERASURE_CODING, FullSectorFiles, KZG, PROOF_OF_SPACE, challenges};

/// Says to a child which operation it is for.
const OPERATION_VARIABLE: &str = "BENCH_MEMORY_OPERATION";
/// Makes its inputs, starts the meter, operates.
type Operation = fn(Meter);
/// The operations: name in JSON, description, code.
const OPERATIONS: [(&str, &str, Operation); 5] = [
    ("table", "one proof-of-space table, one thread", table),
    (
        "encode_record",
        "encode one record, with its result of 1 MiB",
        encode,
    ),
    (
        "prove",
        "prove one solution on two threads, with its input of 1 MiB",
        proving,
    ),
    (
        "read_piece",
        "read one piece on two threads, with its result of 1 MiB",
        reading,
    ),
    (
        "archive",
        "archive one segment on two threads, with its result of 256 MiB",
        archive,
    ),
];

/// Started when the inputs are there: what is used from then on counts, and is printed at the end.
struct Meter {
    before: Option<u64>,
}

impl Meter {
    fn start(&mut self) {
        // Writing 5 sets the peak back to the present use.
        fs::write("/proc/self/clear_refs", "5").expect("the kernel keeps peaks");
        self.before = Some(status("VmRSS:"));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            println!("{}", status("VmHWM:").saturating_sub(before));
        }
    }
}

/// A line of `/proc/self/status` that counts KiB, in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .expect("the kernel counts this")
        * 1024
}

fn table(mut meter: Meter) {
    meter.start();
    black_box(PROOF_OF_SPACE.create_table(&PosSeed::from([1; 32])));
}

fn encode(mut meter: Meter) {
    let piece = support::piece(0);
    meter.start();
    let seed = PosSeed::from([1; 32]);
    let encoded = encode_record(piece.record_chunks(), &seed, &*PROOF_OF_SPACE, &ERASURE_CODING);
    black_box(encoded.expect("the piece is valid"));
}

fn proving(mut meter: Meter) {
    let files = FullSectorFiles::get();
    let (sector, file, pool) = (files.loaded(), files.file(), pool(2));
    let _ = &*KZG;
    let reader = SectorReader::new(&file, &sector, ReadMode::SingleReads, Some(&pool));
    let contents_map = reader.read_contents_map().expect("the sector is intact");
    let candidate = challenges(&sector, u64::MAX)
        .find_map(|challenge| {
            let audit = audit_sector(&sector, &file, &challenge, &mut Vec::new()).expect("readable")?;
            provable_candidates(&audit, &contents_map).first().copied()
        })
        .expect("most s-buckets have encoded chunks");
    meter.start();
    let input = read_proof_input(&reader, &contents_map, &candidate, ProofOfSpaceKind::Chia)
        .expect("the sector is intact");
    let proof = prove(&input.request, &KZG, &ERASURE_CODING, &*PROOF_OF_SPACE, &pool);
    black_box(proof.expect("the sector is intact"));
}

fn reading(mut meter: Meter) {
    let files = FullSectorFiles::get();
    let (sector, file, pool) = (files.loaded(), files.file(), pool(2));
    let reader = SectorReader::new(&file, &sector, ReadMode::SingleReads, Some(&pool));
    let contents_map = reader.read_contents_map().expect("the sector is intact");
    meter.start();
    let piece = reader.read_piece_with(
        &contents_map,
        PieceOffset::ZERO,
        &*PROOF_OF_SPACE,
        &ERASURE_CODING,
    );
    black_box(piece.expect("the sector is intact"));
}

fn archive(mut meter: Meter) {
    let raw_segment = xof("bench segment", RECORDED_HISTORY_SEGMENT_SIZE);
    let last = LastArchivedBlock {
        number: 0,
        archived_progress: ArchivedBlockProgress::Complete,
    };
    let _ = &*KZG;
    let pool: ThreadPool = pool(2);
    meter.start();
    let archived = archive_segment(
        &raw_segment,
        SegmentIndex::ZERO,
        Blake3Hash::default(),
        last,
        &KZG,
        &ERASURE_CODING,
        &pool,
    );
    black_box(archived.expect("the segment has the right size"));
}

/// Peak of an operation in bytes, from a child process.
fn measure(name: &str) -> u64 {
    let output = Command::new(std::env::current_exe().expect("a running program has a file"))
        .env(OPERATION_VARIABLE, name)
        .output()
        .expect("this program can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| {
        panic!(
            "{name}: {} {text} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn main() -> ExitCode {
    if let Ok(wanted) = std::env::var(OPERATION_VARIABLE) {
        let Some((_, _, operate)) = OPERATIONS.iter().find(|(name, _, _)| *name == wanted) else {
            eprintln!("{OPERATION_VARIABLE} names no operation: {wanted}");
            return ExitCode::FAILURE;
        };
        operate(Meter { before: None });
        return ExitCode::SUCCESS;
    }
    // Not in the first child: its memory would count.
    FullSectorFiles::get();
    let peaks = OPERATIONS.map(|(name, description, _)| (name, description, measure(name)));
    if std::env::args().any(|argument| argument == "--json") {
        let fields = peaks.map(|(name, _, bytes)| format!("\"{name}\":{bytes}"));
        println!("{{{}}}", fields.join(","));
    } else {
        for (_, description, bytes) in peaks {
            println!("{:8.1} MB  {description}", bytes as f64 / 1e6);
        }
    }
    ExitCode::SUCCESS
}

//! Golden-vector reader that knows which fields no test has looked at, and paths of test inputs; an allocator that counts
//! ([`allocations`]); what benches share (`bench`, with the feature of that name).
//!
//! A vector file is JSON. [`section`] opens one top-level key of one file; every leaf that a test reads through [`Node`] is
//! remembered, and [`Section::finish`] fails with the paths of the leaves nobody read, so a new field in a vector file cannot
//! go unnoticed. The workspace test `vectors_are_covered` looks for these `section("file.json", "key")` calls in the sources
//! and fails when a file or key has none.
//!
//! * `AUTONOMYS_VECTORS`: directory with the vectors, default `tests/vectors` of this repository.
//! * `AUTONOMYS_VECTORS_PREFIX`: prefix of every label, default `autonomys-vectors`.
//! * `AUTONOMYS_KZG_PARAMS`: file with the mainnet reference string; default `../shared/vectors/eth-public-parameters.bin`
//!   beside the repository, when that exists.

pub mod allocations;
#[cfg(feature = "bench")]
pub mod bench;
mod coverage;
mod labels;

pub use coverage::{Node, Section, binary, section, whole_file};
pub use labels::{label, scalars, xof};

use std::path::{Path, PathBuf};

/// Root of the repository, from the place of this crate.
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate stands two levels below the repository root")
}

/// Directory of the vectors: `AUTONOMYS_VECTORS` or `tests/vectors`.
pub fn vectors_directory() -> PathBuf {
    std::env::var_os("AUTONOMYS_VECTORS")
        .map_or_else(|| repository_root().join("tests/vectors"), PathBuf::from)
}

/// The mainnet KZG parameters (1 579 104 bytes), or `None` when this machine has none; the caller then reports the test
/// as skipped with [`report_skipped`].
pub fn mainnet_kzg_params() -> Option<Vec<u8>> {
    let path = std::env::var_os("AUTONOMYS_KZG_PARAMS").map_or_else(
        || repository_root().join("../shared/vectors/eth-public-parameters.bin"),
        PathBuf::from,
    );
    std::fs::read(path).ok()
}

/// Says by name that a test could not run here and why.
pub fn report_skipped(test_name: &str, reason: &str) {
    // Straight to the descriptor: the test harness hides what passing tests print through `eprintln!`.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED {test_name}: {reason}");
}

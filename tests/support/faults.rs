//! Faults of disks in a process under test: a library preloaded into it makes file operations fail by rules that the test changes
//! meanwhile (`crates/autonomys-test-faults`).

use super::cluster::RoleStart;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The rules of one process.
pub(crate) struct Faults {
    rules: PathBuf,
}

impl Faults {
    /// No faults yet; the rules are kept in `directory`.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let faults = Self {
            rules: directory.join(format!("{name}.faults")),
        };
        faults.lift();
        faults
    }

    /// From now on these rules hold and no others; each as in `write /path ENOSPC`.
    pub(crate) fn set<const N: usize>(&self, rules: [String; N]) {
        let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        let next = self.rules.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.rules).unwrap();
    }

    /// From now on everything works.
    pub(crate) fn lift(&self) {
        self.set([]);
    }

    /// The role with the faults, before it starts.
    pub(crate) fn of<'a>(&self, role: RoleStart<'a>) -> RoleStart<'a> {
        role.variable("LD_PRELOAD", LIBRARY.as_os_str())
            .variable("AUTONOMYS_TEST_FAULTS", self.rules.as_os_str())
    }
}

/// Cargo builds nothing for a test that is not linked into it, so the library is built here; mostly it is there already.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let build = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--package",
            "autonomys-test-faults",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "the faults cannot be built: {said}");
    let library = target.join("debug/libautonomys_test_faults.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
});

//! Which operation fails, and how.
//!
//! A rule is `OPERATION PATH ERROR [from=OFFSET] [to=OFFSET]`: operations on PATH and below it fail with ERROR (its name, as in
//! `EIO`), reads and writes only where they touch bytes from `from` up to, not including, `to`. OPERATION is one of
//! `open`, `read`, `write`, `sync`, `allocate`, `rename`, `remove`; `change` stands for everything that a disk mounted read-only
//! refuses, `*` for everything. Paths have no blanks. The first rule that fits decides; a line that is no rule ends the process,
//! since a test with a misspelt rule would show nothing.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Variable of the environment with the path of the rules.
const RULES_VARIABLE: &CStr = c"AUTONOMYS_TEST_FAULTS";

/// What a process wants of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Opening without writing or making.
    Open,
    /// Opening to write, or making.
    OpenToWrite,
    Read,
    Write,
    Sync,
    Allocate,
    Rename,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    operations: &'static [Operation],
    path: PathBuf,
    error: i32,
    from: u64,
    to: u64,
}

/// The rules as they were read last.
struct Loaded {
    /// Device, inode, size and modification time of the file.
    version: Option<(u64, u64, i64, i64, i64)>,
    rules: Vec<Rule>,
}

static LOADED: Mutex<Loaded> = Mutex::new(Loaded {
    version: None,
    rules: Vec::new(),
});

const EVERYTHING: &[Operation] = &[
    Operation::Open,
    Operation::OpenToWrite,
    Operation::Read,
    Operation::Write,
    Operation::Sync,
    Operation::Allocate,
    Operation::Rename,
    Operation::Remove,
];
/// What a file system mounted read-only refuses; it syncs nothing and says so to nobody.
const CHANGES: &[Operation] = &[
    Operation::OpenToWrite,
    Operation::Write,
    Operation::Allocate,
    Operation::Rename,
    Operation::Remove,
];

/// The error number with which an operation on `path` fails; `None` when it goes through.
pub(crate) fn fault(operation: Operation, path: &Path, offset: u64, length: u64) -> Option<i32> {
    let mut loaded = LOADED.lock().ok()?;
    loaded.refresh();
    let end = offset.saturating_add(length.max(1));
    let fits = |rule: &&Rule| {
        rule.operations.contains(&operation)
            && path.starts_with(&rule.path)
            && offset < rule.to
            && end > rule.from
    };
    loaded.rules.iter().find(fits).map(|rule| rule.error)
}

/// As [`fault`], for an open file.
pub(crate) fn fault_of_file(operation: Operation, file: RawFd, offset: u64, length: u64) -> Option<i32> {
    if !any() {
        return None;
    }
    let path = std::fs::read_link(format!("/proc/self/fd/{file}")).ok()?;
    fault(operation, &path, offset, length)
}

/// Whether there are rules at all, so that most calls cost one look at the file.
pub(crate) fn any() -> bool {
    LOADED.lock().is_ok_and(|mut loaded| {
        loaded.refresh();
        !loaded.rules.is_empty()
    })
}

impl Loaded {
    fn refresh(&mut self) {
        // SAFETY: the name is a string that ends with zero; nobody in a test changes the environment of a running process.
        let path = unsafe { libc::getenv(RULES_VARIABLE.as_ptr()) };
        if path.is_null() {
            return;
        }
        // SAFETY: `getenv` gave a string that ends with zero and lives as long as the environment is not changed.
        let path = unsafe { CStr::from_ptr(path) };
        // SAFETY: `stat` is plain numbers, for which zeroes are a valid value.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with zero, and `stat` is ours to write.
        let found = unsafe { libc::stat(path.as_ptr(), &raw mut stat) } == 0;
        let version = found.then_some((
            stat.st_dev,
            stat.st_ino,
            stat.st_size,
            stat.st_mtime,
            stat.st_mtime_nsec,
        ));
        if version == self.version {
            return;
        }
        let text = match version {
            Some(_) => std::fs::read_to_string(path.to_string_lossy().as_ref()).unwrap_or_default(),
            None => String::new(),
        };
        match text.lines().map(parse).collect::<Result<Vec<_>, _>>() {
            Ok(rules) => {
                self.rules = rules;
                self.version = version;
            }
            Err(line) => {
                eprintln!("faults: no rule: {line:?}");
                std::process::abort();
            }
        }
    }
}

fn parse(line: &str) -> Result<Rule, String> {
    let bad = || line.to_string();
    let mut words = line.split_whitespace();
    let operations = match words.next().ok_or_else(bad)? {
        "open" => &[Operation::Open, Operation::OpenToWrite],
        "read" => &[Operation::Read][..],
        "write" => &[Operation::Write],
        "sync" => &[Operation::Sync],
        "allocate" => &[Operation::Allocate],
        "rename" => &[Operation::Rename],
        "remove" => &[Operation::Remove],
        "change" => CHANGES,
        "*" => EVERYTHING,
        _ => return Err(bad()),
    };
    let path = PathBuf::from(words.next().ok_or_else(bad)?);
    let error = match words.next().ok_or_else(bad)? {
        "EIO" => libc::EIO,
        "ENOSPC" => libc::ENOSPC,
        "EDQUOT" => libc::EDQUOT,
        "EROFS" => libc::EROFS,
        "ENXIO" => libc::ENXIO,
        _ => return Err(bad()),
    };
    let mut rule = Rule {
        operations,
        path,
        error,
        from: 0,
        to: u64::MAX,
    };
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(bad)?;
        let value = value.parse().map_err(|_| bad())?;
        match name {
            "from" => rule.from = value,
            "to" => rule.to = value,
            _ => return Err(bad()),
        }
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_misspelt_ones_refused() {
        let rule = parse("read /mnt/a EIO from=10 to=20").unwrap();
        assert_eq!((rule.error, rule.from, rule.to), (libc::EIO, 10, 20));
        assert_eq!(rule.operations, [Operation::Read]);
        assert_eq!(parse("* /mnt/a EROFS").unwrap().operations, EVERYTHING);
        for line in [
            "",
            "read /mnt/a",
            "reed /mnt/a EIO",
            "read /mnt/a EWHAT",
            "read /mnt/a EIO until=3",
        ] {
            assert_eq!(parse(line), Err(line.to_string()));
        }
    }
}

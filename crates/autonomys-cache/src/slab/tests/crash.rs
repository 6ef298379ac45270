//! A real process that writes and is killed with SIGKILL, again and again, in one directory.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// Tells the child, which is this test binary once more, where to write.
const DIRECTORY: &str = "AUTONOMYS_CACHE_TEST_DIRECTORY";
/// And the number of its first write.
const FIRST: &str = "AUTONOMYS_CACHE_TEST_FIRST";

const ITEM: u32 = 64 * 1024;
const SLOTS: u64 = 48;

fn store(directory: &Path) -> SlabStore {
    let options = SlabOptions {
        slot_size: ITEM,
        ..OPTIONS
    };
    let path = SlabPath {
        directory: directory.to_owned(),
        size: Some(Geometry::new(ITEM).file_length(SLOTS)),
    };
    SlabStore::open(&[path], options).unwrap()
}

/// Every third write replaces what the one before it stored; the others come around slowly enough to be evicted in between.
fn key_of(write: u64) -> CacheKey {
    key((write - u64::from(write % 3 == 2)) * 11 % 70)
}

fn bytes_of(write: u64) -> Vec<u8> {
    let mut bytes = vec![0; ITEM as usize - (write % 1000) as usize];
    let mut reader = blake3::Hasher::new().update(&write.to_le_bytes()).finalize_xof();
    reader.fill(&mut bytes);
    bytes
}

/// The child's side; does nothing when it runs as a test of its own.
#[test]
fn child_writes() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = store(Path::new(&directory));
    // One write a line, so that it is never further ahead than it was told.
    for (write, _) in (first..).zip(std::io::stdin().lines()) {
        // The epoch says which write an item is of.
        store.put(key_of(write), write, &bytes_of(write)).unwrap();
        let mut output = std::io::stdout();
        // Ends the child when nobody reads any longer.
        writeln!(output, "stored {write}").unwrap();
        output.flush().unwrap();
    }
}

#[test]
fn a_thousand_writes_with_kills_in_between_leave_only_good_items() {
    let directory = tempfile::tempdir().unwrap();
    let (mut next, mut last_of) = (0, std::collections::BTreeMap::new());
    for count in [40, 151, 1, 262, 90, 216, 140, 100] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "slab::tests::crash::child_writes",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIRECTORY, directory.path())
            .env(FIRST, next.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tell = child.stdin.take().unwrap();
        // One more than is waited for: it is under way when the child is killed.
        tell.write_all("\n".repeat(count + 1).as_bytes()).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stored = lines
            .map(Result::unwrap)
            .filter_map(|line| Some(line.rsplit_once("stored ")?.1.parse::<u64>().unwrap()))
            .take(count);
        let mut last = 0;
        for write in stored {
            assert_eq!(write, next);
            last_of.insert(key_of(write), write);
            (last, next) = (write, write + 1);
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));

        let store = store(directory.path());
        let mut good = 0;
        for (key, epoch) in store.keys() {
            let Lookup::Hit(item) = store.verify(&key) else {
                // Written in part when the child died: noticed, never served.
                assert!(epoch >= next, "{key} of write {epoch} is damaged");
                continue;
            };
            good += 1;
            assert_eq!(key, key_of(epoch));
            assert!(
                item.bytes[..] == bytes_of(epoch)[..],
                "{key} has bytes of another write"
            );
            assert!(
                epoch >= last_of.get(&key).copied().unwrap_or(0),
                "{key} went back to write {epoch}"
            );
        }
        assert!(
            matches!(store.get(&key_of(last)), Lookup::Hit(_)),
            "write {last} was forgotten"
        );
        // One write was under way; nothing else is missing once the store is full.
        let items = store.stats().items;
        assert!(
            good + 1 >= items && (next < 150 || good + 2 >= SLOTS),
            "{good} good items of {items} after {next} writes"
        );
        // What the dead child had begun may stand in the store; the next one goes on behind it.
        next = store
            .keys()
            .iter()
            .map(|(_, epoch)| epoch + 1)
            .max()
            .unwrap()
            .max(next);
    }
    assert!(next >= 1000);
}

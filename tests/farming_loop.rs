//! `dev` farms: one command starts every role as a process of its own, they win blocks, and nothing stays behind, however it ends.

use crate::support::{Process, Turn};
use autonomys_cluster::test_util::{default_binary, installed_binary};
use autonomys_dev_node::chain::digest::BlockDigest;
use autonomys_dev_node::store::block_log::BlockLog;
use autonomys_farm::identity::Identity;
use autonomys_farm::info::FarmInfo;
use autonomys_test_support::report_skipped;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use tempfile::TempDir;

/// The oldest NATS version that operators run, as `scripts/install-tools` pins it.
const OLDEST_NATS: &str = "2.10.25";
/// Rewarded blocks to farm.
const REWARDS: u64 = 2;
/// First segment archived, sectors plotted with the real proof of space and two blocks won, on a loaded machine of two cores.
const FARMED_WITHIN: Duration = Duration::from_secs(300);
/// All processes of a cluster are up within this; the chain may have to archive its first segment.
const STARTED_WITHIN: Duration = Duration::from_secs(240);
/// The kernel kills the children of a dead parent at once; they only have to be reaped.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(20);
/// What `dev` promises to run, and has to name in its summary.
const PROCESSES: [&str; 8] = [
    "nats-server",
    "dev-node",
    "controller",
    "sharded-cache",
    "full-piece-sharded-cache",
    "proof-server",
    "plot-server",
    "plot-client",
];
/// Variable of the environment that every descendant of a test's `dev` inherits, so that none can be overlooked.
const MARK: &str = "AUTONOMYS_TEST_MARK";

/// A `dev` in a directory of its own.
struct Dev {
    process: Process,
    directory: TempDir,
}

impl Dev {
    fn start(nats_server: &Path, arguments: &[&str]) -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = tempfile::Builder::new()
            .prefix("autonomys-dev-")
            .tempdir_in(parent)
            .unwrap();
        let mut words: Vec<OsString> = vec!["dev".into(), "--base-path".into(), directory.path().into()];
        words.extend(arguments.iter().map(OsString::from));
        let variables = vec![
            ("AUTONOMYS_NATS_SERVER".to_string(), nats_server.into()),
            (
                "XDG_CACHE_HOME".to_string(),
                crate::support::chain::cache_home().into(),
            ),
            (MARK.to_string(), directory.path().into()),
        ];
        let process = Process::start(directory.path(), "dev", words, variables);
        Self { process, directory }
    }

    /// Command lines of all live processes that descend from this `dev`, itself included.
    fn family(&self) -> Vec<(u32, String)> {
        let mut mark = OsString::from(format!("{MARK}="));
        mark.push(self.directory.path());
        let marked = |process: &Path| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_encoded_bytes())
        };
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                // One that is dead and not yet waited for has no environment any more.
                marked(&entry.path()).then(|| {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    (id, String::from_utf8_lossy(&line).replace('\0', " "))
                })
            })
            .collect()
    }

    /// Which of [`PROCESSES`] run.
    fn running(&self) -> BTreeSet<&'static str> {
        let family = self.family();
        let is_there = |name: &&str| {
            let word = format!(" {name} ");
            family.iter().any(|(_, line)| {
                // NATS is a program of its own, everything else a word on our command line.
                line.contains(&word) || (*name == "nats-server" && line.contains("nats-server -c "))
            })
        };
        PROCESSES.into_iter().filter(is_there).collect()
    }

    fn log(&self) -> String {
        let logs = fs::read_dir(self.directory.path().join("logs"));
        let tails: Vec<_> = logs
            .into_iter()
            .flatten()
            .flatten()
            .map(|log| crate::support::process::tail(&log.path()))
            .collect();
        format!("{}{}", self.process.tail(), tails.concat())
    }

    /// Waits for the end of everything that `dev` has started.
    fn wait_until_gone(&self) {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let family = self.family();
            if family.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {family:?}");
            std::thread::sleep(POLL);
        }
    }

    fn wait_until_running(&self, names: &[&str]) {
        let deadline = Instant::now() + STARTED_WITHIN;
        while !names.iter().all(|name| self.running().contains(name)) {
            assert!(
                self.process.exited().is_none() && Instant::now() < deadline,
                "{names:?} do not all run\n{}",
                self.log()
            );
            std::thread::sleep(POLL);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The line that `--json` prints, after a successful end.
    fn summary(&self) -> Value {
        let status = self.process.wait_exit(FARMED_WITHIN);
        assert!(status.success(), "{status}\n{}", self.log());
        let output = self.process.output();
        let lines: Vec<_> = output.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(lines.len(), 1, "one summary: {output}");
        serde_json::from_str(lines[0]).unwrap()
    }

    /// The farm's public key, from both files that have it.
    fn public_key(&self) -> PublicKey {
        let farm = self.path("farm");
        let key = FarmInfo::load(&farm).unwrap().unwrap().public_key;
        assert_eq!(key, Identity::load(&farm).unwrap().unwrap().public_key());
        key
    }

    fn check_summary(&self, summary: &Value) {
        assert!(summary["rewards"].as_u64().unwrap() >= REWARDS, "{summary}");
        let processes = summary["processes"].as_object().unwrap();
        let mut ids = BTreeSet::new();
        for name in PROCESSES {
            let of_role = processes[name].as_array().unwrap();
            assert!(!of_role.is_empty(), "{name}: {summary}");
            ids.extend(of_role.iter().map(|id| id.as_u64().unwrap()));
        }
        assert_eq!(processes.len(), PROCESSES.len(), "{summary}");
        assert!(ids.len() >= PROCESSES.len(), "a process for each: {summary}");

        let key = self.public_key();
        assert_eq!(summary["public_key"], key.to_string());
        let rewarded: Vec<u32> = serde_json::from_value(summary["rewarded_blocks"].clone()).unwrap();
        assert_eq!(rewarded.len() as u64, summary["rewards"].as_u64().unwrap());
        // What the chain has on its disk, now that its process is gone.
        let log = BlockLog::open(&self.path("node/blocks.log"), |_, _| Ok(())).unwrap();
        let mut accounts = BTreeSet::new();
        for number in rewarded {
            let header = log.header(number).unwrap().unwrap();
            let solution = BlockDigest::from_items(&header.digest_items)
                .unwrap()
                .pre_digest
                .solution;
            assert_eq!(solution.public_key, key, "block {number}");
            accounts.insert(*solution.reward_address);
        }
        assert_eq!(accounts.len(), 1, "one account gets all rewards");
    }
}

fn nats_server() -> PathBuf {
    default_binary().expect("no nats-server found: run scripts/install-tools")
}

/// The real proof of space, on the current NATS.
#[tokio::test]
async fn farms_with_the_real_proof_of_space() {
    let _turn = Turn::wait().await;
    let dev = Dev::start(
        &nats_server(),
        &[
            "--rewards",
            "2",
            "--json",
            "--pieces-in-sector",
            "4",
            "--sectors",
            "2",
        ],
    );
    let summary = dev.summary();
    dev.wait_until_gone();
    dev.check_summary(&summary);
}

/// The NATS version that operators have.
#[tokio::test]
async fn farms_on_the_oldest_nats() {
    let Some(nats_server) = installed_binary(OLDEST_NATS) else {
        report_skipped(
            "farms_on_the_oldest_nats",
            &format!("nats-server {OLDEST_NATS} is not installed; run scripts/install-tools"),
        );
        return;
    };
    let _turn = Turn::wait().await;
    let dev = Dev::start(
        &nats_server,
        &[
            "--rewards",
            "2",
            "--json",
            "--pieces-in-sector",
            "4",
            "--sectors",
            "2",
            "--proof-of-space",
            "fast-test",
            "--slot-duration-ms",
            "500",
        ],
    );
    let summary = dev.summary();
    dev.wait_until_gone();
    dev.check_summary(&summary);
    let version = fs::read_to_string(dev.path("logs/nats-server.log")).unwrap();
    assert!(version.contains(OLDEST_NATS), "{version}");
}

/// `kill -9` of `dev` at two points of its life takes everything with it, and the next start in the same directory works.
#[tokio::test]
async fn nothing_stays_behind_a_killed_dev() {
    let _turn = Turn::wait().await;
    let arguments = ["--proof-of-space", "fast-test", "--slot-duration-ms", "250"];
    let dev = Dev::start(&nats_server(), &arguments);
    for names in [&["dev-node"][..], &PROCESSES] {
        dev.wait_until_running(names);
        dev.process.kill();
        dev.wait_until_gone();
        dev.process.restart();
    }
    // And the ordinary way: SIGTERM drains everything.
    dev.wait_until_running(&PROCESSES);
    dev.process.terminate();
    let status = dev.process.wait_exit(STARTED_WITHIN);
    assert!(status.success(), "{status}\n{}", dev.log());
    dev.wait_until_gone();
}

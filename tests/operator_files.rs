//! The files that operators copy: NATS configurations pass nats-server's own check, supervisor files the real Supervisor's parser.
//! That the command lines in them are ours is a unit test of the command line.

use autonomys_cluster::MIN_MAX_PAYLOAD;
use autonomys_cluster::test_util::installed_binary;
use autonomys_test_support::{report_skipped, repository_root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The oldest minor version that is supported, and the current one, as `scripts/install-tools` pins them.
const NATS_VERSIONS: [&str; 2] = ["2.10.25", "2.12.8"];
/// Where the shipped TLS file expects certificates.
const SHIPPED_CERTIFICATES: &str = "/etc/nats/tls/";

fn check(server: &Path, configuration: &Path) -> Output {
    Command::new(server)
        .arg("-t")
        .arg("-c")
        .arg(configuration)
        .output()
        .unwrap()
}

fn accepted(server: &Path, configuration: &Path) {
    let output = check(server, configuration);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", configuration.display());
}

/// Configurations that are started as they are; the others are included by these.
fn main_configurations(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .filter(|path| fs::read_to_string(path).unwrap().contains("jetstream"))
        .collect();
    found.sort();
    assert_eq!(found.len(), 4, "one node, and three of three: {found:?}");
    found
}

#[test]
fn nats_configurations_pass_the_servers_check() {
    let shipped = repository_root().join("nats");
    let certificates = repository_root().join("tests/fixtures/tls");
    let mut checked = 0;
    for version in NATS_VERSIONS {
        let Some(server) = installed_binary(version) else {
            report_skipped(
                "nats_configurations_pass_the_servers_check",
                &format!("nats-server {version} is not installed; run scripts/install-tools"),
            );
            continue;
        };
        for configuration in main_configurations(&shipped) {
            accepted(&server, &configuration);
        }
        // Every combination of the two includes, switched on as the comment says.
        for includes in [&["authorization"][..], &["tls"], &["authorization", "tls"]] {
            let directory = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(&shipped).unwrap() {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                let text = text.replace(SHIPPED_CERTIFICATES, &format!("{}/", certificates.display()));
                fs::write(directory.path().join(entry.file_name()), text).unwrap();
            }
            for configuration in main_configurations(directory.path()) {
                let mut text = fs::read_to_string(&configuration).unwrap();
                for include in includes {
                    let line = format!("# include ./{include}.conf");
                    assert!(text.contains(&line), "{}", configuration.display());
                    text = text.replace(&line, &line[2..]);
                }
                fs::write(&configuration, text).unwrap();
                accepted(&server, &configuration);
            }
            // The includes are really read: without them the same file is refused.
            fs::remove_file(directory.path().join(format!("{}.conf", includes[0]))).unwrap();
            for configuration in main_configurations(directory.path()) {
                assert!(!check(&server, &configuration).status.success());
            }
        }
        checked += 1;
    }
    eprintln!("checked with {checked} versions of nats-server");
}

#[test]
fn nats_configurations_say_what_the_cluster_needs() {
    for configuration in main_configurations(&repository_root().join("nats")) {
        let text = fs::read_to_string(&configuration).unwrap();
        let megabytes = text
            .lines()
            .find_map(|line| line.strip_prefix("max_payload: ")?.strip_suffix("MB"))
            .unwrap_or_else(|| panic!("no max_payload in {}", configuration.display()));
        assert!(megabytes.parse::<usize>().unwrap() * 1024 * 1024 >= MIN_MAX_PAYLOAD);
        assert!(text.contains("store_dir: "), "{}", configuration.display());
    }
}

/// Prints what Supervisor understands of the configuration in its first argument, as JSON.
const SUPERVISOR_PARSER: &str = r"
import json, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(args=['-n', '-c', sys.argv[1]])
programs = []
for group in options.process_group_configs:
    for process in group.process_configs:
        programs.append({
            'group': group.name,
            'name': process.name,
            'command': process.command,
            'environment': dict(process.environment or {}),
            'autorestart': process.autorestart is not False,
            'stopsignal': int(process.stopsignal),
            'stopwaitsecs': process.stopwaitsecs,
            'stopasgroup': process.stopasgroup,
            'killasgroup': process.killasgroup,
            'stdout_logfile': process.stdout_logfile,
            'stdout_logfile_maxbytes': process.stdout_logfile_maxbytes,
            'redirect_stderr': process.redirect_stderr,
        })
print(json.dumps(programs))
";

/// The programs of one machine kind as Supervisor itself reads them; `None` without Supervisor.
fn programs(machine: &Path) -> Option<Vec<Value>> {
    let module = repository_root().join(".tools/supervisor");
    if !module.join("supervisor/options.py").exists() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("supervisord.conf");
    let text = format!("[supervisord]\n[include]\nfiles = {}/*.conf\n", machine.display());
    fs::write(&main, text).unwrap();
    let output = Command::new("python3")
        .args(["-c", SUPERVISOR_PARSER])
        .arg(&main)
        .env("PYTHONPATH", &module)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", machine.display());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn supervisor_files_parse_and_leave_time_to_drain() {
    const SIGTERM: i64 = 15;
    let shipped = repository_root().join("supervisor");
    let expected: [(&str, &[&str]); 3] = [
        (
            "node-machine",
            &[
                "nats-server",
                "autonomys-node",
                "autonomys-controller",
                "autonomys-proof-server",
            ],
        ),
        (
            "plot-machine",
            &[
                "autonomys-sharded-cache",
                "autonomys-full-piece",
                "autonomys-plot-server-0",
                "autonomys-plot-server-1",
                "autonomys-plot-server-2",
                "autonomys-plot-server-3",
            ],
        ),
        ("storage-machine", &["autonomys-plot-client"]),
    ];
    for (machine, names) in expected {
        let Some(programs) = programs(&shipped.join(machine)) else {
            report_skipped(
                "supervisor_files_parse_and_leave_time_to_drain",
                "Supervisor is not installed; run scripts/install-tools",
            );
            return;
        };
        let found: BTreeSet<_> = programs
            .iter()
            .map(|program| program["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names.iter().copied().collect(), "{machine}");
        let mut unique = [BTreeSet::new(), BTreeSet::new()];
        for program in &programs {
            let name = program["name"].as_str().unwrap();
            assert_eq!(program["stopsignal"], SIGTERM, "{name}");
            assert!(program["stopwaitsecs"].as_u64().unwrap() >= 30, "{name}");
            for switch in ["autorestart", "stopasgroup", "killasgroup", "redirect_stderr"] {
                assert_eq!(program[switch], true, "{name}: {switch}");
            }
            assert!(
                program["stdout_logfile_maxbytes"].as_u64().unwrap() > 0,
                "{name}: logs must not grow for ever"
            );
            for (seen, key) in unique.iter_mut().zip(["command", "stdout_logfile"]) {
                assert!(
                    seen.insert(program[key].as_str().unwrap()),
                    "{name} shares its {key} with another"
                );
            }
            if let Some(number) = name.strip_prefix("autonomys-plot-server-") {
                assert_eq!(program["group"], "autonomys-plot-server");
                assert_eq!(program["environment"]["CUDA_VISIBLE_DEVICES"], number);
            }
        }
    }
}

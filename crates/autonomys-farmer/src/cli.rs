//! The whole command line, and which module runs each command.

use crate::args::nats::NatsArgs;
use crate::{dev, logging, roles, util};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Farming cluster for the Autonomys network.
#[derive(Debug, Parser)]
#[command(name = "autonomys-farmer", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    logging: logging::LoggingArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One role of a farming cluster
    Cluster(ClusterArgs),
    /// A whole cluster with a development chain on this machine, nothing to configure
    Dev(dev::DevArgs),
    /// Local development chain behind the node's JSON-RPC
    DevNode(dev::DevNodeCommand),
    /// Utilities
    Util(util::UtilArgs),
}

/// Options of every role, then the role.
#[derive(Debug, Parser)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    nats: NatsArgs,
    #[command(subcommand)]
    role: roles::RoleCommand,
}

/// Runs the command that was given.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let others: &[&str] = match cli.command {
        Command::Dev(_) => &["autonomys_cluster", "autonomys_node_rpc"],
        // Who comes and goes is no news of theirs.
        Command::Util(_) => &["autonomys_cluster", "autonomys_transfer"],
        _ => &[],
    };
    logging::start(&cli.logging, others)?;
    match cli.command {
        Command::Cluster(ClusterArgs { nats, role }) => roles::run(&nats, role).map(|()| ExitCode::SUCCESS),
        Command::Dev(args) => dev::run(&args),
        Command::DevNode(command) => dev::run_node(command).map(|()| ExitCode::SUCCESS),
        Command::Util(args) => util::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every line of the tutorial parses as written.
    #[test]
    fn the_tutorials_lines_parse() {
        const NATS: &str =
            "cluster --nats-server nats://A:4222 --nats-server nats://B:4222 --nats-server nats://B:4222";
        let address = crate::args::reward_address::to_ss58(&[7; 32]);
        let lines = [
            format!("{NATS} controller --tmp --node-rpc-url ws://N:9944"),
            format!("{NATS} sharded-cache path=/var/autonomys-sharded-cache"),
            format!("{NATS} full-piece-sharded-cache --tmp path=/var/autonomys-full-piece"),
            format!("{NATS} full-piece-sharded-cache path=/var/autonomys-full-piece"),
            format!("{NATS} proof-server"),
            format!("{NATS} plot-server --priority-cache --listen-port 9966 /var/plot-server/base-path-0"),
            format!(
                "{NATS} plot-server --record-encoding-concurrency 32 --priority-cache --listen-port 9966 /var/plot-server/base-path-0"
            ),
            format!(
                "{NATS} plot-client --reward-address {address} path=/mnt/nvme0n1/,sectors=8000 path=/mnt/nvme0n2/,sectors=8000"
            ),
        ];
        let utilities = [
            "util reinitialization-cache --nats-servers nats://A:4222 --delay 0",
            "util sharded-cache-benchmark --nats-servers nats://A:4222 --sectors 256 --epoch 1 --cache-item-type split-parity-piece",
            "util verify-piece --nats-server nats://A:4222 --nats-server nats://B:4222",
            "util cache-status --nats-server nats://A:4222 --cluster farm-2 --json",
            "util benchmark audit path=/mnt/nvme0n1 --json",
            "util benchmark prove --pieces-in-sector 4 --repeats 3",
            "util solutions --nats-server nats://A:4222 --last 50 --json",
        ];
        for line in lines.into_iter().chain(utilities.map(str::to_string)) {
            let words = std::iter::once("autonomys-farmer").chain(line.split_whitespace());
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    /// Every command line of ours in the shipped Supervisor files parses; only the reward address is the operator's to fill in.
    #[test]
    fn the_supervisor_files_lines_parse() {
        const PLACEHOLDER: &str = "stBR..S8V";
        let address = crate::args::reward_address::to_ss58(&[7; 32]);
        let machines = autonomys_test_support::repository_root().join("supervisor");
        let mut roles = std::collections::BTreeSet::new();
        for machine in ["node-machine", "plot-machine", "storage-machine"] {
            for entry in std::fs::read_dir(machines.join(machine)).expect("shipped") {
                let path = entry.expect("readable").path();
                let text = std::fs::read_to_string(&path).expect("readable");
                for line in text.lines().filter_map(|line| line.strip_prefix("command=")) {
                    let line = line.replace(PLACEHOLDER, &address);
                    // What stands before the program places the process: numactl and its options.
                    let words = line
                        .split(' ')
                        .skip_while(|word| !word.ends_with("/autonomys-farmer"));
                    let words: Vec<_> = words.collect();
                    if words.is_empty() {
                        // nats-server, or the official node.
                        continue;
                    }
                    let cli = Cli::try_parse_from(&words)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let Command::Cluster(cluster) = cli.command else {
                        panic!("{}: {line}", path.display());
                    };
                    assert_eq!(cluster.nats.servers.len(), 3, "{}", path.display());
                    let role = format!("{:?}", cluster.role);
                    roles.insert(role.split('(').next().unwrap_or_default().to_string());
                }
            }
        }
        assert_eq!(roles.len(), 6, "a file for every role: {roles:?}");
    }
}

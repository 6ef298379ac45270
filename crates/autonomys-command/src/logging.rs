//! Logs: for people on a terminal, JSON for machines.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people
    Human,
    /// One JSON object a line
    Json,
}

/// Options of the log, accepted by every command.
#[derive(Debug, Clone, Args)]
pub struct LoggingArgs {
    /// Form of log lines; RUST_LOG filters them, as in RUST_LOG=debug
    #[arg(long, value_enum, default_value = "human", global = true)]
    pub log_format: LogFormat,
}

/// Starts the log on standard error, so that standard output stays for results.
///
/// `others` are the crates whose news belong to other processes: of them only warnings are shown.
pub fn start(args: &LoggingArgs, others: &[&str]) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // The client library reports each failed attempt; our own connection state says it once.
        let mut filter = "info,async_nats=warn,jsonrpsee=warn".to_string();
        others
            .iter()
            .for_each(|other| filter.push_str(&format!(",{other}=warn")));
        EnvFilter::new(filter)
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match args.log_format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

//! `util benchmark`: how fast this machine and its disks audit and prove, ending with the settings that follow from it.

mod audit;
mod prove;
mod samples;
mod synthetic;

use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `util benchmark`.
#[derive(Debug, Args)]
pub(crate) struct BenchmarkArgs {
    #[command(subcommand)]
    command: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Audits of a farm, or of a made-up one: sectors a second and processor time, for each read engine
    Audit(audit::AuditArgs),
    /// Proofs: the stages of one, and each way to read a record
    Prove(prove::ProveArgs),
}

/// Runs the benchmark.
pub(crate) fn run(args: &BenchmarkArgs) -> Result<ExitCode> {
    match &args.command {
        Benchmark::Audit(args) => audit::run(args)?,
        Benchmark::Prove(args) => prove::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A farm directory on the command line, with or without `path=` in front.
fn farm_path(text: &str) -> Result<PathBuf, String> {
    let directory = text.strip_prefix("path=").unwrap_or(text);
    if directory.is_empty() {
        return Err("name a farm directory, as in path=/mnt/nvme0".to_string());
    }
    Ok(directory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_is_named_either_way() {
        assert_eq!(farm_path("path=/mnt/a"), Ok("/mnt/a".into()));
        assert_eq!(farm_path("relative"), Ok("relative".into()));
        assert!(farm_path("path=").is_err());
    }
}

//! Utilities: one module a command.

mod kzg_params;

use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Options of `util`.
#[derive(Debug, Args)]
pub(crate) struct UtilArgs {
    #[command(subcommand)]
    command: UtilCommand,
}

#[derive(Debug, Subcommand)]
enum UtilCommand {
    /// KZG parameters of the network
    KzgParams(kzg_params::KzgParamsArgs),
}

/// Runs the utility.
pub(crate) fn run(args: UtilArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        UtilCommand::KzgParams(args) => kzg_params::run(&args).map(|()| ExitCode::SUCCESS),
    }
}

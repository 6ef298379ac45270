//! `util kzg-params`: takes the mainnet KZG parameters from a file that has them.

use crate::args::kzg::stored_parameters;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use subspace_kzg::reference_string;

/// Options of `util kzg-params`.
#[derive(Debug, Args)]
pub(crate) struct KzgParamsArgs {
    #[command(subcommand)]
    command: KzgParamsCommand,
}

#[derive(Debug, Subcommand)]
enum KzgParamsCommand {
    /// Find, check and store the mainnet parameters
    Import {
        /// The parameters themselves, the ceremony's JSON transcript, or an official node or farmer program that contains them
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(args: &KzgParamsArgs) -> Result<()> {
    let KzgParamsCommand::Import { from } = &args.command;
    let blob = reference_string::import(from)?;
    let path = stored_parameters()?;
    reference_string::store(&path, &blob)?;
    println!("The mainnet KZG parameters are stored in {}", path.display());
    Ok(())
}

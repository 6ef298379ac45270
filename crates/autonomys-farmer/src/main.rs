//! Command line of `autonomys-farmer`: roles are in [`roles`], utilities in [`util`], the local cluster in [`dev`].

mod args;
mod cli;
mod dev;
mod roles;
mod util;

use autonomys_command::{logging, shutdown, usage};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            // One sentence for the operator; the chain of causes belongs to it.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Command line of `autonomys-farmer`: roles are in [`roles`], utilities in [`util`], the local cluster in [`dev`].

mod args;
mod cli;
mod dev;
mod logging;
mod roles;
mod shutdown;
mod util;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::report_usage_error(&error),
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

//! The command: parses the line, runs the export, answers with its exit code.

use autonomys_command::{logging, shutdown, usage};
use autonomys_export_piece::{Exit, Options, export};
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;

/// Export every piece of the history from a synced full node.
#[derive(Debug, Parser)]
#[command(name = "autonomys-export-piece", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    logging: logging::LoggingArgs,
    #[command(flatten)]
    options: Options,
}

/// Computation that was told to stop is left to end with the process after this long.
const THREADS_WITHIN: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(sentence) => {
            eprintln!("error: {sentence}");
            Exit::Failed.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, String> {
    logging::start(&cli.logging, &[]).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the asynchronous runtime: {error}"))?;
    let outcome = runtime.block_on(async {
        let cancel = shutdown::token_on_signal().map_err(|error| format!("cannot catch signals: {error}"))?;
        Ok(export::run(cli.options, cancel).await)
    });
    runtime.shutdown_timeout(THREADS_WITHIN);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_operators_type_parses() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.options);
        let options = parse("autonomys-export-piece --node-url http://n:9944").unwrap();
        assert_eq!(options.output.to_str(), Some("full-cache-tmp"));
        assert_eq!(
            (options.from_segment, options.to_segment, options.concurrency),
            (0, None, 2)
        );
        let options = parse(
            "autonomys-export-piece --node-url wss://n --output /x --from-segment 3 --to-segment 9 --concurrency 4 --connections 16 \
             --follow --verify --force-space --json --kzg-params f --keep-failed d",
        )
        .unwrap();
        assert!(options.follow && options.verify && options.force_space && options.json);
        for wrong in ["--concurrency 0", "--connections 0", "--from-segment -1"] {
            let line = format!("autonomys-export-piece --node-url http://n {wrong}");
            assert!(parse(&line).is_err(), "{wrong}");
        }
    }
}

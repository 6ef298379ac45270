//! Errors of a command line, as one sentence.

use clap::error::ErrorKind;
use std::process::ExitCode;

/// Help and version as usual; anything wrong as one sentence and exit code 1, like every other bad input.
pub fn report(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // A closed pipe (`--help | head`) is not worth a complaint.
        let _ = error.print();
        return if error.use_stderr() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    let text = error.to_string();
    // The first paragraph is the sentence; usage and tips follow after an empty line.
    let sentence = text.split("\n\n").next().unwrap_or(&text);
    let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{sentence} (--help shows how it is written)");
    ExitCode::FAILURE
}

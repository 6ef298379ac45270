//! Exit codes.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is in the directory.
    Done = 0,
    /// Some segments could not be made, or the command itself was wrong.
    Failed = 1,
    /// The node cannot give what is needed.
    NodeUnsuitable = 2,
    /// The disk is too small.
    NoSpace = 3,
    /// Stopped by a signal before the end, as shells report a death by SIGTERM.
    Stopped = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

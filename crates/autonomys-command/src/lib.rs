//! What the binaries share, so that an operator meets the same log, the same answer to a signal and the same sentences everywhere.
//!
//! * [`logging`]: the log on standard error;
//! * [`shutdown`]: the first signal ends work in order, the second ends the process;
//! * [`kzg`]: which KZG parameters a process uses;
//! * [`usage`]: errors of the command line.
//!
//! It belongs to the binaries, so its errors are sentences for the operator ([`anyhow::Error`]) and not enums.

pub mod kzg;
pub mod logging;
pub mod shutdown;
pub mod usage;

//! Golden vectors of archiving. One binary, because archiving the segments of `archiving.json` is the expensive part and
//! all checks share the result.

#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

mod archiving;
mod blocks;
mod checks;
mod edge_cases;
mod environment;
mod keystream;
mod pieces;

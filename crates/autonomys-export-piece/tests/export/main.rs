//! The exporter against a development chain: the real command with its exit codes, killed and resumed, and every kind of node that
//! cannot or will not give what is needed.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

mod command;
mod nodes;
mod support;

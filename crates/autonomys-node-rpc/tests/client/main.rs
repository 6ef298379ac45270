//! The clients against a scripted node, and the recorded traffic of the official farmer against our types.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

mod chain;
mod headers;
mod reconnecting;
mod scripted;
mod traffic;

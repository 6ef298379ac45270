//! The development node as farmers see it: wire conformance, a scripted farmer, faults, recorded traffic.
//!
//! All tests share one cache of archived segments, so the genesis segment is archived once.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

mod conformance;
mod farmer;
mod farming;
mod faults;
mod following;
mod foreign;
mod history;
mod raw;
mod support;
mod traffic;

//! The clients against a scripted node, and the recorded traffic of the official farmer against our types.

mod chain;
mod headers;
mod reconnecting;
mod scripted;
mod traffic;

//! `autonomys-export-piece`: the block history of a synced full node becomes the pieces of all its segments.
//!
//! The headers of segments say where each segment begins and ends, so every segment is made by itself, in any order, several at a
//! time, and is proven right by its own commitment:
//!
//! ```text
//! node, headers -> survey -> plan of each segment
//! blocks (node, fetch) -> checked bytes (block) -> segment (assemble) -> pieces (commit) -> file (output)
//! ```
//!
//! * [`export`]: the whole run; [`options`]: its command line; [`exit`]: its exit codes;
//! * [`survey`], [`headers`], [`plan`]: what the node has and what must be done;
//! * [`node`], [`fetch`], [`block`]: reading blocks and checking them;
//! * [`assemble`], [`commit`], [`output`]: making and keeping segments;
//! * [`progress`]: what the operator sees.
//!
//! See `docs/export-piece.md`.

pub mod assemble;
pub mod block;
pub mod commit;
pub mod error;
pub mod exit;
pub mod export;
pub mod fetch;
pub mod headers;
pub mod node;
pub mod options;
pub mod output;
pub mod plan;
pub mod progress;
pub mod survey;

mod segment;

pub use error::{ExportError, SegmentError};
pub use exit::Exit;
pub use options::Options;

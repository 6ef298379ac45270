//! Sector layout, encoding, auditing, proving and reading: all that a farm computes, without disks, sockets or threads of its
//! own.
//!
//! * [`sector`]: where things stand in a sector, and the metadata kept beside it.
//! * [`plotting`]: records to encoded records to a sector.
//! * [`auditing`]: which chunks of which sectors win in a slot.
//! * [`reading`]: chunks, records and pieces back out of a sector; [`read_at`] is how sectors are reached.
//! * [`decoding`]: stored chunks back to field elements and records.
//! * [`proving`]: from a winning chunk to a solution, split so that another machine can do the heavy part.
//! * [`expiration`]: when a sector expires and is due to be plotted again.
//!
//! Everything is synchronous. Functions that can use several threads take a [`rayon::ThreadPool`]. The format and the rules are
//! described in `docs/protocol/sectors.md`.

pub mod auditing;
pub mod decoding;
pub mod expiration;
pub mod plotting;
pub mod proving;
pub mod read_at;
pub mod reading;
pub mod sector;

//! A farm directory: identity, plot and metadata files, audit and proof reads.
//!
//! The layout is that of the official farmer (`docs/protocol/farm-directory.md`), so a farm moves between it and ours in both
//! directions without replotting. One directory is one farm:
//!
//! | file | holds | module |
//! |---|---|---|
//! | `single_disk_farm.json` | id, genesis hash, public key, sector size, space; also the lock | [`info`], [`lock`] |
//! | `identity.bin` | entropy of the key pair that owns the plots | [`identity`] |
//! | `metadata.bin` | header and one record a sector | [`metadata_file`] |
//! | `plot.bin` | the sectors back to back | [`plot_file`] |
//! | `sector-K.partial` | how far sector K has come, while it is pulled | `partial` |
//! | `piece_cache.bin` | optional cache of the official farmer | [`piece_cache`] |
//!
//! [`Farm`] ties them together: it opens or creates the directory, takes new sectors by ranges, commits them durably, audits
//! all sectors on a slot and reads what a proof needs; [`scrub`] looks through a farm from outside. Everything
//! here blocks; callers keep it off their async runtime.

pub mod allocation;
mod direct;
mod error;
mod farm;
pub mod identity;
pub mod info;
pub mod lock;
pub mod metadata_file;
pub mod mounts;
mod partial;
pub mod piece_cache;
pub mod plot_file;
pub mod reads;
pub mod scrub;
mod staging;

pub use error::FarmError;
pub use farm::{Farm, FarmCheck, FarmOptions, SectorState, SectorWriter, SpaceRequest, WinningSector};
pub use partial::SectorOrigin;

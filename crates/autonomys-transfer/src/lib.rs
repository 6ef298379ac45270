//! The data plane: bulk items and sectors from member to member over TCP.
//!
//! Who talks to whom: caches serve items ([`ItemSource`], [`ItemSink`]), plot-servers serve finished sectors
//! ([`SectorSource`]); plot-servers, plot-clients, caches and controllers fetch them through one [`Pool`] per process. A role
//! implements only what it serves; everything else is refused by name.
//!
//! Flow of one connection:
//!
//! 1. `Hello` / `Challenge` / `Auth` / `Welcome`: both sides prove, with nonces of both, that they know the 32-byte session
//!    key of the serving member, which is published on the control plane only. With TLS below it, the proofs cover the TLS
//!    connection as well.
//! 2. Requests in any number up to the server's limit, answers in any order, one frame an item.
//! 3. `Credit` keeps every request within the bytes its reader has room for, `Cancel` ends it, `Ping` keeps the line warm.
//!
//! Memory is bounded on both sides by constants in [`limits`]; every frame carries a CRC32C, every item its BLAKE3 hash. The
//! layout byte for byte is in `docs/data-plane.md`.

mod buffers;
mod checksum;
pub mod client;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod key;
pub mod limits;
pub mod message;
pub mod range;
mod reading;
pub mod server;
pub mod source;
mod tls;

pub use client::{Asked, Fetch, FetchOptions, Fetched, Outcome, Source, Want};
pub use client::{ItemStream, Peer, PeerStats, Pool, PoolOptions, SectorChunk, SectorStream};
pub use error::{ErrorCode, FrameError, Refusal, TransferError};
pub use handshake::SessionKey;
pub use key::{ItemKey, ItemKind, SectorKey};
pub use range::{FileRange, Served};
pub use server::{Congestion, Server, ServerOptions};
pub use source::{Handlers, Item, ItemSink, ItemSource, OpenSector, SectorSource};

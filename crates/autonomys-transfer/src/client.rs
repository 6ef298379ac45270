//! The asking side: one [`Pool`] per process, one connection per peer, any number of requests on it.

mod answer;
mod fetch;
mod link;
mod link_io;
mod pending;
mod pool;
mod statistics;

pub use answer::{ItemStream, SectorChunk, SectorStream};
pub use fetch::{Asked, Fetch, FetchOptions, Fetched, Outcome, Source, Want};
pub use pool::{Peer, Pool, PoolOptions};
pub use statistics::PeerStats;

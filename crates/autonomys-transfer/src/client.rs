//! The asking side: one [`Pool`] per process, few connections per peer, any number of requests on them.

mod answer;
mod fetch;
mod link;
mod link_io;
mod peer_state;
mod pending;
mod pool;
mod skip;
mod statistics;

pub use answer::{ItemStream, SectorChunk, SectorStream};
pub use fetch::{Asked, Fetch, FetchOptions, Fetched, Outcome, Source, Want};
pub use pool::{Peer, Pool, PoolOptions};
pub use statistics::PeerStats;

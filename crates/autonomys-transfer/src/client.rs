//! The asking side: one [`Pool`] per process, few connections per peer, any number of requests on them.

mod answer;
mod fetch;
mod link;
mod link_io;
mod peer_state;
mod pending;
mod pool;
mod sector;
mod skip;
mod statistics;

pub use answer::ItemStream;
pub use fetch::{Asked, Fetch, FetchOptions, Fetched, Outcome, Source, Want};
pub use pool::{Peer, Pool, PoolOptions};
pub use sector::{SectorChunk, SectorStream};
pub use statistics::PeerStats;

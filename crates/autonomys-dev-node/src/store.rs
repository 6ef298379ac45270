//! What survives a restart: an append-only log of blocks, the slot reached, the chain's parameters.

pub mod block_log;
pub mod directory;

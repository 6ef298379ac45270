//! Types, sizes, hashes and derivations of the protocol, shared by everything that farms, archives or verifies.
//!
//! Every type knows its wire forms: SCALE (`parity_scale_codec`) for what nodes and cluster processes exchange, and the JSON
//! form of the node's RPC (`serde`). Byte arrays are lower-case hex without `0x` in JSON, with one exception:
//! [`pieces::ScalarBytes`] is an array of numbers. 64-bit numbers use their full width and must never pass through a double.
//!
//! Decoders reject wrong lengths and impossible values, nothing here panics on input. The rules are described in
//! `docs/protocol/primitives.md`.

#[macro_use]
mod byte_array;
#[macro_use]
mod integer;

pub mod chain;
pub mod checksum;
pub mod hashes;
pub mod hexadecimal;
pub mod objects;
pub mod pieces;
pub mod pos;
pub mod pot;
pub mod rpc;
pub mod sectors;
pub mod segments;
pub mod solutions;
pub mod u256;

pub use byte_array::HexArrayError;
pub use chain::{
    BlockForkWeight, BlockHash, BlockNumber, PublicKey, Randomness, SlotNumber, derive_global_challenge,
};
pub use u256::U256;

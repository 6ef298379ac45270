//! Blocks of the development chain: digests, extrinsics, justifications, genesis, and their JSON forms.

pub mod data;
pub mod digest;
pub mod extrinsics;
pub mod genesis;
pub mod json;
pub mod justification;

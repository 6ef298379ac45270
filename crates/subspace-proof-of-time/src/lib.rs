//! Proof of time: the sequential work that paces the chain, its verification, and the seeds from slot to slot.
//!
//! A slot is a chain of AES-128 encryptions of its seed under one key. Proving it is strictly sequential; verifying it is not,
//! because eight checkpoints allow sixteen half-length chains to be computed side by side. The arithmetic of seeds, entropy
//! injection and iteration updates is in [`chain`] and [`schedule`]. The rules are described in
//! `docs/protocol/proof-of-time.md`.

pub mod chain;
pub mod schedule;

mod aes_chain;
mod aes_level;

pub use aes_chain::{prove, prove_with, verify, verify_with};
pub use aes_level::{AesLevel, SIMD_ENVIRONMENT_VARIABLE};
pub use chain::{NextSlotInput, PotParametersChange};
pub use schedule::{EntropyInjection, EntropySchedule};

use subspace_core_primitives::pot::PotCheckpoints;

/// Iterations of a slot must be a multiple of this: each checkpoint is verified from both ends.
pub const ITERATIONS_MULTIPLE: u32 = PotCheckpoints::NUM_CHECKPOINTS as u32 * 2;

/// A number of iterations that cannot be used.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PotError {
    /// Not a multiple of [`ITERATIONS_MULTIPLE`].
    #[error(
        "{0} iterations of proof of time cannot be split evenly: use a multiple of {ITERATIONS_MULTIPLE}"
    )]
    NotMultiple(u32),
    /// An update that does not raise the number.
    #[error("proof of time iterations can only be raised: {requested} is not above {current}")]
    NotRaised {
        /// Iterations in force.
        current: u32,
        /// Iterations asked for.
        requested: u32,
    },
}

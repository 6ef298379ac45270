//! Chains of AES-128 encryptions: one for proving, sixteen side by side for verifying.

mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::{AesLevel, ITERATIONS_MULTIPLE, PotError};
use std::num::NonZeroU32;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};

const NUM_CHECKPOINTS: usize = PotCheckpoints::NUM_CHECKPOINTS;

/// A block of the cipher.
type Block = [u8; 16];

/// One block for every checkpoint.
type Blocks = [Block; NUM_CHECKPOINTS];

/// Computes the checkpoints of a slot: `iterations` encryptions one after another, on the calling thread.
///
/// # Errors
/// [`PotError::NotMultiple`] when `iterations` is not a multiple of 16.
pub fn prove(seed: PotSeed, iterations: NonZeroU32) -> Result<PotCheckpoints, PotError> {
    prove_with(AesLevel::from_environment(), seed, iterations)
}

/// [`prove`] with chosen instructions; one that the processor does not have is replaced by the best that it has. Results are
/// the same.
///
/// # Errors
/// As [`prove`].
pub fn prove_with(
    level: AesLevel,
    seed: PotSeed,
    iterations: NonZeroU32,
) -> Result<PotCheckpoints, PotError> {
    let per_checkpoint = iterations_per_half(iterations)? * 2;
    let key = seed.key().0;
    let checkpoints = match level.supported() {
        AesLevel::Portable => portable::prove(&key, seed.0, per_checkpoint),
        #[cfg(target_arch = "x86_64")]
        AesLevel::AesNi | AesLevel::Vaes => x86::prove(&key, seed.0, per_checkpoint),
        #[cfg(not(target_arch = "x86_64"))]
        AesLevel::AesNi | AesLevel::Vaes => portable::prove(&key, seed.0, per_checkpoint),
    };
    Ok(PotCheckpoints(checkpoints.map(PotOutput)))
}

/// Whether `checkpoints` are those of `seed` and `iterations`.
///
/// Encrypts the start of each checkpoint and decrypts its end by half of the way, in step, so that the eight chains of
/// either direction overlap in the processor; all pairs must meet.
///
/// # Errors
/// [`PotError::NotMultiple`] when `iterations` is not a multiple of 16.
pub fn verify(seed: PotSeed, iterations: NonZeroU32, checkpoints: &PotCheckpoints) -> Result<bool, PotError> {
    verify_with(AesLevel::from_environment(), seed, iterations, checkpoints)
}

/// [`verify`] with chosen instructions; one that the processor does not have is replaced by the best that it has. Results are
/// the same.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    level: AesLevel,
    seed: PotSeed,
    iterations: NonZeroU32,
    checkpoints: &PotCheckpoints,
) -> Result<bool, PotError> {
    let per_half = iterations_per_half(iterations)?;
    let key = seed.key().0;
    let backward = checkpoints.0.map(|checkpoint| checkpoint.0);
    let mut forward = backward;
    forward.rotate_right(1);
    forward[0] = seed.0;
    Ok(match level.supported() {
        AesLevel::Portable => portable::meet(&key, forward, backward, per_half),
        #[cfg(target_arch = "x86_64")]
        AesLevel::AesNi => x86::meet(&key, &forward, &backward, per_half),
        #[cfg(target_arch = "x86_64")]
        AesLevel::Vaes => x86::meet_wide(&key, &forward, &backward, per_half),
        #[cfg(not(target_arch = "x86_64"))]
        AesLevel::AesNi | AesLevel::Vaes => portable::meet(&key, forward, backward, per_half),
    })
}

/// Encryptions from a checkpoint to the middle of the next part.
fn iterations_per_half(iterations: NonZeroU32) -> Result<u32, PotError> {
    if iterations.get().is_multiple_of(ITERATIONS_MULTIPLE) {
        Ok(iterations.get() / ITERATIONS_MULTIPLE)
    } else {
        Err(PotError::NotMultiple(iterations.get()))
    }
}

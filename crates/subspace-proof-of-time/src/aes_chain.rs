//! Chains of AES-128 encryptions: one for proving, sixteen side by side for verifying.

use crate::{ITERATIONS_MULTIPLE, PotError};
use aes::Aes128;
use aes::cipher::{Block, BlockDecrypt, BlockEncrypt, KeyInit};
use std::num::NonZeroU32;
use subspace_core_primitives::pot::{PotCheckpoints, PotOutput, PotSeed};

const NUM_CHECKPOINTS: usize = PotCheckpoints::NUM_CHECKPOINTS;

/// Computes the checkpoints of a slot: `iterations` encryptions one after another, on the calling thread.
///
/// # Errors
/// [`PotError::NotMultiple`] when `iterations` is not a multiple of 16.
pub fn prove(seed: PotSeed, iterations: NonZeroU32) -> Result<PotCheckpoints, PotError> {
    let per_checkpoint = iterations_per_half(iterations)? * 2;
    let cipher = cipher(seed);
    let mut block = Block::<Aes128>::from(seed.0);
    Ok(PotCheckpoints([(); NUM_CHECKPOINTS].map(|()| {
        for _ in 0..per_checkpoint {
            cipher.encrypt_block(&mut block);
        }
        PotOutput(block.into())
    })))
}

/// Whether `checkpoints` are those of `seed` and `iterations`.
///
/// Encrypts the start of each checkpoint and decrypts its end by half of the way, in step, so that the eight chains of
/// either direction overlap in the processor; all pairs must meet.
///
/// # Errors
/// [`PotError::NotMultiple`] when `iterations` is not a multiple of 16.
pub fn verify(seed: PotSeed, iterations: NonZeroU32, checkpoints: &PotCheckpoints) -> Result<bool, PotError> {
    let per_half = iterations_per_half(iterations)?;
    let cipher = cipher(seed);

    let mut backward = checkpoints
        .0
        .map(|checkpoint| Block::<Aes128>::from(checkpoint.0));
    let mut forward = backward;
    forward.rotate_right(1);
    forward[0] = seed.0.into();

    for _ in 0..per_half {
        cipher.encrypt_blocks(&mut forward);
        cipher.decrypt_blocks(&mut backward);
    }
    Ok(forward == backward)
}

fn cipher(seed: PotSeed) -> Aes128 {
    Aes128::new(&seed.key().0.into())
}

/// Encryptions from a checkpoint to the middle of the next part.
fn iterations_per_half(iterations: NonZeroU32) -> Result<u32, PotError> {
    if iterations.get().is_multiple_of(ITERATIONS_MULTIPLE) {
        Ok(iterations.get() / ITERATIONS_MULTIPLE)
    } else {
        Err(PotError::NotMultiple(iterations.get()))
    }
}

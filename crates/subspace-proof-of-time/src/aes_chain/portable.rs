//! The chains with the AES library, on any processor (it has AES instructions of other architectures as well).

use super::Blocks;
use aes::Aes128;
use aes::cipher::{Block, BlockDecrypt, BlockEncrypt, KeyInit};

/// The block after every `per_checkpoint` encryptions of `seed`.
pub(super) fn prove(key: &super::Block, seed: super::Block, per_checkpoint: u32) -> Blocks {
    let cipher = Aes128::new(&(*key).into());
    let mut block = Block::<Aes128>::from(seed);
    Blocks::default().map(|_| {
        for _ in 0..per_checkpoint {
            cipher.encrypt_block(&mut block);
        }
        block.into()
    })
}

/// Whether `forward` encrypted `count` times and `backward` decrypted `count` times are the same blocks.
pub(super) fn meet(key: &super::Block, forward: Blocks, backward: Blocks, count: u32) -> bool {
    let cipher = Aes128::new(&(*key).into());
    let mut forward = forward.map(Block::<Aes128>::from);
    let mut backward = backward.map(Block::<Aes128>::from);
    for _ in 0..count {
        cipher.encrypt_blocks(&mut forward);
        cipher.decrypt_blocks(&mut backward);
    }
    forward == backward
}

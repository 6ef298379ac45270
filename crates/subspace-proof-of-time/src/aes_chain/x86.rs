//! The chains with the AES instructions of x86-64, everything in registers.
//!
//! The last round key of an encryption and the first one of the next are added at once: one round instruction follows the
//! other, and a chain takes ten times their latency a block.

use super::{Block, Blocks, NUM_CHECKPOINTS};
use crate::AesLevel;
use std::arch::x86_64::*;

/// Rounds of AES-128.
const ROUNDS: usize = 10;

/// Blocks of a 512-bit register.
const WIDE: usize = 4;

/// Vectors of blocks of one direction.
const WIDE_VECTORS: usize = NUM_CHECKPOINTS / WIDE;

/// Round keys of one direction, ready for chains.
struct ChainKeys {
    /// What the first block is added to before, and the last one after the chain.
    ends: (__m128i, __m128i),
    /// Keys of rounds 1 to 9.
    rounds: [__m128i; ROUNDS - 1],
    /// Key of the last round and of the start of the next block.
    last: __m128i,
}

/// The block after every `per_checkpoint` encryptions of `seed`. The processor must have AES instructions.
pub(super) fn prove(key: &Block, seed: Block, per_checkpoint: u32) -> Blocks {
    assert!(
        AesLevel::AesNi.is_supported(),
        "the caller has asked the processor"
    );
    // SAFETY: the processor has the instructions, as was just checked.
    unsafe { prove_inner(key, seed, per_checkpoint) }
}

/// Whether `forward` encrypted `count` times and `backward` decrypted `count` times are the same blocks. The processor must
/// have AES instructions.
pub(super) fn meet(key: &Block, forward: &Blocks, backward: &Blocks, count: u32) -> bool {
    assert!(
        AesLevel::AesNi.is_supported(),
        "the caller has asked the processor"
    );
    // SAFETY: the processor has the instructions, as was just checked.
    unsafe { meet_inner(key, forward, backward, count) }
}

/// [`meet`] with four blocks a register. The processor must have AES instructions for 512-bit registers.
pub(super) fn meet_wide(key: &Block, forward: &Blocks, backward: &Blocks, count: u32) -> bool {
    assert!(
        AesLevel::Vaes.is_supported(),
        "the caller has asked the processor"
    );
    // SAFETY: the processor has the instructions, as was just checked.
    unsafe { meet_wide_inner(key, forward, backward, count) }
}

fn load(block: &Block) -> __m128i {
    // SAFETY: a block has the 16 bytes that are read; every processor of this architecture has SSE2.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

fn store(vector: __m128i) -> Block {
    let mut block = [0; 16];
    // SAFETY: a block has the 16 bytes that are written; every processor of this architecture has SSE2.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), vector) };
    block
}

#[target_feature(enable = "aes,sse2")]
fn prove_inner(key: &Block, seed: Block, per_checkpoint: u32) -> Blocks {
    let keys = forward_keys(&round_keys(key));
    let mut block = _mm_xor_si128(load(&seed), keys.ends.0);
    let mut checkpoints = Blocks::default();
    for checkpoint in &mut checkpoints {
        for _ in 0..per_checkpoint {
            for round in keys.rounds {
                block = _mm_aesenc_si128(block, round);
            }
            block = _mm_aesenclast_si128(block, keys.last);
        }
        // The first key of the next block is in already.
        *checkpoint = store(_mm_xor_si128(block, keys.ends.0));
    }
    checkpoints
}

#[target_feature(enable = "aes,sse2")]
fn meet_inner(key: &Block, forward: &Blocks, backward: &Blocks, count: u32) -> bool {
    let round_keys = round_keys(key);
    let keys = forward_keys(&round_keys);
    let mut forward = forward.map(|block| _mm_xor_si128(load(&block), keys.ends.0));
    for _ in 0..count {
        for round in keys.rounds {
            for block in &mut forward {
                *block = _mm_aesenc_si128(*block, round);
            }
        }
        for block in &mut forward {
            *block = _mm_aesenclast_si128(*block, keys.last);
        }
    }
    let forward = forward.map(|block| store(_mm_xor_si128(block, keys.ends.1)));

    // One direction after the other: eight chains keep the processor busy, and sixteen do not fit its registers.
    let keys = backward_keys(&round_keys);
    let mut backward = backward.map(|block| _mm_xor_si128(load(&block), keys.ends.0));
    for _ in 0..count {
        for round in keys.rounds {
            for block in &mut backward {
                *block = _mm_aesdec_si128(*block, round);
            }
        }
        for block in &mut backward {
            *block = _mm_aesdeclast_si128(*block, keys.last);
        }
    }
    forward == backward.map(|block| store(_mm_xor_si128(block, keys.ends.1)))
}

#[target_feature(enable = "aes,sse2,avx512f,vaes")]
fn meet_wide_inner(key: &Block, forward: &Blocks, backward: &Blocks, count: u32) -> bool {
    let round_keys = round_keys(key);
    let encryption = forward_keys(&round_keys);
    let decryption = backward_keys(&round_keys);
    let mut forward = load_wide(forward, encryption.ends.0);
    let mut backward = load_wide(backward, decryption.ends.0);
    let wide = |key: __m128i| _mm512_broadcast_i32x4(key);
    let encryption_rounds = encryption.rounds.map(wide);
    let decryption_rounds = decryption.rounds.map(wide);
    let (encryption_last, decryption_last) = (wide(encryption.last), wide(decryption.last));
    for _ in 0..count {
        for (encrypt, decrypt) in encryption_rounds.into_iter().zip(decryption_rounds) {
            for (forward, backward) in forward.iter_mut().zip(&mut backward) {
                *forward = _mm512_aesenc_epi128(*forward, encrypt);
                *backward = _mm512_aesdec_epi128(*backward, decrypt);
            }
        }
        for (forward, backward) in forward.iter_mut().zip(&mut backward) {
            *forward = _mm512_aesenclast_epi128(*forward, encryption_last);
            *backward = _mm512_aesdeclast_epi128(*backward, decryption_last);
        }
    }
    let ends = wide(_mm_xor_si128(encryption.ends.1, decryption.ends.1));
    forward.iter().zip(&backward).all(|(forward, backward)| {
        let difference = _mm512_xor_si512(_mm512_xor_si512(*forward, *backward), ends);
        _mm512_test_epi64_mask(difference, difference) == 0
    })
}

/// Four blocks a register, each added to `key`.
#[target_feature(enable = "sse2,avx512f")]
fn load_wide(blocks: &Blocks, key: __m128i) -> [__m512i; WIDE_VECTORS] {
    let key = _mm512_broadcast_i32x4(key);
    std::array::from_fn(|index| {
        let start = blocks[index * WIDE..][..WIDE].as_ptr();
        // SAFETY: the slice has four blocks, the 64 bytes that are read.
        let vector = unsafe { _mm512_loadu_si512(start.cast()) };
        _mm512_xor_si512(vector, key)
    })
}

#[target_feature(enable = "sse2")]
fn forward_keys(keys: &[__m128i; ROUNDS + 1]) -> ChainKeys {
    ChainKeys {
        ends: (keys[0], keys[0]),
        rounds: std::array::from_fn(|round| keys[round + 1]),
        last: _mm_xor_si128(keys[ROUNDS], keys[0]),
    }
}

/// Keys of the equivalent inverse cipher: backwards, those of the middle through the inverse mixing of columns.
#[target_feature(enable = "aes,sse2")]
fn backward_keys(keys: &[__m128i; ROUNDS + 1]) -> ChainKeys {
    ChainKeys {
        ends: (keys[ROUNDS], keys[ROUNDS]),
        rounds: std::array::from_fn(|round| _mm_aesimc_si128(keys[ROUNDS - 1 - round])),
        last: _mm_xor_si128(keys[ROUNDS], keys[0]),
    }
}

/// The key schedule of AES-128.
#[target_feature(enable = "aes,sse2")]
fn round_keys(key: &Block) -> [__m128i; ROUNDS + 1] {
    let mut keys = [load(key); ROUNDS + 1];
    macro_rules! expand {
        ($($round:literal $constant:literal),*) => {$(
            keys[$round] = next_key(keys[$round - 1], _mm_aeskeygenassist_si128::<$constant>(keys[$round - 1]));
        )*};
    }
    expand!(1 0x01, 2 0x02, 3 0x04, 4 0x08, 5 0x10, 6 0x20, 7 0x40, 8 0x80, 9 0x1b, 10 0x36);
    keys
}

#[target_feature(enable = "sse2")]
fn next_key(key: __m128i, assist: __m128i) -> __m128i {
    // Each word is the sum of the words before it and of the substituted last one.
    let mut sums = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    sums = _mm_xor_si128(sums, _mm_slli_si128::<8>(sums));
    _mm_xor_si128(sums, _mm_shuffle_epi32::<0xff>(assist))
}

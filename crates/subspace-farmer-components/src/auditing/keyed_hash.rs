//! Keyed BLAKE3 of many 32-byte chunks under one key, several chunks side by side, of which only the first 8 bytes are used.
//!
//! A chunk is a single block, so its hash is a single compression. The `blake3` crate hashes such short inputs one at a time;
//! here every word of the state is a vector with one lane for each chunk, and the unused half of the output is never made.

use crate::sector::CHUNK_SIZE;
use std::sync::LazyLock;
use subspace_proof_of_space::{SIMD_ENVIRONMENT_VARIABLE, SimdLevel};

/// Chunks that are hashed side by side. Sixteen is one vector of AVX-512; with narrower vectors the compiler still makes better
/// code of sixteen than of fewer.
const LANES: usize = 16;
const IV: [u32; 4] = [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A];
/// First and last block, root, keyed.
const FLAGS: u32 = 1 | 2 | 8 | 16;
/// Message word of each of the sixteen places of each round. Words 8 to 15 of a chunk's block are zero.
const SCHEDULE: [[usize; 16]; 7] = schedule();

const fn schedule() -> [[usize; 16]; 7] {
    const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut schedule = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut place = 0;
        while place < 16 {
            schedule[round][place] = schedule[round - 1][PERMUTATION[place]];
            place += 1;
        }
        round += 1;
    }
    schedule
}

/// Calls `each` with the number of each chunk and the first 8 bytes of its keyed hash as a little-endian number, in order.
pub(super) fn for_each_audit_word(
    key: &[u8; 32],
    chunks: &[[u8; CHUNK_SIZE]],
    mut each: impl FnMut(usize, u64),
) {
    let mut key_words = [0; 8];
    for (word, bytes) in key_words.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let hash = implementation();
    let (batches, rest) = chunks.as_chunks();
    let mut number = 0;
    for batch in batches {
        for word in hash(&key_words, batch) {
            each(number, word);
            number += 1;
        }
    }
    if !rest.is_empty() {
        let mut batch = [[0; CHUNK_SIZE]; LANES];
        batch[..rest.len()].copy_from_slice(rest);
        for word in &hash(&key_words, &batch)[..rest.len()] {
            each(number, *word);
            number += 1;
        }
    }
}

type HashBatch = fn(&[u32; 8], &[[u8; CHUNK_SIZE]; LANES]) -> [u64; LANES];

/// The fastest implementation for this processor; a slower one when the environment variable `AUTONOMYS_SIMD` names it.
fn implementation() -> HashBatch {
    static IMPLEMENTATION: LazyLock<HashBatch> = LazyLock::new(|| {
        let named = std::env::var(SIMD_ENVIRONMENT_VARIABLE).ok();
        fastest(
            named
                .and_then(|text| text.parse().ok())
                .unwrap_or(SimdLevel::Avx512),
        )
    });
    *IMPLEMENTATION
}

/// The fastest implementation for this processor that needs no more than `most`.
fn fastest(most: SimdLevel) -> HashBatch {
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        if most == SimdLevel::Avx512 && has_avx512 {
            // SAFETY: the processor has what the function is compiled for.
            return |key, chunks| unsafe { hash_avx512(key, chunks) };
        }
        if most != SimdLevel::Portable && is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return |key, chunks| unsafe { hash_avx2(key, chunks) };
        }
    }
    let _ = most;
    hash_portable
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn hash_avx512(key: &[u32; 8], chunks: &[[u8; CHUNK_SIZE]; LANES]) -> [u64; LANES] {
    hash_lanes(key, chunks)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hash_avx2(key: &[u32; 8], chunks: &[[u8; CHUNK_SIZE]; LANES]) -> [u64; LANES] {
    hash_lanes(key, chunks)
}

fn hash_portable(key: &[u32; 8], chunks: &[[u8; CHUNK_SIZE]; LANES]) -> [u64; LANES] {
    hash_lanes(key, chunks)
}

#[inline(always)]
fn hash_lanes(key: &[u32; 8], chunks: &[[u8; CHUNK_SIZE]; LANES]) -> [u64; LANES] {
    let mut message = [[0; LANES]; 8];
    for (lane, chunk) in chunks.iter().enumerate() {
        for (words, bytes) in message.iter_mut().zip(chunk.as_chunks().0) {
            words[lane] = u32::from_le_bytes(*bytes);
        }
    }
    let mut state = [[0; LANES]; 16];
    for (vector, word) in state.iter_mut().zip(key.iter().chain(&IV)) {
        *vector = [*word; LANES];
    }
    state[14] = [CHUNK_SIZE as u32; LANES];
    state[15] = [FLAGS; LANES];
    round::<0>(&mut state, &message);
    round::<1>(&mut state, &message);
    round::<2>(&mut state, &message);
    round::<3>(&mut state, &message);
    round::<4>(&mut state, &message);
    round::<5>(&mut state, &message);
    round::<6>(&mut state, &message);
    let mut output = [0; LANES];
    for (lane, output) in output.iter_mut().enumerate() {
        let low = state[0][lane] ^ state[8][lane];
        let high = state[1][lane] ^ state[9][lane];
        *output = u64::from(high) << 32 | u64::from(low);
    }
    output
}

#[inline(always)]
fn round<const ROUND: usize>(state: &mut [[u32; LANES]; 16], message: &[[u32; LANES]; 8]) {
    mix::<ROUND, 0>(state, message, [0, 4, 8, 12]);
    mix::<ROUND, 1>(state, message, [1, 5, 9, 13]);
    mix::<ROUND, 2>(state, message, [2, 6, 10, 14]);
    mix::<ROUND, 3>(state, message, [3, 7, 11, 15]);
    mix::<ROUND, 4>(state, message, [0, 5, 10, 15]);
    mix::<ROUND, 5>(state, message, [1, 6, 11, 12]);
    mix::<ROUND, 6>(state, message, [2, 7, 8, 13]);
    mix::<ROUND, 7>(state, message, [3, 4, 9, 14]);
}

#[inline(always)]
fn mix<const ROUND: usize, const STEP: usize>(
    state: &mut [[u32; LANES]; 16],
    message: &[[u32; LANES]; 8],
    [a, b, c, d]: [usize; 4],
) {
    let (first, second) = (SCHEDULE[ROUND][2 * STEP], SCHEDULE[ROUND][2 * STEP + 1]);
    for lane in 0..LANES {
        let x = if first < 8 { message[first][lane] } else { 0 };
        let y = if second < 8 { message[second][lane] } else { 0 };
        state[a][lane] = state[a][lane].wrapping_add(state[b][lane]).wrapping_add(x);
        state[d][lane] = (state[d][lane] ^ state[a][lane]).rotate_right(16);
        state[c][lane] = state[c][lane].wrapping_add(state[d][lane]);
        state[b][lane] = (state[b][lane] ^ state[c][lane]).rotate_right(12);
        state[a][lane] = state[a][lane].wrapping_add(state[b][lane]).wrapping_add(y);
        state[d][lane] = (state[d][lane] ^ state[a][lane]).rotate_right(8);
        state[c][lane] = state[c][lane].wrapping_add(state[d][lane]);
        state[b][lane] = (state[b][lane] ^ state[c][lane]).rotate_right(7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected(key: &[u8; 32], chunk: &[u8; 32]) -> u64 {
        let hash = blake3::keyed_hash(key, chunk);
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    }

    proptest! {
        #[test]
        fn equals_the_library(key in any::<[u8; 32]>(), chunks in proptest::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let mut words = Vec::new();
            for_each_audit_word(&key, &chunks, |number, word| {
                assert_eq!(number, words.len());
                words.push(word);
            });
            let expected: Vec<_> = chunks.iter().map(|chunk| expected(&key, chunk)).collect();
            prop_assert_eq!(words, expected);
        }

        #[test]
        fn all_implementations_agree(key in any::<[u8; 32]>(), chunks in any::<[[u8; 32]; 16]>()) {
            let mut key_words = [0; 8];
            for (word, bytes) in key_words.iter_mut().zip(key.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            let expected = chunks.each_ref().map(|chunk| expected(&key, chunk));
            for level in SimdLevel::ALL {
                prop_assert_eq!(fastest(level)(&key_words, &chunks), expected, "{}", level);
            }
        }
    }
}

//! BLAKE3 of inputs of a single block, many at once.
//!
//! An input of at most 64 bytes is one compression with constant chaining value and counter. The inputs here fill only the
//! first few message words and only the first output words are used, so what the zero words and the unused outputs would
//! cost is left out. Proofs take three blocks.

use crate::constants::PROOF_BYTES;
use crate::lanes::Lanes;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Flag of the first block.
const CHUNK_START: u32 = 1;
/// Flag of the last block.
const CHUNK_END: u32 = 2;
/// Flag of the compression whose output is the hash.
const ROOT: u32 = 8;

/// Message word of every step of every round.
const SCHEDULE: [[usize; 16]; 7] = {
    const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut schedule = [[0; 16]; 7];
    let mut word = 0;
    while word < 16 {
        schedule[0][word] = word;
        word += 1;
    }
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < 16 {
            schedule[round][word] = schedule[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    schedule
};

#[inline(always)]
fn quarter<V: Lanes, const N: usize>(
    state: &mut [V; 16],
    message: &[V; N],
    [a, b, c, d]: [usize; 4],
    [first, second]: [usize; 2],
) {
    state[a] = state[a].add(state[b]);
    if first < N {
        state[a] = state[a].add(message[first]);
    }
    state[d] = state[d].xor(state[a]).rotr(16);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotr(12);
    state[a] = state[a].add(state[b]);
    if second < N {
        state[a] = state[a].add(message[second]);
    }
    state[d] = state[d].xor(state[a]).rotr(8);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotr(7);
}

#[inline(always)]
fn round<V: Lanes, const N: usize, const ROUND: usize>(state: &mut [V; 16], message: &[V; N]) {
    let words = const { SCHEDULE[ROUND] };
    quarter(state, message, [0, 4, 8, 12], [words[0], words[1]]);
    quarter(state, message, [1, 5, 9, 13], [words[2], words[3]]);
    quarter(state, message, [2, 6, 10, 14], [words[4], words[5]]);
    quarter(state, message, [3, 7, 11, 15], [words[6], words[7]]);
    quarter(state, message, [0, 5, 10, 15], [words[8], words[9]]);
    quarter(state, message, [1, 6, 11, 12], [words[10], words[11]]);
    quarter(state, message, [2, 7, 8, 13], [words[12], words[13]]);
    quarter(state, message, [3, 4, 9, 14], [words[14], words[15]]);
}

/// First eight words are the chaining value after a block, all sixteen the output of the last one. `message` are the words of the
/// block as BLAKE3 reads them; those that are left out are zero.
#[inline(always)]
fn compress<V: Lanes, const N: usize>(
    token: V::Token,
    chaining_value: [V; 8],
    message: &[V; N],
    length: u32,
    flags: u32,
) -> [V; 16] {
    let word = |word| V::splat(token, word);
    let [h0, h1, h2, h3, h4, h5, h6, h7] = chaining_value;
    let mut state = [
        h0,
        h1,
        h2,
        h3,
        h4,
        h5,
        h6,
        h7,
        word(IV[0]),
        word(IV[1]),
        word(IV[2]),
        word(IV[3]),
        word(0),
        word(0),
        word(length),
        word(flags),
    ];
    round::<V, N, 0>(&mut state, message);
    round::<V, N, 1>(&mut state, message);
    round::<V, N, 2>(&mut state, message);
    round::<V, N, 3>(&mut state, message);
    round::<V, N, 4>(&mut state, message);
    round::<V, N, 5>(&mut state, message);
    round::<V, N, 6>(&mut state, message);
    // The upper half of the output needs the chaining value once more and is used by nobody.
    for index in 0..8 {
        state[index] = state[index].xor(state[index + 8]);
    }
    state
}

/// Words of a proof.
pub(crate) const PROOF_WORDS: usize = PROOF_BYTES / 4;

/// BLAKE3 hash of a proof, given as big-endian words, as words of little-endian bytes.
#[inline(always)]
pub(crate) fn hash_proof<V: Lanes>(token: V::Token, proof: impl Fn(usize) -> V) -> [V; 8] {
    let mut value = [V::splat(token, 0); 8];
    for index in 0..8 {
        value[index] = V::splat(token, IV[index]);
    }
    for (first, flags) in [(0, CHUNK_START), (16, 0)] {
        let mut message = [V::splat(token, 0); 16];
        for (index, word) in message.iter_mut().enumerate() {
            *word = proof(first + index).swap_bytes();
        }
        let [h0, h1, h2, h3, h4, h5, h6, h7, ..] = compress(token, value, &message, 64, flags);
        value = [h0, h1, h2, h3, h4, h5, h6, h7];
    }
    let mut message = [V::splat(token, 0); PROOF_WORDS - 32];
    for (index, word) in message.iter_mut().enumerate() {
        *word = proof(32 + index).swap_bytes();
    }
    let [h0, h1, h2, h3, h4, h5, h6, h7, ..] = compress(token, value, &message, 32, CHUNK_END | ROOT);
    [h0, h1, h2, h3, h4, h5, h6, h7]
}

/// First four words of the BLAKE3 hash of the `length` bytes that begin with the `message` words.
///
/// Message and hash are given as **big-endian** words, the order in which the tables read bits. Message bytes beyond
/// `length` must be zero.
#[inline(always)]
pub(crate) fn hash_block<V: Lanes, const N: usize>(token: V::Token, message: [V; N], length: u32) -> [V; 4] {
    // A loop, because what `map` calls may end up outside of the code compiled for the instruction set.
    let mut swapped = message;
    for index in 0..N {
        swapped[index] = message[index].swap_bytes();
    }
    let mut start = [V::splat(token, 0); 8];
    for index in 0..8 {
        start[index] = V::splat(token, IV[index]);
    }
    let flags = CHUNK_START | CHUNK_END | ROOT;
    let [h0, h1, h2, h3, ..] = compress(token, start, &swapped, length, flags);
    [h0.swap_bytes(), h1.swap_bytes(), h2.swap_bytes(), h3.swap_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>(length: u32) {
        let mut bytes = [0; 64];
        let label = [N as u8, length as u8];
        blake3::Hasher::new()
            .update(&label)
            .finalize_xof()
            .fill(&mut bytes[..length as usize]);
        let mut message = [0; N];
        for (word, chunk) in message.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*chunk);
        }
        let hash = hash_block::<u32, N>((), message, length);
        let expected = *blake3::hash(&bytes[..length as usize]).as_bytes();
        assert_eq!(
            hash.map(u32::to_be_bytes).as_flattened(),
            &expected[..16],
            "{N} words, {length} bytes"
        );
    }

    #[test]
    fn hashes_are_those_of_the_blake3_crate() {
        check::<3>(9);
        check::<4>(14);
        check::<5>(19);
        check::<6>(24);
        check::<16>(64);
    }
}

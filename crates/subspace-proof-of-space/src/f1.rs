//! Table 1: `y` of an `x` value, cut from a ChaCha8 keystream.

use crate::constants::K;
use crate::lanes::Lanes;
use chacha20::ChaCha8;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use subspace_core_primitives::pos::PosSeed;

/// Computes `y` of `x` values.
pub(crate) struct F1 {
    cipher: ChaCha8,
}

impl F1 {
    pub(crate) fn new(seed: &PosSeed) -> Self {
        Self {
            cipher: ChaCha8::new(seed.as_bytes().into(), &[0; 12].into()),
        }
    }

    /// `y` of one `x` below `2^20`, which the others are compared with.
    #[cfg(test)]
    pub(crate) fn y(&mut self, x: u32) -> u32 {
        let bit_offset = x * K;
        let mut bytes = [0; 4];
        self.cipher.seek(bit_offset / 8);
        self.cipher.apply_keystream(&mut bytes[..3]);
        let slice = u32::from_be_bytes(bytes) << (bit_offset % 8) >> (32 - K);
        join(slice, x)
    }

    /// Calls `use_y(x, y)` for every `x` of `xs` in order; both bounds must be even.
    pub(crate) fn for_each(&mut self, xs: std::ops::Range<u32>, mut use_y: impl FnMut(u32, u32)) {
        /// Keystream bytes made at a time: large enough for the cipher's parallel blocks, small enough for the first
        /// level cache.
        const CHUNK: usize = 64 * 5 * 16;
        let mut buffer = [0_u8; CHUNK];
        self.cipher.seek(xs.start * K / 8);
        let mut x = xs.start;
        while x < xs.end {
            let bytes = ((xs.end - x) * K / 8).min(CHUNK as u32) as usize;
            let chunk = &mut buffer[..bytes];
            chunk.fill(0);
            self.cipher.apply_keystream(chunk);
            for pair in chunk.as_chunks::<5>().0 {
                let high = u32::from_be_bytes([pair[0], pair[1], pair[2], pair[3]]);
                use_y(x, join(high >> 12, x));
                use_y(x + 1, join(((high & 0xfff) << 8) | u32::from(pair[4]), x + 1));
                x += 2;
            }
        }
    }
}

/// Most `x` values [`some_ys`] takes.
pub(crate) const MAX_XS: usize = 64;
/// Keystream blocks made for them: one for each, and where the slice may reach into the next block that one as well.
const MAX_BLOCKS: usize = 2 * MAX_XS;

/// Writes `y` of every `x` of `xs` (at most [`MAX_XS`], each below `2^20`) to `ys`, with the blocks of the keystream made side by side.
#[inline(always)]
pub(crate) fn some_ys<V: Lanes>(token: V::Token, seed: &PosSeed, xs: &[u32], ys: &mut [u32]) {
    const BLOCK_BITS: u32 = 512;
    const BLOCK_WORDS: u32 = BLOCK_BITS / 32;
    let count = xs.len();
    let mut counters = [0; MAX_BLOCKS];
    // Where in the keystream the words with the beginning and the end of the slice are: block (by its place in `counters`) and word.
    let mut places = [[(0_u32, 0_u32); 2]; MAX_XS];
    let mut blocks = count;
    for (block, (&x, place)) in xs.iter().zip(&mut places).enumerate() {
        let bit = x * K;
        let word = bit % BLOCK_BITS / 32;
        counters[block] = bit / BLOCK_BITS;
        // Without a branch, which could not be predicted: an unneeded counter is overwritten.
        counters[blocks % MAX_BLOCKS] = bit / BLOCK_BITS + 1;
        let is_last = word == BLOCK_WORDS - 1;
        let end = if is_last {
            (blocks as u32, 0)
        } else {
            (block as u32, word + 1)
        };
        *place = [(block as u32, word), end];
        blocks += usize::from(is_last);
    }
    // Word by word, each with the blocks one after the other.
    let mut keystream = [[0; MAX_BLOCKS]; BLOCK_WORDS as usize];
    for at in (0..blocks).step_by(V::COUNT) {
        let words = chacha8_block(token, seed, V::load(token, &counters[at..]));
        for (target, words) in keystream.iter_mut().zip(words) {
            words.store(&mut target[at..]);
        }
    }
    for ((y, &x), place) in ys.iter_mut().zip(xs).zip(&places) {
        let [high, low] = place.map(|(block, word)| {
            u64::from(keystream[word as usize % 16][block as usize % MAX_BLOCKS].swap_bytes())
        });
        let slice = ((high << 32 | low) << (x * K % 32) >> (64 - K)) as u32;
        *y = join(slice, x);
    }
}

/// The 16 words of the blocks of these counters of the keystream of `seed`, with zero nonce.
#[inline(always)]
fn chacha8_block<V: Lanes>(token: V::Token, seed: &PosSeed, counters: V) -> [V; 16] {
    let splat = |word| V::splat(token, word);
    let mut start = [splat(0); 16];
    for (target, bytes) in start.iter_mut().zip(b"expand 32-byte k".as_chunks().0) {
        *target = splat(u32::from_le_bytes(*bytes));
    }
    for (target, bytes) in start[4..].iter_mut().zip(seed.as_bytes().as_chunks().0) {
        *target = splat(u32::from_le_bytes(*bytes));
    }
    start[12] = counters;
    let mut state = start;
    for _ in 0..4 {
        quarter(&mut state, [0, 4, 8, 12]);
        quarter(&mut state, [1, 5, 9, 13]);
        quarter(&mut state, [2, 6, 10, 14]);
        quarter(&mut state, [3, 7, 11, 15]);
        quarter(&mut state, [0, 5, 10, 15]);
        quarter(&mut state, [1, 6, 11, 12]);
        quarter(&mut state, [2, 7, 8, 13]);
        quarter(&mut state, [3, 4, 9, 14]);
    }
    for index in 0..16 {
        state[index] = state[index].add(start[index]);
    }
    state
}

#[inline(always)]
fn quarter<V: Lanes>(state: &mut [V; 16], [a, b, c, d]: [usize; 4]) {
    state[a] = state[a].add(state[b]);
    state[d] = state[d].xor(state[a]).rotr(16);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotr(20);
    state[a] = state[a].add(state[b]);
    state[d] = state[d].xor(state[a]).rotr(24);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotr(25);
}

/// The keystream slice on top, the six most significant bits of `x` below.
fn join(slice: u32, x: u32) -> u32 {
    (slice << 6) | (x >> (K - 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_values_and_ranges_agree() {
        let mut f1 = F1::new(&PosSeed::from([3; 32]));
        let mut range = F1::new(&PosSeed::from([3; 32]));
        for xs in [0..4098_u32, 1_000_000..1_003_000, (1 << 20) - 2..1 << 20, 6..6] {
            let mut expected = xs.start;
            range.for_each(xs.clone(), |x, y| {
                assert_eq!(x, expected);
                expected += 1;
                assert_eq!(y, f1.y(x), "x {x}");
                assert_eq!(y & 63, x >> 14);
            });
            assert_eq!(expected, xs.end);
        }
    }

    fn check_some<V: Lanes>(token: V::Token) {
        let seed = PosSeed::from([4; 32]);
        let mut f1 = F1::new(&seed);
        // The last ones all reach into the next block, so that most blocks are needed.
        for (first, step) in [(0, 1), (77, 4099), ((1 << 20) - 64, 1), (25, 128), (127, 16_256)] {
            for count in [0, 1, 17, MAX_XS] {
                let xs: Vec<_> = (0..count as u32)
                    .map(|index| (first + index * step) % (1 << 20))
                    .collect();
                let mut ys = vec![0; count];
                some_ys::<V>(token, &seed, &xs, &mut ys);
                let expected: Vec<_> = xs.iter().map(|&x| f1.y(x)).collect();
                assert_eq!(ys, expected, "{} lanes, {count} from {first}", V::COUNT);
            }
        }
    }

    #[test]
    fn some_values_are_those_of_all_instruction_sets() {
        check_some::<u32>(());
        #[cfg(target_arch = "x86_64")]
        {
            crate::lanes::Avx2::detect()
                .into_iter()
                .for_each(check_some::<crate::lanes::Avx2Lanes>);
            crate::lanes::Avx512::detect()
                .into_iter()
                .for_each(check_some::<crate::lanes::Avx512Lanes>);
        }
    }
}

//! Verification of a proof without any table, several entries at a time.

use crate::constants::{K, PARAM_B, PARAM_BC, PARAM_C, PARAM_M, challenge_prefix};
use crate::entry::entry;
use crate::f1::{MAX_XS, some_ys};
use crate::lanes::Lanes;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// `x` values of a proof.
const LEAVES: usize = 64;
/// Vectors may be read beyond the last entry, by one less than their lanes.
const PADDED: usize = LEAVES + 16;

/// Entries of one level of the tree: `y` and metadata (see [`entry`]).
///
/// Entry `i` of the `n` of a level stands where the bits of `i` read backwards say. So the left entries of all pairs are the first half,
/// the right ones the second half in the same order, and the entries made of them, written in that order, stand right as well.
struct Level {
    ys: [u32; PADDED],
    metadata: [[u32; PADDED]; 3],
}

/// The 64 `x` values of a proof in the order of [`Level`].
#[inline(always)]
fn leaves(proof: &PosProof) -> [u32; LEAVES] {
    const HALF: usize = LEAVES / 2;
    let mut xs = [0; LEAVES];
    for (index, pair) in proof.as_bytes().as_chunks::<5>().0.iter().enumerate() {
        let place = index.reverse_bits() >> (usize::BITS - HALF.trailing_zeros());
        let high = u32::from_be_bytes([pair[0], pair[1], pair[2], pair[3]]);
        xs[place] = high >> 12;
        xs[place + HALF] = ((high & 0xfff) << 8) | u32::from(pair[4]);
    }
    xs
}

/// Whether all `PAIRS` pairs match, by their remainders alone. Written without branches and look-ups, to be compiled to vectors.
#[inline(always)]
fn all_match<const PAIRS: usize>(ys: &[u32; PADDED]) -> bool {
    let mut mismatch = 0;
    for index in 0..PAIRS {
        let (left_y, right_y) = (ys[index], ys[PAIRS + index]);
        let parity = (left_y / PARAM_BC) & 1;
        let (left, right) = (left_y % PARAM_BC, right_y % PARAM_BC);
        let (left_row, right_row) = (left / PARAM_C, right / PARAM_C);
        let (left_column, right_column) = (left - left_row * PARAM_C, right - right_row * PARAM_C);
        let m = right_row.wrapping_sub(left_row);
        let m = m.min(m.wrapping_add(PARAM_B));
        let root = 2 * (m % PARAM_M) + parity;
        let column = (left_column + root * root) % PARAM_C;
        mismatch |= u32::from(m >= PARAM_M) | (column ^ right_column);
    }
    mismatch == 0
}

/// Replaces the entries of a level by the `PAIRS` ones of the level above.
#[inline(always)]
fn ascend<V: Lanes, const TABLE: u8, const PAIRS: usize>(token: V::Token, level: &mut Level) {
    for at in (0..PAIRS).step_by(V::COUNT) {
        let load = |words: &[u32; PADDED], at: usize| V::load(token, &words[at..]);
        let [a, b, c] = &level.metadata;
        let left_y = load(&level.ys, at);
        let left = [load(a, at), load(b, at), load(c, at)];
        let right = [load(a, PAIRS + at), load(b, PAIRS + at), load(c, PAIRS + at)];
        let (hash, metadata) = entry::<V, TABLE>(token, left_y, left, right);
        hash.shr(6).store(&mut level.ys[at..]);
        for (target, words) in level.metadata.iter_mut().zip(metadata) {
            words.store(&mut target[at..]);
        }
    }
}

/// Whether `proof` is a proof for `challenge_index` under `seed`; levels of at most 8 pairs are made with `N`.
///
/// Pairs are judged by their remainders only: an entry pair from buckets that are not neighbours is accepted, as the
/// network does.
#[inline(always)]
pub(crate) fn is_proof_valid<V: Lanes, N: Lanes>(
    token: V::Token,
    narrow: N::Token,
    seed: &PosSeed,
    challenge_index: u32,
    proof: &PosProof,
) -> bool {
    const { assert!(LEAVES <= MAX_XS && LEAVES as u32 * K == 8 * crate::constants::PROOF_BYTES as u32) };
    let xs = leaves(proof);
    let mut level = Level {
        ys: [0; PADDED],
        metadata: [[0; PADDED]; 3],
    };
    some_ys::<V>(token, seed, &xs, &mut level.ys[..LEAVES]);
    level.metadata[0][..LEAVES].copy_from_slice(&xs);

    if !all_match::<32>(&level.ys) {
        return false;
    }
    ascend::<V, 2, 32>(token, &mut level);
    if !all_match::<16>(&level.ys) {
        return false;
    }
    ascend::<V, 3, 16>(token, &mut level);
    if !all_match::<8>(&level.ys) {
        return false;
    }
    ascend::<N, 4, 8>(narrow, &mut level);
    if !all_match::<4>(&level.ys) {
        return false;
    }
    ascend::<N, 5, 4>(narrow, &mut level);
    if !all_match::<2>(&level.ys) {
        return false;
    }
    ascend::<N, 6, 2>(narrow, &mut level);
    if !all_match::<1>(&level.ys) {
        return false;
    }
    ascend::<N, 7, 1>(narrow, &mut level);
    level.ys[0] >> 6 == challenge_prefix(challenge_index)
}

#[cfg(test)]
pub(crate) mod tests;

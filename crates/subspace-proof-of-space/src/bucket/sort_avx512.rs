//! Sorting the keys of a bucket without branches: 256 keys in 16 vectors of AVX-512.
//!
//! Key number `16 * lane + vector` of the sorted order ends up in that lane of that vector. So the four low bits of a place choose
//! the vector, and comparing keys whose places differ in these bits takes no shuffle. Lanes are sorted first, by a network over the
//! vectors; then neighbouring runs are merged, which compares every key with its mirror image in the other run and then halves the
//! distance down to one.

use super::SORT_LIMIT;
use std::arch::x86_64::*;

/// The keys in vectors.
const VECTORS: usize = SORT_LIMIT / 16;
type Keys = [__m512i; VECTORS];

const _: () = assert!(VECTORS == 16);

/// Sorts keys; those beyond `len` count as largest.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn sort_keys(keys: &mut [u32; SORT_LIMIT], len: usize) {
    let mut vectors = [_mm512_setzero_si512(); VECTORS];
    for (index, (vector, words)) in vectors.iter_mut().zip(keys.as_chunks::<16>().0).enumerate() {
        let present = len.saturating_sub(16 * index).min(16) as u32;
        let mask = _bzhi_u32(0xffff, present) as __mmask16;
        // SAFETY: exactly the 64 bytes of `words` are read, of any alignment.
        *vector = unsafe { _mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), mask, words.as_ptr().cast()) };
    }
    sort_lanes(&mut vectors);

    mirror::<0xaaaa>(&mut vectors, |keys| _mm512_shuffle_epi32::<0b10_11_00_01>(keys));
    merge_vectors(&mut vectors);

    mirror::<0xcccc>(&mut vectors, |keys| _mm512_shuffle_epi32::<0b00_01_10_11>(keys));
    merge_1(&mut vectors);
    merge_vectors(&mut vectors);

    let flip_7 = _mm512_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    mirror::<0xf0f0>(&mut vectors, |keys| _mm512_permutexvar_epi32(flip_7, keys));
    merge_2(&mut vectors);
    merge_1(&mut vectors);
    merge_vectors(&mut vectors);

    let flip_15 = _mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    mirror::<0xff00>(&mut vectors, |keys| _mm512_permutexvar_epi32(flip_15, keys));
    exchange_lanes::<0xf0f0>(&mut vectors, |keys| {
        _mm512_shuffle_i32x4::<0b10_11_00_01>(keys, keys)
    });
    merge_2(&mut vectors);
    merge_1(&mut vectors);
    merge_vectors(&mut vectors);

    let vectors = transposed(vectors);
    for (words, vector) in keys.as_chunks_mut::<16>().0.iter_mut().zip(&vectors) {
        // SAFETY: exactly the 64 bytes of `words` are written, of any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), *vector) };
    }
}

/// Smaller keys to the first vector, larger ones to the second.
macro_rules! exchange {
    ($keys:ident, $(($first:expr, $second:expr)),* $(,)?) => {
        $(
            let (first, second) = ($keys[$first], $keys[$second]);
            $keys[$first] = _mm512_min_epu32(first, second);
            $keys[$second] = _mm512_max_epu32(first, second);
        )*
    };
}

/// Sorts every lane over the vectors: Batcher's network of 63 exchanges.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn sort_lanes(keys: &mut Keys) {
    exchange!(
        keys,
        (0, 1),
        (2, 3),
        (0, 2),
        (1, 3),
        (1, 2),
        (4, 5),
        (6, 7),
        (4, 6),
        (5, 7),
        (5, 6),
        (0, 4),
        (2, 6),
        (2, 4),
        (1, 5),
        (3, 7),
        (3, 5),
        (1, 2),
        (3, 4),
        (5, 6),
        (8, 9),
        (10, 11),
        (8, 10),
        (9, 11),
        (9, 10),
        (12, 13),
        (14, 15),
        (12, 14),
        (13, 15),
        (13, 14),
        (8, 12),
        (10, 14),
        (10, 12),
        (9, 13),
        (11, 15),
        (11, 13),
        (9, 10),
        (11, 12),
        (13, 14),
        (0, 8),
        (4, 12),
        (4, 8),
        (2, 10),
        (6, 14),
        (6, 10),
        (2, 4),
        (6, 8),
        (10, 12),
        (1, 9),
        (5, 13),
        (5, 9),
        (3, 11),
        (7, 15),
        (7, 11),
        (3, 5),
        (7, 9),
        (11, 13),
        (1, 2),
        (3, 4),
        (5, 6),
        (7, 8),
        (9, 10),
        (11, 12),
        (13, 14),
    );
}

/// The last four steps of every merge, at distances 8, 4, 2 and 1: between vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn merge_vectors(keys: &mut Keys) {
    exchange!(
        keys,
        (0, 8),
        (1, 9),
        (2, 10),
        (3, 11),
        (4, 12),
        (5, 13),
        (6, 14),
        (7, 15),
        (0, 4),
        (1, 5),
        (2, 6),
        (3, 7),
        (8, 12),
        (9, 13),
        (10, 14),
        (11, 15),
        (0, 2),
        (1, 3),
        (4, 6),
        (5, 7),
        (8, 10),
        (9, 11),
        (12, 14),
        (13, 15),
        (0, 1),
        (2, 3),
        (4, 5),
        (6, 7),
        (8, 9),
        (10, 11),
        (12, 13),
        (14, 15),
    );
}

/// The first step of a merge: every key with the one `partner` and the opposite vector say. Lanes of `LARGER` get the larger one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn mirror<const LARGER: u16>(keys: &mut Keys, partner: impl Fn(__m512i) -> __m512i) {
    for index in 0..VECTORS / 2 {
        let (first, second) = (keys[index], keys[VECTORS - 1 - index]);
        keys[index] = chosen::<LARGER>(first, partner(second));
        keys[VECTORS - 1 - index] = chosen::<LARGER>(second, partner(first));
    }
}

/// A later step between lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn exchange_lanes<const LARGER: u16>(keys: &mut Keys, partner: impl Fn(__m512i) -> __m512i) {
    for keys in keys {
        *keys = chosen::<LARGER>(*keys, partner(*keys));
    }
}

/// The step between lanes two apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn merge_2(keys: &mut Keys) {
    exchange_lanes::<0xcccc>(keys, |keys| _mm512_shuffle_epi32::<0b01_00_11_10>(keys));
}

/// The step between neighbouring lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn merge_1(keys: &mut Keys) {
    exchange_lanes::<0xaaaa>(keys, |keys| _mm512_shuffle_epi32::<0b10_11_00_01>(keys));
}

/// The larger key in the lanes of `LARGER`, the smaller one in the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn chosen<const LARGER: u16>(keys: __m512i, partners: __m512i) -> __m512i {
    _mm512_mask_max_epu32(_mm512_min_epu32(keys, partners), LARGER, keys, partners)
}

/// Lanes as vectors and vectors as lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn transposed(keys: Keys) -> Keys {
    let mut output = keys;
    for group in 0..4 {
        let (a, b, c, d) = (
            keys[4 * group],
            keys[4 * group + 1],
            keys[4 * group + 2],
            keys[4 * group + 3],
        );
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        // Quarter `q` of vector `i` holds lane `4 * q + i` of the group.
        output[4 * group] = _mm512_unpacklo_epi64(ab_low, cd_low);
        output[4 * group + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        output[4 * group + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        output[4 * group + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    let keys = output;
    for index in 0..4 {
        let (a, b, c, d) = (keys[index], keys[index + 4], keys[index + 8], keys[index + 12]);
        let (ab_even, ab_odd) = (
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        );
        let (cd_even, cd_odd) = (
            _mm512_shuffle_i32x4::<0x88>(c, d),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        );
        output[index] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        output[index + 4] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        output[index + 8] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        output[index + 12] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Avx512;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_sorted(
            mut keys in prop::collection::vec(prop_oneof![any::<u32>(), 0..9_u32, Just(u32::MAX)], SORT_LIMIT),
            len in 0..=SORT_LIMIT,
        ) {
            if Avx512::detect().is_none() {
                return Ok(());
            }
            let mut sorted: [u32; SORT_LIMIT] = keys.clone().try_into().unwrap();
            // SAFETY: the processor was asked.
            unsafe { sort_keys(&mut sorted, len) };
            keys[..len].sort_unstable();
            prop_assert_eq!(&sorted[..len], &keys[..len]);
            prop_assert!(sorted[len..].iter().all(|&key| key == u32::MAX));
        }
    }
}

//! From scalars and encoded scalars in memory to lanes and back.
//!
//! Memory has element after element, lanes have word after word of eight elements.

use super::fr8::{Fr8, canonical_lanes};
use crate::Scalar;
use std::arch::x86_64::{
    __m512i, _mm512_and_si512, _mm512_loadu_si512, _mm512_or_si512, _mm512_permutex2var_epi64,
    _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shrdi_epi64, _mm512_shuffle_epi8,
    _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64,
};

/// Elements of a vector.
pub(super) const LANES: usize = 8;

/// Eight elements of 32 bytes.
type Bytes = [u8; LANES * Scalar::BYTES];

const LIMB_MASK: i64 = (1 << 52) - 1;

#[inline]
fn bytes(scalars: &[Scalar; LANES]) -> &Bytes {
    const { assert!(size_of::<[Scalar; LANES]>() == size_of::<Bytes>()) };
    // SAFETY: a scalar is a transparent wrapper of four u64: the sizes are equal, there is no padding, and bytes need no
    // alignment.
    unsafe { &*std::ptr::from_ref(scalars).cast() }
}

#[inline]
fn bytes_mut(scalars: &mut [Scalar; LANES]) -> &mut Bytes {
    // SAFETY: as in `bytes`; any bytes make a scalar in memory, and callers write numbers below the modulus.
    unsafe { &mut *std::ptr::from_mut(scalars).cast() }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &Bytes) -> [__m512i; 4] {
    // SAFETY: the array has 256 bytes, four unaligned loads of 64 bytes.
    unsafe {
        let start = bytes.as_ptr();
        [0, 64, 128, 192].map(|offset| _mm512_loadu_si512(start.add(offset).cast()))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_bytes(bytes: &mut Bytes, vectors: [__m512i; 4]) {
    let start = bytes.as_mut_ptr();
    for (index, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the array has 256 bytes, four unaligned stores of 64 bytes.
        unsafe { _mm512_storeu_si512(start.add(64 * index).cast(), vector) };
    }
}

/// Elements from `a` (0 to 7) and `b` (8 to 15) in the order of `INDEXES`.
macro_rules! pick {
    ($a:expr, $b:expr, $i0:literal $i1:literal $i2:literal $i3:literal $i4:literal $i5:literal $i6:literal $i7:literal) => {
        _mm512_permutex2var_epi64($a, _mm512_set_epi64($i7, $i6, $i5, $i4, $i3, $i2, $i1, $i0), $b)
    };
}

/// Elements side by side to words side by side, elements in order.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(vectors: [__m512i; 4]) -> [__m512i; 4] {
    let [v0, v1, v2, v3] = vectors;
    let low = [pick!(v0, v1, 0 4 8 12 1 5 9 13), pick!(v2, v3, 0 4 8 12 1 5 9 13)];
    let high = [
        pick!(v0, v1, 2 6 10 14 3 7 11 15),
        pick!(v2, v3, 2 6 10 14 3 7 11 15),
    ];
    [
        _mm512_shuffle_i64x2::<0x44>(low[0], low[1]),
        _mm512_shuffle_i64x2::<0xee>(low[0], low[1]),
        _mm512_shuffle_i64x2::<0x44>(high[0], high[1]),
        _mm512_shuffle_i64x2::<0xee>(high[0], high[1]),
    ]
}

/// As [`words`], elements in bit-reversed order: 0 4 2 6 1 5 3 7.
#[inline]
#[target_feature(enable = "avx512f")]
fn words_bit_reversed(vectors: [__m512i; 4]) -> [__m512i; 4] {
    let [v0, v1, v2, v3] = vectors;
    let low = [pick!(v0, v2, 0 8 4 12 1 9 5 13), pick!(v1, v3, 0 8 4 12 1 9 5 13)];
    let high = [
        pick!(v0, v2, 2 10 6 14 3 11 7 15),
        pick!(v1, v3, 2 10 6 14 3 11 7 15),
    ];
    [
        pick!(low[0], low[1], 0 1 8 9 2 3 10 11),
        pick!(low[0], low[1], 4 5 12 13 6 7 14 15),
        pick!(high[0], high[1], 0 1 8 9 2 3 10 11),
        pick!(high[0], high[1], 4 5 12 13 6 7 14 15),
    ]
}

/// The inverse of [`words`].
#[inline]
#[target_feature(enable = "avx512f")]
fn elements(words: [__m512i; 4]) -> [__m512i; 4] {
    let [w0, w1, w2, w3] = words;
    let first = [pick!(w0, w1, 0 8 1 9 2 10 3 11), pick!(w2, w3, 0 8 1 9 2 10 3 11)];
    let second = [
        pick!(w0, w1, 4 12 5 13 6 14 7 15),
        pick!(w2, w3, 4 12 5 13 6 14 7 15),
    ];
    [
        pick!(first[0], first[1], 0 1 8 9 2 3 10 11),
        pick!(first[0], first[1], 4 5 12 13 6 7 14 15),
        pick!(second[0], second[1], 0 1 8 9 2 3 10 11),
        pick!(second[0], second[1], 4 5 12 13 6 7 14 15),
    ]
}

/// Words of 64 bits to limbs of 52.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
fn limbs(words: [__m512i; 4]) -> Fr8 {
    let [w0, w1, w2, w3] = words;
    let mask = _mm512_set1_epi64(LIMB_MASK);
    Fr8([
        _mm512_and_si512(w0, mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<52>(w0, w1), mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<40>(w1, w2), mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<28>(w2, w3), mask),
        _mm512_srli_epi64::<16>(w3),
    ])
}

/// Limbs of sixteen times the number.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
fn limbs_times_16(words: [__m512i; 4]) -> Fr8 {
    let [w0, w1, w2, w3] = words;
    let mask = _mm512_set1_epi64(LIMB_MASK);
    Fr8([
        _mm512_and_si512(_mm512_slli_epi64::<4>(w0), mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<48>(w0, w1), mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<36>(w1, w2), mask),
        _mm512_and_si512(_mm512_shrdi_epi64::<24>(w2, w3), mask),
        _mm512_srli_epi64::<12>(w3),
    ])
}

/// The inverse of [`limbs`], for canonical numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn join(a: &Fr8) -> [__m512i; 4] {
    let [l0, l1, l2, l3, l4] = a.0;
    [
        _mm512_or_si512(l0, _mm512_slli_epi64::<52>(l1)),
        _mm512_or_si512(_mm512_srli_epi64::<12>(l1), _mm512_slli_epi64::<40>(l2)),
        _mm512_or_si512(_mm512_srli_epi64::<24>(l2), _mm512_slli_epi64::<28>(l3)),
        _mm512_or_si512(_mm512_srli_epi64::<36>(l3), _mm512_slli_epi64::<16>(l4)),
    ]
}

/// Eight scalars as they are in memory: a number times 2^256, below the modulus.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
pub(super) fn load(scalars: &[Scalar; LANES]) -> Fr8 {
    limbs(words(load_bytes(bytes(scalars))))
}

/// As [`load`], in the order 0 4 2 6 1 5 3 7.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
pub(super) fn load_bit_reversed(scalars: &[Scalar; LANES]) -> Fr8 {
    limbs(words_bit_reversed(load_bytes(bytes(scalars))))
}

/// Eight scalars as a number times 2^260, below `16 r`: as factor it keeps the form of the other factor.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
pub(super) fn load_factor(scalars: &[Scalar; LANES]) -> Fr8 {
    limbs_times_16(words(load_bytes(bytes(scalars))))
}

/// The inverse of [`load`]; takes canonical numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(scalars: &mut [Scalar; LANES], a: &Fr8) {
    store_bytes(bytes_mut(scalars), elements(join(a)));
}

/// Reverses the bytes of every word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn reverse_words(vector: __m512i) -> __m512i {
    let low = 0x0001_0203_0405_0607;
    let high = 0x0809_0a0b_0c0d_0e0f;
    _mm512_shuffle_epi8(
        vector,
        _mm512_set_epi64(high, low, high, low, high, low, high, low),
    )
}

/// Eight encoded scalars as plain numbers (big-endian); `None` when one is not canonical.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
pub(super) fn load_encoded(chunks: &[[u8; 32]; LANES]) -> Option<Fr8> {
    let bytes = chunks.as_flattened().first_chunk()?;
    let [w3, w2, w1, w0] = words(load_bytes(bytes).map(|vector| reverse_words(vector)));
    let numbers = limbs([w0, w1, w2, w3]);
    (canonical_lanes(&numbers) == 0xff).then_some(numbers)
}

/// The inverse of [`load_encoded`]; takes canonical numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store_encoded(chunks: &mut [[u8; 32]; LANES], a: &Fr8) {
    let [w0, w1, w2, w3] = join(a);
    let vectors = elements([w3, w2, w1, w0]).map(|vector| reverse_words(vector));
    if let Some(bytes) = chunks.as_flattened_mut().first_chunk_mut() {
        store_bytes(bytes, vectors);
    }
}

/// Exchanges lanes and vectors: lane `j` of vector `i` becomes lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(block: &mut [Fr8; LANES]) {
    for limb in 0..5 {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, vector) in rows.iter_mut().zip(&*block) {
            *row = vector.0[limb];
        }
        for i in 0..4 {
            let (a, b) = (rows[i], rows[i + 4]);
            rows[i] = _mm512_shuffle_i64x2::<0x44>(a, b);
            rows[i + 4] = _mm512_shuffle_i64x2::<0xee>(a, b);
        }
        for i in [0, 1, 4, 5] {
            let (a, b) = (rows[i], rows[i + 2]);
            rows[i] = pick!(a, b, 0 1 8 9 4 5 12 13);
            rows[i + 2] = pick!(a, b, 2 3 10 11 6 7 14 15);
        }
        for i in [0, 2, 4, 6] {
            let (a, b) = (rows[i], rows[i + 1]);
            rows[i] = _mm512_unpacklo_epi64(a, b);
            rows[i + 1] = _mm512_unpackhi_epi64(a, b);
        }
        for (row, vector) in rows.iter().zip(&mut *block) {
            vector.0[limb] = *row;
        }
    }
}

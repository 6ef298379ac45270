//! From scalars and encoded scalars in memory to lanes and back.
//!
//! Memory has element after element, lanes have limb after limb of four elements.

use super::fr4::{self, Fr4, LIMBS, canonical_lanes};
use crate::Scalar;
use std::arch::x86_64::*;

/// Elements of a vector.
pub(super) const LANES: usize = 4;

/// Bits of 2^52 as a floating-point number: with a smaller whole number in the low bits it is their sum.
const WHOLE: i64 = 0x4330_0000_0000_0000;

/// Exchanges rows and columns of four by four 64-bit numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exchanged([r0, r1, r2, r3]: [__m256i; 4]) -> [__m256i; 4] {
    let (even0, odd0) = (_mm256_unpacklo_epi64(r0, r1), _mm256_unpackhi_epi64(r0, r1));
    let (even1, odd1) = (_mm256_unpacklo_epi64(r2, r3), _mm256_unpackhi_epi64(r2, r3));
    [
        _mm256_permute2x128_si256::<0x20>(even0, even1),
        _mm256_permute2x128_si256::<0x20>(odd0, odd1),
        _mm256_permute2x128_si256::<0x31>(even0, even1),
        _mm256_permute2x128_si256::<0x31>(odd0, odd1),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: these are the 32 bytes of an unaligned load.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_bytes(bytes: &mut [u8; 32], vector: __m256i) {
    // SAFETY: these are the 32 bytes of an unaligned store.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_scalar(scalar: &Scalar) -> __m256i {
    const { assert!(size_of::<Scalar>() == 32) };
    // SAFETY: a scalar is 32 bytes without padding.
    unsafe { _mm256_loadu_si256(std::ptr::from_ref(scalar).cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_scalar(scalar: &mut Scalar, vector: __m256i) {
    // SAFETY: a scalar is 32 bytes, and callers write numbers below the modulus.
    unsafe { _mm256_storeu_si256(std::ptr::from_mut(scalar).cast(), vector) };
}

/// Whole numbers below 2^52 to floating-point numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_float(number: __m256i) -> __m256d {
    let whole = _mm256_set1_epi64x(WHOLE);
    _mm256_sub_pd(
        _mm256_castsi256_pd(_mm256_or_si256(number, whole)),
        _mm256_castsi256_pd(whole),
    )
}

/// The inverse of [`to_float`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_whole(number: __m256d) -> __m256i {
    let whole = _mm256_set1_epi64x(WHOLE);
    let sum = _mm256_add_pd(number, _mm256_castsi256_pd(whole));
    _mm256_xor_si256(_mm256_castpd_si256(sum), whole)
}

/// `high` and `low` side by side, shifted so that `low` loses its `RIGHT` lowest bits.
macro_rules! join {
    ($low:expr, $right:literal, $high:expr, $left:literal) => {
        _mm256_or_si256(
            _mm256_srli_epi64::<$right>($low),
            _mm256_slli_epi64::<$left>($high),
        )
    };
}

/// Words of 64 bits to limbs of 43, from 0 to `2^43 - 1`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn limbs([w0, w1, w2, w3]: [__m256i; 4]) -> Fr4 {
    let mask = _mm256_set1_epi64x((1 << 43) - 1);
    let limb = |bits| to_float(_mm256_and_si256(bits, mask));
    [
        limb(w0),
        limb(join!(w0, 43, w1, 21)),
        limb(join!(w1, 22, w2, 42)),
        limb(_mm256_srli_epi64::<1>(w2)),
        limb(join!(w2, 44, w3, 20)),
        to_float(_mm256_srli_epi64::<23>(w3)),
    ]
}

/// The inverse of [`limbs`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn words(digits: &Fr4) -> [__m256i; 4] {
    let [l0, l1, l2, l3, l4, l5] = [
        to_whole(digits[0]),
        to_whole(digits[1]),
        to_whole(digits[2]),
        to_whole(digits[3]),
        to_whole(digits[4]),
        to_whole(digits[5]),
    ];
    [
        _mm256_or_si256(l0, _mm256_slli_epi64::<43>(l1)),
        join!(l1, 21, l2, 22),
        _mm256_or_si256(join!(l2, 42, l3, 1), _mm256_slli_epi64::<44>(l4)),
        join!(l4, 20, l5, 23),
    ]
}

/// Four scalars as they are in memory: data of a number times 2^256.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load([s0, s1, s2, s3]: &[Scalar; LANES]) -> Fr4 {
    limbs(exchanged([
        load_scalar(s0),
        load_scalar(s1),
        load_scalar(s2),
        load_scalar(s3),
    ]))
}

/// As [`load`], in the order 0 2 1 3.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load_bit_reversed([s0, s1, s2, s3]: &[Scalar; LANES]) -> Fr4 {
    limbs(exchanged([
        load_scalar(s0),
        load_scalar(s2),
        load_scalar(s1),
        load_scalar(s3),
    ]))
}

/// The inverse of [`load`]; takes canonical numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store(scalars: &mut [Scalar; LANES], a: &Fr4) {
    let vectors = exchanged(words(a));
    for (scalar, vector) in scalars.iter_mut().zip(vectors) {
        store_scalar(scalar, vector);
    }
}

/// Reverses the bytes of a number.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reversed(number: __m256i) -> __m256i {
    let order = _mm256_set_epi64x(
        0x0001_0203_0405_0607,
        0x0809_0a0b_0c0d_0e0f,
        0x0001_0203_0405_0607,
        0x0809_0a0b_0c0d_0e0f,
    );
    _mm256_permute2x128_si256::<0x01>(_mm256_shuffle_epi8(number, order), number)
}

/// Four encoded scalars as plain numbers (big-endian) in digits; `None` when one is not canonical.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load_encoded([c0, c1, c2, c3]: &[[u8; 32]; LANES]) -> Option<Fr4> {
    let numbers = limbs(exchanged([
        reversed(load_bytes(c0)),
        reversed(load_bytes(c1)),
        reversed(load_bytes(c2)),
        reversed(load_bytes(c3)),
    ]));
    (canonical_lanes(&numbers) == 0xf).then_some(numbers)
}

/// The inverse of [`load_encoded`]; takes canonical numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store_encoded(chunks: &mut [[u8; 32]; LANES], a: &Fr4) {
    let vectors = exchanged(words(a));
    for (chunk, vector) in chunks.iter_mut().zip(vectors) {
        store_bytes(chunk, reversed(vector));
    }
}

/// Exchanges lanes and vectors: lane `j` of vector `i` becomes lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn transpose(block: &mut [Fr4; LANES]) {
    for limb in 0..LIMBS {
        let rows = [block[0][limb], block[1][limb], block[2][limb], block[3][limb]];
        let [r0, r1, r2, r3] = rows;
        let columns = exchanged([
            _mm256_castpd_si256(r0),
            _mm256_castpd_si256(r1),
            _mm256_castpd_si256(r2),
            _mm256_castpd_si256(r3),
        ]);
        for (vector, column) in block.iter_mut().zip(columns) {
            vector[limb] = _mm256_castsi256_pd(column);
        }
    }
}

/// Four scalars as factors: times 2^258, carried and `r / 2`.
pub(super) fn factors(scalars: &[Scalar; LANES]) -> Fr4 {
    let limbs = scalars.map(super::factor);
    let lanes: [[f64; LANES]; LIMBS] =
        std::array::from_fn(|limb| std::array::from_fn(|lane| limbs[lane][limb]));
    fr4::from_lanes(lanes)
}

//! Eight scalars at a time in radix 2^52: one element a lane, five limbs, Montgomery factor 2^260.
//!
//! `35 r < 2^260`, and the reduction of a product of numbers below `2^260` and `r` stays below `2 r`. So sums need no
//! reduction for a while, and multiplications take what the sums left: every function says what it takes and gives in
//! multiples of `r`. Limbs are signed and may exceed 52 bits until [`normalize`].

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_cmplt_epi64_mask, _mm512_madd52hi_epu64,
    _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_srai_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
};

/// Bits of a limb.
const BITS: u32 = 52;
const MASK: u64 = (1 << BITS) - 1;

/// The modulus.
const MODULUS: [u64; 5] = split([
    0xffff_ffff_0000_0001,
    0x53bd_a402_fffe_5bfe,
    0x3339_d808_09a1_d805,
    0x73ed_a753_299d_7d48,
]);

/// `floor(2^300 / r)`: 40 bits more than the quotient needs, so that an estimate is off by one at most.
const RECIPROCAL: u64 = 0x2355_094e_dfed;

/// Words of 64 bits to limbs.
pub(super) const fn split(number: [u64; 4]) -> [u64; 5] {
    let [w0, w1, w2, w3] = number;
    [
        w0 & MASK,
        (w0 >> 52 | w1 << 12) & MASK,
        (w1 >> 40 | w2 << 24) & MASK,
        (w2 >> 28 | w3 << 36) & MASK,
        w3 >> 16,
    ]
}

/// `-1 / r` modulo 2^52; `r` ends in `1 - 2^32`.
const NEGATIVE_INVERSE: u64 = (1_u64 + (1 << 32)).wrapping_neg() & MASK;

/// Eight numbers below 2^260, limb by limb.
#[derive(Debug, Copy, Clone)]
#[repr(transparent)]
pub(super) struct Fr8(pub(super) [__m512i; 5]);

impl Fr8 {
    /// Every lane zero.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); 5])
    }

    /// The same number in every lane.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat(limbs: &[u64; 5]) -> Self {
        Self([
            _mm512_set1_epi64(limbs[0] as i64),
            _mm512_set1_epi64(limbs[1] as i64),
            _mm512_set1_epi64(limbs[2] as i64),
            _mm512_set1_epi64(limbs[3] as i64),
            _mm512_set1_epi64(limbs[4] as i64),
        ])
    }
}

/// `multiple * r` in limbs that need not be normal: they only are added to others.
#[inline]
#[target_feature(enable = "avx512f")]
fn modulus_times(multiple: u64) -> Fr8 {
    Fr8::splat(&MODULUS.map(|limb| limb * multiple))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add(a: &Fr8, b: &Fr8) -> Fr8 {
    let mut sum = *a;
    for (limb, other) in sum.0.iter_mut().zip(b.0) {
        *limb = _mm512_add_epi64(*limb, other);
    }
    sum
}

/// `a - b + multiple * r`, for `b` up to `multiple * r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn sub(a: &Fr8, b: &Fr8, multiple: u64) -> Fr8 {
    let mut difference = add(a, &modulus_times(multiple));
    for (limb, other) in difference.0.iter_mut().zip(b.0) {
        *limb = _mm512_sub_epi64(*limb, other);
    }
    difference
}

/// Brings all limbs to 52 bits, the form that multiplication and reduction take. The number must be in `0 .. 2^260`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn normalize(a: &Fr8) -> Fr8 {
    let mask = _mm512_set1_epi64(MASK as i64);
    let mut normal = *a;
    for limb in 0..4 {
        let carry = _mm512_srai_epi64::<BITS>(normal.0[limb]);
        normal.0[limb] = _mm512_and_si512(normal.0[limb], mask);
        normal.0[limb + 1] = _mm512_add_epi64(normal.0[limb + 1], carry);
    }
    normal
}

/// `a * b / 2^260 + r` at most, congruent to `a * b / 2^260`: below `2 r` for any normal `a` and `b` below `r`. Takes normal
/// limbs, gives limbs of 57 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(a: &Fr8, b: &Fr8) -> Fr8 {
    let [product] = products([a], [b]);
    product
}

/// Independent products as [`mul`] makes them, step by step side by side: one alone mostly waits for its own results.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn products<const N: usize>(a: [&Fr8; N], b: [&Fr8; N]) -> [Fr8; N] {
    let modulus = Fr8::splat(&MODULUS);
    let negative_inverse = _mm512_set1_epi64(NEGATIVE_INVERSE as i64);
    let zero = _mm512_setzero_si512();
    let mut sums = [[zero; 6]; N];
    for limb in 0..5 {
        let mut quotients = [zero; N];
        for (n, sums) in sums.iter_mut().enumerate() {
            for (sum, a) in sums.iter_mut().zip(a[n].0) {
                *sum = _mm512_madd52lo_epu64(*sum, a, b[n].0[limb]);
            }
            quotients[n] = _mm512_madd52lo_epu64(zero, sums[0], negative_inverse);
        }
        for (sums, quotient) in sums.iter_mut().zip(quotients) {
            for (sum, modulus) in sums.iter_mut().zip(modulus.0) {
                *sum = _mm512_madd52lo_epu64(*sum, quotient, modulus);
            }
        }
        for (n, sums) in sums.iter_mut().enumerate() {
            // The lowest 52 bits are zero now.
            let carry = _mm512_srli_epi64::<BITS>(sums[0]);
            sums[1] = _mm512_add_epi64(sums[1], carry);
            for column in 0..5 {
                let sum = _mm512_madd52hi_epu64(sums[column + 1], a[n].0[column], b[n].0[limb]);
                sums[column] = _mm512_madd52hi_epu64(sum, quotients[n], modulus.0[column]);
            }
        }
    }
    sums.map(|[l0, l1, l2, l3, l4, _]| Fr8([l0, l1, l2, l3, l4]))
}

/// The same number modulo `r`, below `2 r` and normal. Takes any normal number.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn reduce(a: &Fr8) -> Fr8 {
    let zero = _mm512_setzero_si512();
    let estimate = _mm512_madd52hi_epu64(zero, a.0[4], _mm512_set1_epi64(RECIPROCAL as i64));
    let quotient = _mm512_srli_epi64::<40>(estimate);
    let modulus = Fr8::splat(&MODULUS);
    let mut product = Fr8::zero();
    for limb in 0..5 {
        product.0[limb] = _mm512_madd52lo_epu64(product.0[limb], quotient, modulus.0[limb]);
        if limb < 4 {
            product.0[limb + 1] = _mm512_madd52hi_epu64(zero, quotient, modulus.0[limb]);
        }
    }
    normalize(&sub(a, &product, 0))
}

/// Lanes of a normal number that are below `r`, and the difference to `r`.
#[inline]
#[target_feature(enable = "avx512f")]
fn compare(a: &Fr8) -> (u8, Fr8) {
    let difference = normalize(&sub(a, &Fr8::splat(&MODULUS), 0));
    (
        _mm512_cmplt_epi64_mask(difference.0[4], _mm512_setzero_si512()),
        difference,
    )
}

/// Lanes of a normal number that are below `r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn canonical_lanes(a: &Fr8) -> u8 {
    compare(a).0
}

/// The number below `r`. Takes a normal number below `2 r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn canonical(a: &Fr8) -> Fr8 {
    let (below, difference) = compare(a);
    let mut result = *a;
    for (limb, difference) in result.0.iter_mut().zip(difference.0) {
        *limb = _mm512_mask_blend_epi64(below, difference, *limb);
    }
    result
}

/// Butterfly in time: `(a + b * factor, a - b * factor)`, both `2 r` above `a` at most. Takes `b` with any limbs.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn butterfly(a: &mut Fr8, b: &mut Fr8, factor: &Fr8) {
    let product = mul(&normalize(b), factor);
    *b = sub(a, &product, 2);
    *a = add(a, &product);
}

/// Two independent butterflies.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn butterflies(a: [&mut Fr8; 2], b: [&mut Fr8; 2], factors: [&Fr8; 2]) {
    let normal = [normalize(b[0]), normalize(b[1])];
    let products = products([&normal[0], &normal[1]], factors);
    for ((a, b), product) in a.into_iter().zip(b).zip(&products) {
        *b = sub(a, product, 2);
        *a = add(a, product);
    }
}

/// Butterfly with factor one, for `b` up to `multiple * r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn plain_butterfly(a: &mut Fr8, b: &mut Fr8, multiple: u64) {
    let difference = sub(a, b, multiple);
    *a = add(a, b);
    *b = difference;
}

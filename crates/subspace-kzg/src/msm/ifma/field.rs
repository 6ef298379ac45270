//! Arithmetic modulo the prime `p` of the curve on eight numbers at once, with the 52-bit multiplier of AVX-512.
//!
//! A number is in Montgomery form for the radix 2^416, in eight limbs of 52 bits, the sign in the top limb. 35 bits are to
//! spare, so nothing is reduced but by multiplication: `a * b` is below 1.001 p for factors below 256 p, and sums and
//! differences keep whatever size comes out. Factors have to be *carried*: not negative, every limb below 2^52.

use super::super::instructions::LANES;
use crate::batch_affine;
use blst::blst_fp;
use std::arch::x86_64::*;
use std::mem;

pub(super) const LIMBS: usize = 8;
const LIMB_BITS: u32 = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

/// The prime in 64-bit words.
const MODULUS: [u64; 6] = [
    0xb9fe_ffff_ffff_aaab,
    0x1eab_fffe_b153_ffff,
    0x6730_d2a0_f6b0_f624,
    0x6477_4b84_f385_12bf,
    0x4b1b_a7b6_434b_acd7,
    0x1a01_11ea_397f_e69a,
];

const P: [u64; LIMBS] = to_limbs(&MODULUS);

/// `-1/p` modulo 2^52.
const NEGATIVE_INVERSE: u64 = 0x3_fffc_fffc_fffd;

/// 2^416 modulo p in 64-bit words: the number one here; in the library's form (radix 2^384) it is 2^32.
const RADIX: blst_fp = blst_fp {
    l: [
        0x44f6_480e_a8e9_b9af,
        0xa96f_7d65_766c_8fe4,
        0xe82e_fd42_28b5_40fe,
        0x6723_e5f0_ade5_3b2e,
        0x25ff_6eb6_fdd4_230a,
        0x14c8_ee06_ef23_c24a,
    ],
};

/// 2^352: in the library's form it is 2^-32.
const INVERSE_SHIFT: blst_fp = blst_fp {
    l: [0, 0, 0, 0, 0, 1 << 32],
};

/// 2^448 modulo p: in the library's form it is 2^64.
const DOUBLE_SHIFT: blst_fp = blst_fp {
    l: [
        0x42b7_fde3_7dba_9366,
        0x7784_894e_2752_5bc3,
        0xb2b9_1b9d_c1f5_b1e9,
        0x206f_497d_fcaf_b872,
        0x5941_37cc_89a9_b0bb,
        0x0411_cd9d_20d7_e399,
    ],
};

/// A number in the library's form as canonical 64-bit words of the form here.
pub(super) fn to_words(number: &blst_fp) -> [u64; 6] {
    batch_affine::mul(number, &RADIX).l
}

/// Back from [`to_words`].
pub(super) fn from_words(words: [u64; 6]) -> blst_fp {
    batch_affine::mul(&blst_fp { l: words }, &INVERSE_SHIFT)
}

/// Bits `52 i ..` of a number in 64-bit words.
pub(super) const fn to_limbs(words: &[u64; 6]) -> [u64; LIMBS] {
    let mut limbs = [0; LIMBS];
    let mut index = 0;
    while index < LIMBS {
        let bit = LIMB_BITS as usize * index;
        let (word, shift) = (bit / 64, bit % 64);
        let mut limb = words[word] >> shift;
        if shift > 64 - LIMB_BITS as usize && word + 1 < 6 {
            limb |= words[word + 1] << (64 - shift);
        }
        limbs[index] = limb & LIMB_MASK;
        index += 1;
    }
    limbs
}

const fn p_shifted(bits: u32) -> [u64; LIMBS] {
    let mut limbs = [0; LIMBS];
    let mut carry = 0;
    let mut index = 0;
    while index < LIMBS {
        let sum = (P[index] << bits) + carry;
        limbs[index] = if index == LIMBS - 1 { sum } else { sum & LIMB_MASK };
        carry = sum >> LIMB_BITS;
        index += 1;
    }
    limbs
}

const P_64: [u64; LIMBS] = p_shifted(6);
const P_128: [u64; LIMBS] = p_shifted(7);

/// Eight numbers, limb by limb.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub(in crate::msm) struct Fp8([__m512i; LIMBS]);

impl Fp8 {
    /// Ones.
    pub(super) const ONE: Self = Self::splat(&to_limbs(&RADIX.l));

    pub(super) const ZERO: Self = Self::splat(&[0; LIMBS]);

    const fn splat(limbs: &[u64; LIMBS]) -> Self {
        let mut all = [[0; LANES]; LIMBS];
        let mut index = 0;
        while index < LIMBS {
            all[index] = [limbs[index]; LANES];
            index += 1;
        }
        Self::from_limbs(all)
    }

    const fn from_limbs(limbs: [[u64; LANES]; LIMBS]) -> Self {
        // SAFETY: both types are 512 bytes of which every bit pattern is valid.
        Self(unsafe { mem::transmute::<[[u64; LANES]; LIMBS], [__m512i; LIMBS]>(limbs) })
    }

    const fn limbs(&self) -> [[u64; LANES]; LIMBS] {
        // SAFETY: both types are 512 bytes of which every bit pattern is valid.
        unsafe { mem::transmute::<[__m512i; LIMBS], [[u64; LANES]; LIMBS]>(self.0) }
    }

    /// Canonical numbers of [`to_words`], word by word.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn from_words(words: &[__m512i; 6]) -> Self {
        let mask = _mm512_set1_epi64(LIMB_MASK as i64);
        let [w0, w1, w2, w3, w4, w5] = *words;
        // (low | high) & mask
        let join = |low, high| _mm512_ternarylogic_epi64::<0xa8>(low, high, mask);
        Self([
            _mm512_and_si512(w0, mask),
            join(_mm512_srli_epi64::<52>(w0), _mm512_slli_epi64::<12>(w1)),
            join(_mm512_srli_epi64::<40>(w1), _mm512_slli_epi64::<24>(w2)),
            join(_mm512_srli_epi64::<28>(w2), _mm512_slli_epi64::<36>(w3)),
            join(_mm512_srli_epi64::<16>(w3), _mm512_slli_epi64::<48>(w4)),
            _mm512_and_si512(_mm512_srli_epi64::<4>(w4), mask),
            join(_mm512_srli_epi64::<56>(w4), _mm512_slli_epi64::<8>(w5)),
            _mm512_srli_epi64::<44>(w5),
        ])
    }

    /// Words of canonical numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn to_words(self) -> [__m512i; 6] {
        let [l0, l1, l2, l3, l4, l5, l6, l7] = self.canonical().0;
        [
            _mm512_or_si512(l0, _mm512_slli_epi64::<52>(l1)),
            _mm512_or_si512(_mm512_srli_epi64::<12>(l1), _mm512_slli_epi64::<40>(l2)),
            _mm512_or_si512(_mm512_srli_epi64::<24>(l2), _mm512_slli_epi64::<28>(l3)),
            _mm512_or_si512(_mm512_srli_epi64::<36>(l3), _mm512_slli_epi64::<16>(l4)),
            _mm512_or_si512(
                _mm512_srli_epi64::<48>(l4),
                _mm512_or_si512(_mm512_slli_epi64::<4>(l5), _mm512_slli_epi64::<56>(l6)),
            ),
            _mm512_or_si512(_mm512_srli_epi64::<8>(l6), _mm512_slli_epi64::<44>(l7)),
        ]
    }

    /// The same numbers between 0 and p - 1; above -64 p before.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn canonical(self) -> Self {
        let reduced = self.plus_constant(&P_64).carried().times(&Self::ONE);
        let mut less = reduced;
        for (limb, p) in less.0.iter_mut().zip(&P) {
            *limb = _mm512_sub_epi64(*limb, _mm512_set1_epi64(*p as i64));
        }
        let less = less.carried();
        let negative = _mm512_cmplt_epi64_mask(less.0[LIMBS - 1], _mm512_setzero_si512());
        Self::select(negative, &less, &reduced)
    }

    /// Moves what limbs have above 52 bits (or owe) to the next limb; the top limb keeps it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn carried(self) -> Self {
        let mask = _mm512_set1_epi64(LIMB_MASK as i64);
        let mut limbs = self.0;
        for index in 0..LIMBS - 1 {
            let carry = _mm512_srai_epi64::<LIMB_BITS>(limbs[index]);
            limbs[index] = _mm512_and_si512(limbs[index], mask);
            limbs[index + 1] = _mm512_add_epi64(limbs[index + 1], carry);
        }
        Self(limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn plus_constant(mut self, constant: &[u64; LIMBS]) -> Self {
        for (limb, constant) in self.0.iter_mut().zip(constant) {
            *limb = _mm512_add_epi64(*limb, _mm512_set1_epi64(*constant as i64));
        }
        self
    }

    /// `self - other`, limb by limb: no factor.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn minus(mut self, other: &Self) -> Self {
        for (limb, other) in self.0.iter_mut().zip(&other.0) {
            *limb = _mm512_sub_epi64(*limb, *other);
        }
        self
    }

    /// `self - other + 64 p` as a factor; must be positive.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn minus_carried_64(self, other: &Self) -> Self {
        self.minus(other).plus_constant(&P_64).carried()
    }

    /// `self - other + 128 p` as a factor; must be positive.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn minus_carried_128(self, other: &Self) -> Self {
        self.minus(other).plus_constant(&P_128).carried()
    }

    /// The opposite numbers in the lanes of `mask`: no factor.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn negated_where(mut self, mask: u8) -> Self {
        for limb in &mut self.0 {
            *limb = _mm512_mask_sub_epi64(*limb, mask, _mm512_setzero_si512(), *limb);
        }
        self
    }

    /// `b` in the lanes of `mask`, `a` in the others.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn select(mask: u8, a: &Self, b: &Self) -> Self {
        let mut result = *a;
        for (limb, b) in result.0.iter_mut().zip(&b.0) {
            *limb = _mm512_mask_mov_epi64(*limb, mask, *b);
        }
        result
    }

    /// Products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut sum = [_mm512_setzero_si512(); LIMBS];
        // Written out, because the compiler does not unroll a loop of this length and then moves sums about in memory.
        let [d0, d1, d2, d3, d4, d5, d6, d7] = other.0;
        sum = multiply_step(sum, &self.0, d0);
        sum = multiply_step(sum, &self.0, d1);
        sum = multiply_step(sum, &self.0, d2);
        sum = multiply_step(sum, &self.0, d3);
        sum = multiply_step(sum, &self.0, d4);
        sum = multiply_step(sum, &self.0, d5);
        sum = multiply_step(sum, &self.0, d6);
        sum = multiply_step(sum, &self.0, d7);
        Self(sum).carried()
    }

    /// Squares.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn squared(&self) -> Self {
        self.times(self)
    }

    /// All numbers, in the library's form.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn lanes(&self) -> [blst_fp; LANES] {
        self.raw_lanes()
            .map(|number| batch_affine::mul(&number, &INVERSE_SHIFT))
    }

    /// Canonical numbers in the form here.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn raw_lanes(&self) -> [blst_fp; LANES] {
        let words = self.to_words();
        // SAFETY: both types are 384 bytes of which every bit pattern is valid.
        let words = unsafe { mem::transmute::<[__m512i; 6], [[u64; LANES]; 6]>(words) };
        std::array::from_fn(|lane| blst_fp {
            l: std::array::from_fn(|word| words[word][lane]),
        })
    }

    /// Replaces the number in one lane by one in the library's form.
    pub(super) fn set_lane(&mut self, lane: usize, number: &blst_fp) {
        let mut limbs = self.limbs();
        for (limbs, limb) in limbs.iter_mut().zip(to_limbs(&to_words(number))) {
            limbs[lane] = limb;
        }
        *self = Self::from_limbs(limbs);
    }

    /// The inverses, computed with one inversion; `None` when a number is zero.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverted(&self) -> Option<Self> {
        let numbers = self.raw_lanes();
        if numbers.contains(&batch_affine::ZERO) {
            return None;
        }
        let mut products = [numbers[0]; LANES];
        for lane in 1..LANES {
            products[lane] = batch_affine::mul(&products[lane - 1], &numbers[lane]);
        }
        // What is n 2^32 to the library becomes 2^-32 / n there, and must become 2^32 / n.
        let mut remaining = batch_affine::mul(&batch_affine::inverse(&products[LANES - 1]), &DOUBLE_SHIFT);
        let mut limbs = [[0; LANES]; LIMBS];
        for lane in (0..LANES).rev() {
            let inverse = match lane {
                0 => remaining,
                _ => batch_affine::mul(&remaining, &products[lane - 1]),
            };
            remaining = batch_affine::mul(&remaining, &numbers[lane]);
            for (limbs, limb) in limbs.iter_mut().zip(to_limbs(&inverse.l)) {
                limbs[lane] = limb;
            }
        }
        Some(Self::from_limbs(limbs))
    }
}

/// `(sum + factor · digit) / 2^52`, plus the multiple of p that makes it a whole number.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply_step(sum: [__m512i; LIMBS], factor: &[__m512i; LIMBS], digit: __m512i) -> [__m512i; LIMBS] {
    let zero = _mm512_setzero_si512();
    let negative_inverse = _mm512_set1_epi64(NEGATIVE_INVERSE as i64);
    let mut p = [zero; LIMBS];
    for (p, limb) in p.iter_mut().zip(&P) {
        *p = _mm512_set1_epi64(*limb as i64);
    }
    let lowest = _mm512_madd52lo_epu64(sum[0], factor[0], digit);
    let multiple = _mm512_madd52lo_epu64(zero, lowest, negative_inverse);
    let mut next = [zero; LIMBS];
    for index in 0..LIMBS {
        if index + 1 < LIMBS {
            next[index] = _mm512_madd52lo_epu64(sum[index + 1], factor[index + 1], digit);
        }
        next[index] = _mm512_madd52hi_epu64(next[index], factor[index], digit);
    }
    // What needs the multiple comes last: everything above can go on while it is being computed.
    for index in 0..LIMBS {
        if index + 1 < LIMBS {
            next[index] = _mm512_madd52lo_epu64(next[index], multiple, p[index + 1]);
        }
        next[index] = _mm512_madd52hi_epu64(next[index], multiple, p[index]);
    }
    let carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_madd52lo_epu64(lowest, multiple, p[0]));
    next[0] = _mm512_add_epi64(next[0], carry);
    next
}

#[cfg(test)]
mod tests;

//! Arithmetic modulo the prime `p` of the curve on eight numbers at once, as two vectors of four with AVX2.
//!
//! A number is in Montgomery form for the radix 2^384, as in the library, in the limbs of [`multiply`](super::multiply). Nothing
//! is below p or even positive; `x p` says below that the absolute value is at most `x p`.
//!
//! * *Coordinates* are carried and `0.51 p`.
//! * *Differences* of two coordinates are `1.02 p`, with limbs up to `2^48 + 2^6`.
//! * *Products*, of one carried factor `1.45 p` and a second one that is a product or a difference, are carried and `1.45 p`.

use super::super::instructions::LANES;
use super::multiply::{self, LIMBS, Numbers, P, splat};
use crate::batch_affine;
use blst::blst_fp;
use std::arch::x86_64::*;
use std::mem::{self, MaybeUninit};

/// Lanes of a vector.
const WIDTH: usize = 4;

/// Vectors of eight numbers.
pub(super) const VECTORS: usize = LANES / WIDTH;

const LIMB_BITS: usize = 48;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;

/// `2^336 / p`: times the top limb it is the quotient by p, as the limbs below, of 2^53 at most, are less than 2^-39 p together.
const QUOTIENT: f64 = 1.0 / (28_591_897_852_288.0 - 0.098);

/// The sign bit in lanes of a vector whose bits are set.
static SIGNS: [[f64; WIDTH]; 1 << WIDTH] = {
    let mut signs = [[0.0; WIDTH]; 1 << WIDTH];
    let mut mask = 0;
    while mask < signs.len() {
        let mut lane = 0;
        while lane < WIDTH {
            if mask >> lane & 1 == 1 {
                signs[mask][lane] = -0.0;
            }
            lane += 1;
        }
        mask += 1;
    }
    signs
};

/// Limbs of one number.
pub(super) type Limbs = [f64; LIMBS];

/// The limbs of `number` or of `number - p`, whichever is smaller: carried and `0.5 p`.
pub(super) fn to_limbs(number: &blst_fp) -> Limbs {
    /// `(p - 1) / 2`.
    const HALF: [u64; 6] = [
        0xdcff_7fff_ffff_d555,
        0x0f55_ffff_58a9_ffff,
        0xb398_6950_7b58_7b12,
        0xb23b_a5c2_79c2_895f,
        0x258d_d3db_21a5_d66b,
        0x0d00_88f5_1cbf_f34d,
    ];
    let is_large = number.l.iter().rev().gt(HALF.iter().rev());
    let mut carry = 0;
    std::array::from_fn(|index| {
        let (word, shift) = (LIMB_BITS * index / 64, LIMB_BITS * index % 64);
        let mut bits = number.l[word] >> shift;
        if shift > 64 - LIMB_BITS {
            bits |= number.l[word + 1] << (64 - shift);
        }
        let mut limb = (bits as i64 & LIMB_MASK) + carry;
        if is_large {
            limb -= P[index];
        }
        if index == LIMBS - 1 {
            return limb as f64;
        }
        carry = (limb + (1 << (LIMB_BITS - 1))) >> LIMB_BITS;
        (limb - (carry << LIMB_BITS)) as f64
    })
}

/// The inverse of [`to_limbs`], for any whole limbs up to 2^53 of a number of absolute value below `4 p`.
pub(super) fn from_limbs(limbs: &Limbs) -> blst_fp {
    let mut number = [0_u64; 6];
    let mut carry = 0;
    for (index, (limb, p)) in limbs.iter().zip(P).enumerate() {
        // `4 p` more: positive, and below `8 p`, which is below 2^384.
        let limb = *limb as i64 + 4 * p + carry;
        carry = limb >> LIMB_BITS;
        let bits = (limb & LIMB_MASK) as u64;
        let (word, shift) = (LIMB_BITS * index / 64, LIMB_BITS * index % 64);
        number[word] |= bits << shift;
        if shift > 64 - LIMB_BITS {
            number[word + 1] |= bits >> (64 - shift);
        }
    }
    for multiple in [4, 2, 1] {
        let mut difference = [0_u64; 6];
        let mut borrow = 0;
        for (index, difference) in difference.iter_mut().enumerate() {
            let value = i128::from(number[index]) - i128::from(p_word(multiple, index)) + borrow;
            *difference = value as u64;
            borrow = value >> 64;
        }
        if borrow == 0 {
            number = difference;
        }
    }
    blst_fp { l: number }
}

/// A word of `multiple · p`.
const fn p_word(multiple: u64, index: usize) -> u64 {
    const MODULUS: [u64; 6] = [
        0xb9fe_ffff_ffff_aaab,
        0x1eab_fffe_b153_ffff,
        0x6730_d2a0_f6b0_f624,
        0x6477_4b84_f385_12bf,
        0x4b1b_a7b6_434b_acd7,
        0x1a01_11ea_397f_e69a,
    ];
    let shift = multiple.trailing_zeros();
    let below = if shift > 0 && index > 0 {
        MODULUS[index - 1] >> (64 - shift)
    } else {
        0
    };
    MODULUS[index] << shift | below
}

/// Eight numbers.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub(in crate::msm) struct Fp8(pub(super) [Numbers; VECTORS]);

impl Fp8 {
    pub(super) const ZERO: Self = Self([splat(&[0; LIMBS]); VECTORS]);

    /// Ones, which are 2^384 modulo p here.
    pub(super) const ONE: Self = Self(
        [splat(&[
            218_450,
            20_581_483_461_642,
            108_399_828_664_333,
            -8_693_991_711_466,
            14_080_996_623_494,
            104_501_916_078_935,
            -2_228_804_160_799,
            -4_444_001_812_223,
        ]); VECTORS],
    );

    /// All numbers, limb by limb.
    pub(super) fn to_lanes(self) -> [Limbs; LANES] {
        // SAFETY: both types are 512 bytes of which every bit pattern is valid.
        let vectors = unsafe { mem::transmute::<Self, [[[f64; WIDTH]; LIMBS]; VECTORS]>(self) };
        std::array::from_fn(|lane| std::array::from_fn(|limb| vectors[lane / WIDTH][limb][lane % WIDTH]))
    }

    /// The inverse of [`Self::to_lanes`].
    pub(super) fn from_lanes(lanes: &[Limbs; LANES]) -> Self {
        let vectors: [[[f64; WIDTH]; LIMBS]; VECTORS] = std::array::from_fn(|vector| {
            std::array::from_fn(|limb| std::array::from_fn(|lane| lanes[vector * WIDTH + lane][limb]))
        });
        // SAFETY: both types are 512 bytes of which every bit pattern is valid.
        unsafe { mem::transmute::<[[[f64; WIDTH]; LIMBS]; VECTORS], Self>(vectors) }
    }

    /// `a - b`, limb by limb.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn minus(mut self, other: &Self) -> Self {
        for (limb, other) in self.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()) {
            *limb = _mm256_sub_pd(*limb, *other);
        }
        self
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn carried(&self) -> Self {
        Self([multiply::carried(&self.0[0]), multiply::carried(&self.0[1])])
    }

    /// A coordinate, from limbs up to 2^52 of a number of up to `7 p`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn reduced(mut self) -> Self {
        for vector in &mut self.0 {
            let quotient = _mm256_mul_pd(vector[LIMBS - 1], _mm256_set1_pd(QUOTIENT));
            let quotient = _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(quotient);
            for (limb, p) in vector.iter_mut().zip(P) {
                *limb = _mm256_fnmadd_pd(quotient, _mm256_set1_pd(p as f64), *limb);
            }
        }
        self.carried()
    }

    /// A product that is not carried: limbs are below 2^52.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn times_uncarried(&self, other: &Self) -> Self {
        let mut product = [const { MaybeUninit::uninit() }; VECTORS];
        multiply(&self.0, &other.0, &mut product);
        // SAFETY: both vectors have been written.
        unsafe { mem::transmute::<[MaybeUninit<Numbers>; VECTORS], Self>(product) }
    }

    /// A product.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn times(&self, other: &Self) -> Self {
        self.times_uncarried(other).carried()
    }

    /// The opposite numbers in the lanes of `mask`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn negated_where(mut self, mask: u8) -> Self {
        for (index, vector) in self.0.iter_mut().enumerate() {
            let signs = signs(mask, index);
            for limb in vector {
                *limb = _mm256_xor_pd(*limb, signs);
            }
        }
        self
    }

    /// `b` in the lanes of `mask`, `a` in the others.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn select(mask: u8, a: &Self, b: &Self) -> Self {
        let mut result = *a;
        for (index, (vector, b)) in result.0.iter_mut().zip(&b.0).enumerate() {
            let signs = signs(mask, index);
            for (limb, b) in vector.iter_mut().zip(b) {
                *limb = _mm256_blendv_pd(*limb, *b, signs);
            }
        }
        result
    }

    /// The inverses, computed with one inversion; `None` when a number is zero.
    pub(super) fn inverted(&self) -> Option<Self> {
        let numbers = self.to_lanes().map(|limbs| from_limbs(&limbs));
        if numbers.contains(&batch_affine::ZERO) {
            return None;
        }
        let mut products = [numbers[0]; LANES];
        for lane in 1..LANES {
            products[lane] = batch_affine::mul(&products[lane - 1], &numbers[lane]);
        }
        let mut remaining = batch_affine::inverse(&products[LANES - 1]);
        let mut inverses = [[0.0; LIMBS]; LANES];
        for lane in (1..LANES).rev() {
            inverses[lane] = to_limbs(&batch_affine::mul(&remaining, &products[lane - 1]));
            remaining = batch_affine::mul(&remaining, &numbers[lane]);
        }
        inverses[0] = to_limbs(&remaining);
        Some(Self::from_lanes(&inverses))
    }
}

/// Not inlined, because it is long. Writes both products.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn multiply(a: &[Numbers; VECTORS], b: &[Numbers; VECTORS], products: &mut [MaybeUninit<Numbers>; VECTORS]) {
    for ((a, b), product) in a.iter().zip(b).zip(products) {
        product.write(multiply::multiply(a, b));
    }
}

/// The sign bit in the lanes of `mask` that belong to a vector.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn signs(mask: u8, vector: usize) -> __m256d {
    let bits = usize::from(mask >> (WIDTH * vector)) % SIGNS.len();
    // SAFETY: the table's entries have the size of a vector.
    unsafe { _mm256_loadu_pd(SIGNS[bits].as_ptr()) }
}

#[cfg(test)]
mod tests;

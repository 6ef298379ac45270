//! Four scalars at a time as sums of [float products](crate::float_products): one a lane, six limbs of 43 bits, Montgomery factor
//! 2^258.
//!
//! Nothing is below the modulus `r` or even positive; `x r` says below that the absolute value is at most `x r`. Seven bits of a
//! limb are to spare, so that sums need no carries for a while: *data* may have limbs up to 2^49. *Factors* are carried (limbs up
//! to `2^42 + 2^10`) and mostly `r / 2`. Products of both are carried.
//!
//! **Reduction** of a product replaces its lowest limbs by multiples of small residues: three at once times `2^-129 mod r`, two
//! more times `2^-43`, and the last by the multiple of r that makes it vanish.
//!
//! **Bounds.** A column collects at most six products of `2^49 · (2^42 + 2^10)` and six of two carried limbs: below
//! `6.1 · 2^91 < 2^94`, by how much `high` may move. What 12 remainders of 2^42 and the carry of a column are together is below
//! `2^46 + 2^51`, as it should be for exactness. `2^258` is `8.83 r`; the first step of reduction adds at most `r / 4` to the
//! quotient, the next two `r / 4` and the last one `r / 2`. So the product of data of `x r` and a factor of `y r` is
//! `(x y / 8.83 + 1) r`.

use crate::float_products::{self, Column, add_carry, forgotten, rows, split};
use std::arch::x86_64::*;
use std::mem;

pub(super) const LIMBS: usize = 6;
const BITS: u32 = 43;

/// Limbs of one number.
pub(super) type Limbs = [f64; LIMBS];

/// Four numbers, limb by limb.
pub(super) type Fr4 = [__m256d; LIMBS];

/// The modulus.
pub(super) const MODULUS: Limbs = [
    -4_294_967_295.0,
    -225_487_880_192.0,
    -2_959_390_798_848.0,
    -4_380_785_841_149.0,
    2_026_494_964_638.0,
    995_816_810_067.0,
];

/// `-1 / r` modulo 2^43.
const NEGATIVE_INVERSE: f64 = -4_294_967_297.0;

/// 2^-43 modulo r.
const INVERSE_1: Limbs = [
    225_489_977_344.0,
    -1_438_545_610_752.0,
    -28_700_556_804.0,
    2_794_597_397_061.0,
    845_734_660_422.0,
    -486_238_677.0,
];

/// 2^-129 modulo r.
const INVERSE_3: Limbs = [
    -36_507_383_299.0,
    1_840_364_027_548.0,
    -161_221_498_201.0,
    3_450_141_774_218.0,
    393_097_104_825.0,
    162_847_102_193.0,
];

/// `2^215 / r`: times the top limb it is the quotient by r, as limbs of 2^49 below are less than 2^-33 r together.
const QUOTIENT: f64 = 1.0 / 995_816_810_067.230_3;

/// The same number in all lanes.
const fn splat_constant(limbs: &Limbs) -> Fr4 {
    let mut all = [[0.0; 4]; LIMBS];
    let mut index = 0;
    while index < LIMBS {
        all[index] = [limbs[index]; 4];
        index += 1;
    }
    // SAFETY: both types are 192 bytes of which every bit pattern is valid.
    unsafe { mem::transmute::<[[f64; 4]; LIMBS], Fr4>(all) }
}

// In memory once, as operands of instructions.
static R: Fr4 = splat_constant(&MODULUS);
static ONE_DOWN: Fr4 = splat_constant(&INVERSE_1);
static THREE_DOWN: Fr4 = splat_constant(&INVERSE_3);

/// Every lane zero.
pub(super) const ZERO: Fr4 = splat_constant(&[0.0; LIMBS]);

/// Carried limbs of a number below r, or of the number less r: `r / 2`.
pub(super) fn limbs_of(words: [u64; 4]) -> Limbs {
    const HALF: [u64; 4] = [
        0x7fff_ffff_8000_0000,
        0xa9de_d201_7fff_2dff,
        0x199c_ec04_04d0_ec02,
        0x39f6_d3a9_94ce_bea4,
    ];
    const MASK: i64 = (1 << BITS) - 1;
    let is_large = words.iter().rev().gt(HALF.iter().rev());
    let mut carry = 0;
    std::array::from_fn(|index| {
        let (word, shift) = (BITS as usize * index / 64, BITS as usize * index % 64);
        let mut bits = words[word] >> shift;
        if shift > 64 - BITS as usize && word < 3 {
            bits |= words[word + 1] << (64 - shift);
        }
        let mut limb = (bits as i64 & MASK) + carry;
        if is_large {
            limb -= MODULUS[index] as i64;
        }
        if index == LIMBS - 1 {
            return limb as f64;
        }
        carry = (limb + (1 << (BITS - 1))) >> BITS;
        (limb - (carry << BITS)) as f64
    })
}

/// The same number in every lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn splat(limbs: &Limbs) -> Fr4 {
    [
        _mm256_set1_pd(limbs[0]),
        _mm256_set1_pd(limbs[1]),
        _mm256_set1_pd(limbs[2]),
        _mm256_set1_pd(limbs[3]),
        _mm256_set1_pd(limbs[4]),
        _mm256_set1_pd(limbs[5]),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add(a: &Fr4, b: &Fr4) -> Fr4 {
    let mut sum = *a;
    for (limb, other) in sum.iter_mut().zip(b) {
        *limb = _mm256_add_pd(*limb, *other);
    }
    sum
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn sub(a: &Fr4, b: &Fr4) -> Fr4 {
    let mut difference = *a;
    for (limb, other) in difference.iter_mut().zip(b) {
        *limb = _mm256_sub_pd(*limb, *other);
    }
    difference
}

/// `a · b / 2^258` modulo r, for data and a factor.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn mul(a: &Fr4, b: &Fr4) -> Fr4 {
    // Columns 0 to 2 of the product as digits.
    let c0 = Column::<BITS>::product(a[0], b[0]);
    let mut c1 = Column::<BITS>::product(a[0], b[1]);
    let mut c2 = Column::<BITS>::product(a[0], b[2]);
    rows! {
        a[1] => c1 b[0], c2 b[1];
        a[2] => c2 b[0];
    }
    let d0 = c0.low;
    let (d1, rest1) = split::<BITS>(c1.total(c0.carry()));
    let (d2, rest2) = split::<BITS>(c2.total(c1.carry()));
    let d2 = add_carry::<BITS>(d2, rest1);
    let carry = _mm256_add_pd(c2.carry(), rest2);

    // Columns 3 to 5 as digits.
    let (a, b) = (forgotten(a), forgotten(b));
    let mut c3 = Column::<BITS>::product(a[0], b[3]);
    let mut c4 = Column::<BITS>::product(a[0], b[4]);
    let mut c5 = Column::<BITS>::product(a[0], b[5]);
    rows! {
        a[1] => c3 b[2], c4 b[3], c5 b[4];
        a[2] => c3 b[1], c4 b[2], c5 b[3];
        a[3] => c3 b[0], c4 b[1], c5 b[2];
        a[4] => c4 b[0], c5 b[1];
        a[5] => c5 b[0];
        d0 => c3 THREE_DOWN[0], c4 THREE_DOWN[1], c5 THREE_DOWN[2];
        d1 => c4 THREE_DOWN[0], c5 THREE_DOWN[1];
        d2 => c5 THREE_DOWN[0];
    }
    let (d3, rest3) = split::<BITS>(c3.total(carry));
    c4.add(d3, ONE_DOWN[0]);
    c5.add(d3, ONE_DOWN[1]);
    let (d4, rest4) = split::<BITS>(c4.total(_mm256_add_pd(c3.carry(), rest3)));
    c5.add(d4, ONE_DOWN[0]);
    let (d5, rest5) = split::<BITS>(c5.total(_mm256_add_pd(c4.carry(), rest4)));
    let multiple = Column::<BITS>::product(d5, _mm256_set1_pd(NEGATIVE_INVERSE)).low;
    // A multiple of 2^43 below 2^76: this is exact.
    let vanished = _mm256_fmadd_pd(multiple, R[0], d5);
    let left = _mm256_add_pd(vanished, _mm256_add_pd(c5.carry(), rest5));

    // Columns 6 to 8.
    let (a, b) = (forgotten(a), forgotten(b));
    let mut c6 = Column::<BITS>::product(a[1], b[5]);
    let mut c7 = Column::<BITS>::product(a[2], b[5]);
    let mut c8 = Column::<BITS>::product(a[3], b[5]);
    rows! {
        b[4] => c6 a[2], c7 a[3], c8 a[4];
        b[3] => c6 a[3], c7 a[4], c8 a[5];
        b[2] => c6 a[4], c7 a[5];
        b[1] => c6 a[5];
        d0 => c6 THREE_DOWN[3], c7 THREE_DOWN[4], c8 THREE_DOWN[5];
        d1 => c6 THREE_DOWN[2], c7 THREE_DOWN[3], c8 THREE_DOWN[4];
        d2 => c6 THREE_DOWN[1], c7 THREE_DOWN[2], c8 THREE_DOWN[3];
        d3 => c6 ONE_DOWN[2], c7 ONE_DOWN[3], c8 ONE_DOWN[4];
        d4 => c6 ONE_DOWN[1], c7 ONE_DOWN[2], c8 ONE_DOWN[3];
        multiple => c6 R[1], c7 R[2], c8 R[3];
    }
    let l0 = c6.total(left);
    let l1 = c7.total(c6.carry());
    let l2 = c8.total(c7.carry());
    let carry = c8.carry();

    // Columns 9 to 11.
    let (a, b) = (forgotten(a), forgotten(b));
    let mut c9 = Column::<BITS>::product(a[4], b[5]);
    let mut c10 = Column::<BITS>::product(a[5], b[5]);
    rows! {
        b[4] => c9 a[5];
        d1 => c9 THREE_DOWN[5];
        d2 => c9 THREE_DOWN[4], c10 THREE_DOWN[5];
        d3 => c9 ONE_DOWN[5];
        d4 => c9 ONE_DOWN[4], c10 ONE_DOWN[5];
        multiple => c9 R[4], c10 R[5];
    }
    let l3 = c9.total(carry);
    let l4 = c10.total(c9.carry());
    let l5 = add_carry::<BITS>(_mm256_setzero_pd(), c10.carry());
    float_products::carried::<BITS, LIMBS>(&[l0, l1, l2, l3, l4, l5])
}

/// The multiple of r that is nearest is taken away. Takes limbs up to 2^49 and `100 r`; gives limbs up to `2^50`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn nearest(a: &Fr4) -> Fr4 {
    let quotient = _mm256_mul_pd(a[LIMBS - 1], _mm256_set1_pd(QUOTIENT));
    let quotient = _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(quotient);
    let mut result = *a;
    for (limb, r) in result.iter_mut().zip(&R) {
        *limb = _mm256_fnmadd_pd(quotient, *r, *limb);
    }
    result
}

/// The same numbers modulo r, carried and `0.51 r`. Takes limbs up to 2^49 and `100 r`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn reduce(a: &Fr4) -> Fr4 {
    float_products::carried::<BITS, LIMBS>(&nearest(a))
}

/// Digits from 0 to `2^43 - 1`, except for the top limb, which has the sign.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn digits(a: &Fr4) -> Fr4 {
    let mut result = *a;
    for index in 0..LIMBS - 1 {
        let scaled = _mm256_mul_pd(result[index], _mm256_set1_pd(1.0 / (1_u64 << BITS) as f64));
        let rest = _mm256_floor_pd(scaled);
        result[index] = _mm256_fnmadd_pd(rest, _mm256_set1_pd((1_u64 << BITS) as f64), result[index]);
        result[index + 1] = _mm256_add_pd(result[index + 1], rest);
    }
    result
}

/// Lanes of digits whose number is negative.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn is_negative(digits: &Fr4) -> __m256d {
    _mm256_cmp_pd::<_CMP_LT_OQ>(digits[LIMBS - 1], _mm256_setzero_pd())
}

/// The numbers from 0 to `r - 1` in digits. Takes limbs up to 2^49 and `100 r`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn canonical(a: &Fr4) -> Fr4 {
    let nearest = digits(&nearest(a));
    // Between -0.51 r and 0.51 r, so one addition is enough.
    let negative = is_negative(&nearest);
    let mut result = nearest;
    for (limb, r) in result.iter_mut().zip(&R) {
        *limb = _mm256_blendv_pd(*limb, _mm256_add_pd(*limb, *r), negative);
    }
    digits(&result)
}

/// Lanes of digits whose number is below `r`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn canonical_lanes(a: &Fr4) -> i32 {
    _mm256_movemask_pd(is_negative(&digits(&sub(a, &R))))
}

/// Butterfly in time: `(a + b · factor, a - b · factor)`, of data.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn butterfly(a: &mut Fr4, b: &mut Fr4, factor: &Fr4) {
    let product = product(b, factor);
    *b = sub(a, &product);
    *a = add(a, &product);
}

/// As [`mul`], not inlined, because it is long.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn product(a: &Fr4, factor: &Fr4) -> Fr4 {
    mul(a, factor)
}

/// Butterfly with factor one.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn plain_butterfly(a: &mut Fr4, b: &mut Fr4) {
    let difference = sub(a, b);
    *a = add(a, b);
    *b = difference;
}

/// Numbers, limb by limb.
pub(super) fn from_lanes(lanes: [[f64; 4]; LIMBS]) -> Fr4 {
    // SAFETY: both types are 192 bytes of which every bit pattern is valid.
    unsafe { mem::transmute::<[[f64; 4]; LIMBS], Fr4>(lanes) }
}

#[cfg(test)]
mod tests;

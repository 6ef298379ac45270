//! Montgomery products of four numbers at a time as sums of [float products](crate::float_products): eight limbs of 48 bits.
//!
//! **Reduction.** The lowest limbs are replaced by multiples of residues of small size: four of them at once times
//! `2^-192 mod p`, then two times `2^-96`, one times `2^-48`, and the last by the multiple of p that makes it vanish. That is as
//! many products as one limb at a time takes, in four steps that wait for each other instead of eight.
//!
//! **Bounds.** With limbs of one factor up to `2^47 + 2^5` (*carried*) and of the other one twice that, a
//! column collects at most eight products of `2^95` and eight of `2^94` (digits below `2^47 + 2^5` times limbs of constants up
//! to `2^47`): 1.5 · 2^98 and something, while `high` may move by 2^99. `low` collects at most 16 remainders of `2^47`. So
//! columns are below `2^51 + 1.5 · 2^50 + 2^6 < 2^52`, and everything up to 2^53 is exact.
//!
//! The result is `a · b / 2^384` plus at most `3/4 p` for the first three steps (each adds at most half of a residue of `p / 2`)
//! and `p / 2` for the last one; `2^384` is `9.83 p`. So it is below `1.45 p` when `a · b` is below `1.96 p^2`.

use crate::float_products::{self, add_carry, forgotten, rows, split};
use std::arch::x86_64::*;
use std::mem;

pub(super) const LIMBS: usize = 8;
const BITS: u32 = 48;

/// Four numbers, limb by limb.
pub(super) type Numbers = [__m256d; LIMBS];

/// `-1/p` modulo 2^48.
const NEGATIVE_INVERSE: f64 = -12_885_098_499.0;

/// The prime.
pub(super) const P: [i64; LIMBS] = [
    -21_845,
    -86_500_641_359_361,
    -10_839_982_866_433,
    113_459_389_855_409,
    83_034_393_350_847,
    73_992_301_405_303,
    -27_924_617_254_986,
    28_591_897_852_288,
];

/// 2^-48 modulo p.
const INVERSE_1: [i64; LIMBS] = [
    -72_534_179_196_412,
    -68_635_456_181_239,
    121_460_628_512_125,
    11_698_276_670_028,
    2_409_099_498_876,
    127_248_567_318_644,
    -53_058_248_458_658,
    -1_308_853_186,
];

/// 2^-96 modulo p.
const INVERSE_2: [i64; LIMBS] = [
    -83_146_701_621_553,
    34_196_145_513_397,
    -58_219_313_200_097,
    -42_042_423_577_127,
    -123_254_071_121_429,
    126_507_098_703_886,
    122_515_998_197_500,
    -4_264_580_963_130,
];

/// 2^-192 modulo p.
const INVERSE_4: [i64; LIMBS] = [
    -21_755_012_641_732,
    67_931_610_668_546,
    93_791_909_140_291,
    120_812_408_089_580,
    -42_805_983_850_374,
    44_429_414_671_876,
    127_799_698_551_255,
    2_561_466_597_693,
];

/// The same number in all lanes.
pub(super) const fn splat(limbs: &[i64; LIMBS]) -> Numbers {
    let mut all = [[0.0; 4]; LIMBS];
    let mut index = 0;
    while index < LIMBS {
        all[index] = [limbs[index] as f64; 4];
        index += 1;
    }
    // SAFETY: both types are 256 bytes of which every bit pattern is valid.
    unsafe { mem::transmute::<[[f64; 4]; LIMBS], Numbers>(all) }
}

// In memory once, as operands of instructions.
static MODULUS: Numbers = splat(&P);
static ONE_DOWN: Numbers = splat(&INVERSE_1);
static TWO_DOWN: Numbers = splat(&INVERSE_2);
static FOUR_DOWN: Numbers = splat(&INVERSE_4);

/// Products of one weight.
type Column = float_products::Column<BITS>;

/// Moves what limbs of up to 2^53 have beyond 48 bits to the next limb, once: limbs are up to `2^47 + 2^5` then.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn carried(numbers: &Numbers) -> Numbers {
    float_products::carried::<BITS, LIMBS>(numbers)
}

/// Columns 0 to 3 of `a · b` as digits, and what is left for column 4.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lowest(a: &Numbers, b: &Numbers) -> ([__m256d; 4], __m256d) {
    let c0 = Column::product(a[0], b[0]);
    let mut c1 = Column::product(a[0], b[1]);
    let mut c2 = Column::product(a[0], b[2]);
    let mut c3 = Column::product(a[0], b[3]);
    rows! {
        a[1] => c1 b[0], c2 b[1], c3 b[2];
        a[2] => c2 b[0], c3 b[1];
        a[3] => c3 b[0];
    }
    let (d1, rest1) = split::<BITS>(c1.total(c0.carry()));
    let (d2, rest2) = split::<BITS>(c2.total(c1.carry()));
    let (d3, rest3) = split::<BITS>(c3.total(c2.carry()));
    let digits = [
        c0.low,
        d1,
        add_carry::<BITS>(d2, rest1),
        add_carry::<BITS>(d3, rest2),
    ];
    (digits, _mm256_add_pd(c3.carry(), rest3))
}

/// Columns 4 to 7 of `a · b`, and of the digits below times their residue.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn middle(a: &Numbers, b: &Numbers, digits: &[__m256d; 4]) -> [Column; 4] {
    let [d0, d1, d2, d3] = *digits;
    let mut c4 = Column::product(a[0], b[4]);
    let mut c5 = Column::product(a[0], b[5]);
    let mut c6 = Column::product(a[0], b[6]);
    let mut c7 = Column::product(a[0], b[7]);
    rows! {
        a[1] => c4 b[3], c5 b[4], c6 b[5], c7 b[6];
        a[2] => c4 b[2], c5 b[3], c6 b[4], c7 b[5];
        a[3] => c4 b[1], c5 b[2], c6 b[3], c7 b[4];
        a[4] => c4 b[0], c5 b[1], c6 b[2], c7 b[3];
        a[5] => c5 b[0], c6 b[1], c7 b[2];
        a[6] => c6 b[0], c7 b[1];
        a[7] => c7 b[0];
        d0 => c4 FOUR_DOWN[0], c5 FOUR_DOWN[1], c6 FOUR_DOWN[2], c7 FOUR_DOWN[3];
        d1 => c5 FOUR_DOWN[0], c6 FOUR_DOWN[1], c7 FOUR_DOWN[2];
        d2 => c6 FOUR_DOWN[0], c7 FOUR_DOWN[1];
        d3 => c7 FOUR_DOWN[0];
    }
    [c4, c5, c6, c7]
}

/// Digits of columns 4 to 6, and the factor of p.
struct Digits {
    d4: __m256d,
    d5: __m256d,
    d6: __m256d,
    multiple: __m256d,
}

/// Digits of columns 4 to 7, with the products of these digits that belong to these columns, and what is left for column 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn upper_digits(columns: [Column; 4], carry: __m256d) -> (Digits, __m256d) {
    let [c4, c5, mut c6, mut c7] = columns;
    let (d4, rest4) = split::<BITS>(c4.total(carry));
    let (d5, rest5) = split::<BITS>(c5.total(c4.carry()));
    let d5 = add_carry::<BITS>(d5, rest4);
    c6.add(d4, TWO_DOWN[0]);
    c7.add(d4, TWO_DOWN[1]);
    c7.add(d5, TWO_DOWN[0]);
    let (d6, rest6) = split::<BITS>(c6.total(_mm256_add_pd(c5.carry(), rest5)));
    c7.add(d6, ONE_DOWN[0]);
    let (d7, rest7) = split::<BITS>(c7.total(_mm256_add_pd(c6.carry(), rest6)));
    let multiple = Column::product(d7, _mm256_set1_pd(NEGATIVE_INVERSE)).low;
    // A multiple of 2^48 below 2^63, because the lowest limb of p is small: this is exact.
    let vanished = _mm256_fmadd_pd(multiple, MODULUS[0], d7);
    let left = _mm256_add_pd(vanished, _mm256_add_pd(c7.carry(), rest7));
    (Digits { d4, d5, d6, multiple }, left)
}

/// Columns 8 to 11, and what is left for column 12.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn upper(
    a: &Numbers,
    b: &Numbers,
    [d0, d1, d2, d3]: &[__m256d; 4],
    digits: &Digits,
    carry: __m256d,
) -> ([__m256d; 4], __m256d) {
    let mut c8 = Column::product(a[1], b[7]);
    let mut c9 = Column::product(a[2], b[7]);
    let mut c10 = Column::product(a[3], b[7]);
    let mut c11 = Column::product(a[4], b[7]);
    rows! {
        b[6] => c8 a[2], c9 a[3], c10 a[4], c11 a[5];
        b[5] => c8 a[3], c9 a[4], c10 a[5], c11 a[6];
        b[4] => c8 a[4], c9 a[5], c10 a[6], c11 a[7];
        b[3] => c8 a[5], c9 a[6], c10 a[7];
        b[2] => c8 a[6], c9 a[7];
        b[1] => c8 a[7];
        *d0 => c8 FOUR_DOWN[4], c9 FOUR_DOWN[5], c10 FOUR_DOWN[6], c11 FOUR_DOWN[7];
        *d1 => c8 FOUR_DOWN[3], c9 FOUR_DOWN[4], c10 FOUR_DOWN[5], c11 FOUR_DOWN[6];
        *d2 => c8 FOUR_DOWN[2], c9 FOUR_DOWN[3], c10 FOUR_DOWN[4], c11 FOUR_DOWN[5];
        *d3 => c8 FOUR_DOWN[1], c9 FOUR_DOWN[2], c10 FOUR_DOWN[3], c11 FOUR_DOWN[4];
        digits.d4 => c8 TWO_DOWN[2], c9 TWO_DOWN[3], c10 TWO_DOWN[4], c11 TWO_DOWN[5];
        digits.d5 => c8 TWO_DOWN[1], c9 TWO_DOWN[2], c10 TWO_DOWN[3], c11 TWO_DOWN[4];
        digits.d6 => c8 ONE_DOWN[1], c9 ONE_DOWN[2], c10 ONE_DOWN[3], c11 ONE_DOWN[4];
        digits.multiple => c8 MODULUS[1], c9 MODULUS[2], c10 MODULUS[3], c11 MODULUS[4];
    }
    let totals = [
        c8.total(carry),
        c9.total(c8.carry()),
        c10.total(c9.carry()),
        c11.total(c10.carry()),
    ];
    (totals, c11.carry())
}

/// Columns 12 to 15.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn highest(
    a: &Numbers,
    b: &Numbers,
    [_, d1, d2, d3]: &[__m256d; 4],
    digits: &Digits,
    carry: __m256d,
) -> [__m256d; 4] {
    let mut c12 = Column::product(a[5], b[7]);
    let mut c13 = Column::product(a[6], b[7]);
    let mut c14 = Column::product(a[7], b[7]);
    rows! {
        b[6] => c12 a[6], c13 a[7];
        *d3 => c12 FOUR_DOWN[5], c13 FOUR_DOWN[6], c14 FOUR_DOWN[7];
        digits.d5 => c12 TWO_DOWN[5], c13 TWO_DOWN[6], c14 TWO_DOWN[7];
        digits.d6 => c12 ONE_DOWN[5], c13 ONE_DOWN[6], c14 ONE_DOWN[7];
        digits.multiple => c12 MODULUS[5], c13 MODULUS[6], c14 MODULUS[7];
        *d2 => c12 FOUR_DOWN[6], c13 FOUR_DOWN[7];
        digits.d4 => c12 TWO_DOWN[6], c13 TWO_DOWN[7];
        *d1 => c12 FOUR_DOWN[7];
        b[5] => c12 a[7];
    }
    [
        c12.total(carry),
        c13.total(c12.carry()),
        c14.total(c13.carry()),
        add_carry::<BITS>(_mm256_setzero_pd(), c14.carry()),
    ]
}

/// `a · b / 2^384` modulo p, in columns below 2^52. See above for what the factors have to be.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply(a: &Numbers, b: &Numbers) -> Numbers {
    let (lowest_digits, carry) = lowest(a, b);
    let (a, b) = (forgotten(a), forgotten(b));
    let (digits, left) = upper_digits(middle(a, b, &lowest_digits), carry);
    let (a, b) = (forgotten(a), forgotten(b));
    let ([l0, l1, l2, l3], carry) = upper(a, b, &lowest_digits, &digits, left);
    let (a, b) = (forgotten(a), forgotten(b));
    let [l4, l5, l6, l7] = highest(a, b, &lowest_digits, &digits, carry);
    [l0, l1, l2, l3, l4, l5, l6, l7]
}

#[cfg(test)]
mod tests;

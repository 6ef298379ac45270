//! Sums of exact products of whole numbers with the multiplier of floating-point numbers, four at a time with AVX2 and FMA.
//!
//! A number has limbs of `BITS` bits in `f64`, signed, whole, least significant first: `Σ limb · 2^(BITS i)`.
//!
//! A product of limbs has up to twice as many bits, and is cut into two parts without loss: `high` starts as
//! `3/2 · 2^(52 + BITS)` ([`base`]), where neighbouring numbers are `2^BITS` apart, and a fused multiplication and addition, which
//! rounds once, adds the product to it except for a remainder of `2^(BITS - 1)` at most. The difference of `high` before and after
//! tells what was added (exactly, both being multiples of `2^BITS` in the same binade), so a second fused multiplication and
//! addition gives the remainder exactly, which is added to `low`. That is four instructions a product, two for each pair of a
//! processor's units.
//!
//! All of this is exact while `high` moves by less than `2^(51 + BITS)`, and `low` and sums of limbs stay below 2^53. Rounding is
//! to nearest, as everywhere in Rust.

use std::arch::x86_64::*;

/// The middle of the numbers that are `2^bits` apart.
const fn base(bits: u32) -> f64 {
    1.5 * (1_u128 << (52 + bits)) as f64
}

/// From one column to the next.
const fn down(bits: u32) -> f64 {
    1.0 / (1_u64 << bits) as f64
}

/// All products of one weight. In units of the column `high` counts for the next one.
#[derive(Copy, Clone)]
pub(crate) struct Column<const BITS: u32> {
    pub(crate) high: __m256d,
    pub(crate) low: __m256d,
}

impl<const BITS: u32> Column<BITS> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn product(a: __m256d, b: __m256d) -> Self {
        let base = _mm256_set1_pd(base(BITS));
        let high = _mm256_fmadd_pd(a, b, base);
        let low = _mm256_fmadd_pd(a, b, _mm256_sub_pd(base, high));
        Self { high, low }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn add(&mut self, a: __m256d, b: __m256d) {
        let high = _mm256_fmadd_pd(a, b, self.high);
        let low = _mm256_fmadd_pd(a, b, _mm256_sub_pd(self.high, high));
        self.low = _mm256_add_pd(self.low, low);
        self.high = high;
    }

    /// What counts for the next column, times `2^BITS`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn carry(&self) -> __m256d {
        _mm256_sub_pd(self.high, _mm256_set1_pd(base(BITS)))
    }

    /// The sum, with the carry of the column before.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn total(&self, carry: __m256d) -> __m256d {
        add_carry::<BITS>(self.low, carry)
    }
}

/// A limb and what the one before has too much, times `2^BITS`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn add_carry<const BITS: u32>(limb: __m256d, carry: __m256d) -> __m256d {
    _mm256_fmadd_pd(carry, _mm256_set1_pd(down(BITS)), limb)
}

/// The limb modulo `2^BITS`, from `-2^(BITS - 1)` to `2^(BITS - 1)`, and the rest.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn split<const BITS: u32>(limb: __m256d) -> (__m256d, __m256d) {
    let base = _mm256_set1_pd(base(BITS));
    let rest = _mm256_sub_pd(_mm256_add_pd(limb, base), base);
    (_mm256_sub_pd(limb, rest), rest)
}

/// Moves what limbs have beyond `BITS` bits to the next limb, once. The last one keeps it. From limbs below 2^53 limbs up to
/// `2^(BITS - 1) + 2^(53 - BITS)` come out.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn carried<const BITS: u32, const LIMBS: usize>(numbers: &[__m256d; LIMBS]) -> [__m256d; LIMBS] {
    let mut limbs = *numbers;
    let mut rest = _mm256_setzero_pd();
    for (index, limb) in limbs.iter_mut().enumerate() {
        let (digit, next) = if index < LIMBS - 1 {
            split::<BITS>(*limb)
        } else {
            (*limb, rest)
        };
        *limb = if index > 0 {
            add_carry::<BITS>(digit, rest)
        } else {
            digit
        };
        rest = next;
    }
    limbs
}

/// The reference, about whose value the compiler forgets everything, so that it reads factors again instead of storing them away.
#[inline]
#[allow(clippy::pointers_in_nomem_asm_block)] // Nothing reads what it points to.
pub(crate) fn forgotten<T>(value: &T) -> &T {
    let mut pointer = std::ptr::from_ref(value);
    // SAFETY: nothing is executed; the pointer stays what it is, to a value that lives as long as the result.
    unsafe {
        std::arch::asm!("/* {} */", inout(reg) pointer, options(nomem, nostack, preserves_flags));
        &*pointer
    }
}

/// Rows of products: to each column a factor times what stands behind the column.
///
/// After each row the compiler has to finish these columns before it goes on: it would rather begin with products of all columns,
/// for which there are by far not enough registers.
macro_rules! rows {
    (@finish $a:ident) => { $crate::float_products::rows!(@barrier "/* {} {} */" $a) };
    (@finish $a:ident $b:ident) => { $crate::float_products::rows!(@barrier "/* {} {} {} {} */" $a $b) };
    (@finish $a:ident $b:ident $c:ident) => {
        $crate::float_products::rows!(@barrier "/* {} {} {} {} {} {} */" $a $b $c)
    };
    (@finish $a:ident $b:ident $c:ident $d:ident) => {
        $crate::float_products::rows!(@barrier "/* {} {} {} {} {} {} {} {} */" $a $b $c $d)
    };
    (@barrier $template:literal $($column:ident)+) => {
        // SAFETY: nothing is executed.
        unsafe {
            std::arch::asm!($template, $(inout(ymm_reg) $column.high, inout(ymm_reg) $column.low,)+
                options(nomem, nostack, preserves_flags));
        }
    };
    ($($factor:expr => $($column:ident $other:expr),+;)+) => {
        $(
            let factor = $factor;
            $($column.add(factor, $other);)+
            $crate::float_products::rows!(@finish $($column)+);
        )+
    };
}
pub(crate) use rows;

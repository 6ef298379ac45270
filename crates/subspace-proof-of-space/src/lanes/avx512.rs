//! Sixteen words in a 512-bit vector.

use super::{BUCKET_FACTOR, BUCKET_SHIFT, Lanes};
use crate::bucket::{MAX_RECORD_WORDS, RECORD_WORDS};
use crate::constants::PARAM_BC;
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 with byte permutations and compressions (VBMI and VBMI2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, when it holds.
    pub(crate) fn detect() -> Option<Self> {
        (super::Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2"))
        .then_some(Self(()))
    }
}

impl From<Avx512> for super::Avx2 {
    fn from(Avx512(()): Avx512) -> Self {
        Self::implied()
    }
}

/// Sixteen words; a value of this type exists only where [`Avx512`] does.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Lanes(__m512i);

/// Wraps an expression of intrinsics.
macro_rules! lanes {
    ($expression:expr) => {
        // SAFETY: the instruction set is there, proven by the token or by an existing `Avx512Lanes`; nothing is
        // dereferenced.
        Avx512Lanes(unsafe { $expression })
    };
}

impl Lanes for Avx512Lanes {
    type Token = Avx512;
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(_token: Avx512, word: u32) -> Self {
        lanes!(_mm512_set1_epi32(word as i32))
    }

    #[inline(always)]
    fn load(_token: Avx512, words: &[u32]) -> Self {
        let words = &words[..Self::COUNT];
        // SAFETY: the token proves AVX-512, and `words` are the 64 bytes read, of any alignment.
        Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u32]) {
        let words = &mut words[..Self::COUNT];
        // SAFETY: `self` proves AVX-512, and `words` are the 64 bytes written, of any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn store_records([a, b, c, d]: [Self; MAX_RECORD_WORDS], records: &mut [[u32; MAX_RECORD_WORDS]]) {
        let records = &mut records[..Self::COUNT];
        let start = records.as_mut_ptr();
        // SAFETY: the vectors prove AVX-512, and 16 bytes of any alignment are written for each of the 16 records.
        unsafe {
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a.0, b.0), _mm512_unpackhi_epi32(a.0, b.0));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c.0, d.0), _mm512_unpackhi_epi32(c.0, d.0));
            // Vector `i` holds records i, i + 4, i + 8 and i + 12.
            let vectors = [
                _mm512_unpacklo_epi64(ab_low, cd_low),
                _mm512_unpackhi_epi64(ab_low, cd_low),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ];
            for (index, vector) in vectors.into_iter().enumerate() {
                _mm_storeu_si128(start.add(index).cast(), _mm512_castsi512_si128(vector));
                _mm_storeu_si128(
                    start.add(index + 4).cast(),
                    _mm512_extracti32x4_epi32::<1>(vector),
                );
                _mm_storeu_si128(
                    start.add(index + 8).cast(),
                    _mm512_extracti32x4_epi32::<2>(vector),
                );
                _mm_storeu_si128(
                    start.add(index + 12).cast(),
                    _mm512_extracti32x4_epi32::<3>(vector),
                );
            }
        }
    }

    #[inline(always)]
    fn gather(self, records: &[u32; RECORD_WORDS], offset: u32) -> Self {
        const { assert!(RECORD_WORDS.is_power_of_two()) };
        // SAFETY: `self` proves AVX-512, and the mask keeps every index below the length of `records`.
        Self(unsafe {
            let offset = _mm512_set1_epi32(offset as i32);
            let mask = _mm512_set1_epi32(RECORD_WORDS as i32 - 1);
            let indexes = _mm512_and_si512(_mm512_add_epi32(self.0, offset), mask);
            _mm512_i32gather_epi32::<4>(indexes, records.as_ptr().cast())
        })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        lanes!(_mm512_add_epi32(self.0, other.0))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        lanes!(_mm512_xor_si512(self.0, other.0))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        lanes!(_mm512_or_si512(self.0, other.0))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        lanes!(_mm512_and_si512(self.0, other.0))
    }

    #[inline(always)]
    fn shl(self, distance: u32) -> Self {
        lanes!(_mm512_sllv_epi32(self.0, _mm512_set1_epi32(distance as i32)))
    }

    #[inline(always)]
    fn shr(self, distance: u32) -> Self {
        lanes!(_mm512_srlv_epi32(self.0, _mm512_set1_epi32(distance as i32)))
    }

    #[inline(always)]
    fn rotr(self, distance: u32) -> Self {
        lanes!(_mm512_rorv_epi32(self.0, _mm512_set1_epi32(distance as i32)))
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        lanes!(_mm512_shuffle_epi8(
            self.0,
            _mm512_broadcast_i32x4(_mm_setr_epi8(
                3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12
            ))
        ))
    }

    #[inline(always)]
    fn bucket_and_remainder(self) -> (Self, Self) {
        let bucket = lanes!({
            let factor = _mm512_set1_epi64(i64::from(BUCKET_FACTOR));
            let even = _mm512_srli_epi64::<BUCKET_SHIFT>(_mm512_mul_epu32(self.0, factor));
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(self.0), factor);
            let odd = _mm512_srli_epi64::<{ BUCKET_SHIFT - 32 }>(odd);
            _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, odd)
        });
        let remainder = lanes!(_mm512_sub_epi32(
            self.0,
            _mm512_mullo_epi32(bucket.0, _mm512_set1_epi32(PARAM_BC as i32))
        ));
        (bucket, remainder)
    }
}

//! Eight words in a 256-bit vector.

use super::{BUCKET_FACTOR, BUCKET_SHIFT, Lanes};
use crate::bucket::{BUCKET_LIMIT, MAX_RECORD_WORDS, RECORD_WORDS};
use crate::constants::PARAM_BC;
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and the bit manipulations that came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, when it holds.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt"))
        .then_some(Self(()))
    }

    /// For tokens whose detection includes this one.
    pub(super) fn implied() -> Self {
        Self(())
    }
}

/// Eight words; a value of this type exists only where [`Avx2`] does.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Lanes(__m256i);

/// Wraps an expression of intrinsics.
macro_rules! lanes {
    ($expression:expr) => {
        // SAFETY: the instruction set is there, proven by the token or by an existing `Avx2Lanes`; nothing is
        // dereferenced.
        Avx2Lanes(unsafe { $expression })
    };
}

impl Lanes for Avx2Lanes {
    type Token = Avx2;
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(_token: Avx2, word: u32) -> Self {
        lanes!(_mm256_set1_epi32(word as i32))
    }

    #[inline(always)]
    fn load(_token: Avx2, words: &[u32]) -> Self {
        let words = &words[..Self::COUNT];
        // SAFETY: the token proves AVX2, and `words` are the 32 bytes read, of any alignment.
        Self(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u32]) {
        let words = &mut words[..Self::COUNT];
        // SAFETY: `self` proves AVX2, and `words` are the 32 bytes written, of any alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn store_records([a, b, c, d]: [Self; MAX_RECORD_WORDS], records: &mut [[u32; MAX_RECORD_WORDS]]) {
        let records = &mut records[..Self::COUNT];
        let start = records.as_mut_ptr();
        // SAFETY: the vectors prove AVX2, and 16 bytes of any alignment are written for each of the 8 records.
        unsafe {
            let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a.0, b.0), _mm256_unpackhi_epi32(a.0, b.0));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c.0, d.0), _mm256_unpackhi_epi32(c.0, d.0));
            // Vector `i` holds records i and i + 4.
            let vectors = [
                _mm256_unpacklo_epi64(ab_low, cd_low),
                _mm256_unpackhi_epi64(ab_low, cd_low),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ];
            for (index, vector) in vectors.into_iter().enumerate() {
                _mm_storeu_si128(start.add(index).cast(), _mm256_castsi256_si128(vector));
                _mm_storeu_si128(start.add(index + 4).cast(), _mm256_extracti128_si256::<1>(vector));
            }
        }
    }

    #[inline(always)]
    fn gather(self, records: &[u32; RECORD_WORDS], offset: u32) -> Self {
        const { assert!(RECORD_WORDS.is_power_of_two()) };
        // SAFETY: `self` proves AVX2, and the mask keeps every index below the length of `records`.
        Self(unsafe {
            let offset = _mm256_set1_epi32(offset as i32);
            let mask = _mm256_set1_epi32(RECORD_WORDS as i32 - 1);
            let indexes = _mm256_and_si256(_mm256_add_epi32(self.0, offset), mask);
            _mm256_i32gather_epi32::<4>(records.as_ptr().cast(), indexes)
        })
    }

    /// Loads whole records and transposes them, which takes fewer steps than a gathering load for each word.
    #[inline(always)]
    fn gather_records<const WORDS: usize, const NEEDED: usize>(
        token: Avx2,
        places: &[u32],
        shift: u32,
        records: &[u32; RECORD_WORDS],
    ) -> [Self; MAX_RECORD_WORDS] {
        const { assert!(WORDS <= MAX_RECORD_WORDS && BUCKET_LIMIT * MAX_RECORD_WORDS <= RECORD_WORDS) };
        let places: &[u32; Self::COUNT] = places.first_chunk().expect("as many places as lanes");
        if WORDS == 1 {
            let word = |lane: usize| records[(places[lane] >> shift) as usize % BUCKET_LIMIT];
            let words: [u32; Self::COUNT] = std::array::from_fn(word);
            return [Self::load(token, &words); MAX_RECORD_WORDS];
        }
        let start = |lane: usize| {
            let place = (places[lane] >> shift) as usize % BUCKET_LIMIT;
            // In bounds: a record of the most words at the last place ends where `records` does.
            records.as_ptr().wrapping_add(place * WORDS).cast()
        };
        // SAFETY: the token proves AVX2, and 16 bytes of any alignment are read at places in bounds, see above.
        unsafe {
            // Records i and i + 4.
            let pair = |lane| {
                let low = _mm256_castsi128_si256(_mm_loadu_si128(start(lane)));
                _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(start(lane + 4)))
            };
            let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
            let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                Self(_mm256_unpacklo_epi64(ab_low, cd_low)),
                Self(_mm256_unpackhi_epi64(ab_low, cd_low)),
                Self(_mm256_unpacklo_epi64(ab_high, cd_high)),
                Self(_mm256_unpackhi_epi64(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        lanes!(_mm256_add_epi32(self.0, other.0))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        lanes!(_mm256_xor_si256(self.0, other.0))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        lanes!(_mm256_or_si256(self.0, other.0))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        lanes!(_mm256_and_si256(self.0, other.0))
    }

    #[inline(always)]
    fn shl(self, distance: u32) -> Self {
        lanes!(_mm256_sllv_epi32(self.0, _mm256_set1_epi32(distance as i32)))
    }

    #[inline(always)]
    fn shr(self, distance: u32) -> Self {
        lanes!(_mm256_srlv_epi32(self.0, _mm256_set1_epi32(distance as i32)))
    }

    #[inline(always)]
    fn rotr(self, distance: u32) -> Self {
        // Whole bytes: one shuffle instead of two shifts.
        match distance {
            8 => lanes!(_mm256_shuffle_epi8(
                self.0,
                _mm256_broadcastsi128_si256(_mm_setr_epi8(
                    1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12
                ))
            )),
            16 => lanes!(_mm256_shuffle_epi8(
                self.0,
                _mm256_broadcastsi128_si256(_mm_setr_epi8(
                    2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
                ))
            )),
            _ => self.shr(distance).or(self.shl(32 - distance)),
        }
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        lanes!(_mm256_shuffle_epi8(
            self.0,
            _mm256_broadcastsi128_si256(_mm_setr_epi8(
                3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12
            ))
        ))
    }

    #[inline(always)]
    fn bucket_and_remainder(self) -> (Self, Self) {
        let bucket = lanes!({
            let factor = _mm256_set1_epi64x(i64::from(BUCKET_FACTOR));
            let even = _mm256_srli_epi64::<{ BUCKET_SHIFT as i32 }>(_mm256_mul_epu32(self.0, factor));
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(self.0), factor);
            let odd = _mm256_srli_epi64::<{ BUCKET_SHIFT as i32 - 32 }>(odd);
            _mm256_blend_epi32::<0b1010_1010>(even, odd)
        });
        let remainder = lanes!(_mm256_sub_epi32(
            self.0,
            _mm256_mullo_epi32(bucket.0, _mm256_set1_epi32(PARAM_BC as i32))
        ));
        (bucket, remainder)
    }
}

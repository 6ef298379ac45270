//! Matching with 256-bit vectors: 32 right entries at a time.

use super::{Matches, windows};
use crate::bucket::SortedBucket;
use crate::constants::{COLUMN_SHIFTS, PARAM_C};
use crate::lanes::Avx2;
use std::arch::x86_64::*;

/// Right entries compared at a time.
const STEP: usize = 32;

/// Appends the matches of left entries from place `left_place` on; returns the first place not handled for lack of space.
pub(crate) fn find_matches(
    _token: Avx2,
    left: &SortedBucket,
    left_place: usize,
    right: &SortedBucket,
    parity: usize,
    matches: &mut Matches,
) -> usize {
    // SAFETY: the token proves the instruction set.
    unsafe { find(left, left_place, right, parity, matches) }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn load(bytes: &[u8; STEP]) -> __m256i {
    // SAFETY: exactly the 32 bytes read, of any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// 16 bytes in both halves.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn load_twice(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: exactly the 16 bytes read, of any alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn find(
    left: &SortedBucket,
    mut left_place: usize,
    right: &SortedBucket,
    parity: usize,
    matches: &mut Matches,
) -> usize {
    let [shifts_0, shifts_1, shifts_2, shifts_3] = {
        let quarters = COLUMN_SHIFTS[parity].as_chunks().0;
        [
            load_twice(&quarters[0]),
            load_twice(&quarters[1]),
            load_twice(&quarters[2]),
            load_twice(&quarters[3]),
        ]
    };
    let columns_count = _mm256_set1_epi8(PARAM_C as i8);
    matches.len = 0;
    while left_place < left.len() && matches.has_place() {
        let left_column = _mm256_set1_epi8(left.columns[left_place] as i8);
        for window in windows(left.rows[left_place], right) {
            let base = _mm256_set1_epi8(window.base as i8);
            let mut place = window.places.start;
            while place < window.places.end {
                let rows = load(right.rows[place..].first_chunk().expect("rows are padded"));
                let columns = load(right.columns[place..].first_chunk().expect("columns are padded"));
                // Shift for every m below 64, which takes four tables of 16, chosen by bits 4 and 5.
                let m = _mm256_sub_epi8(rows, base);
                let bit_4 = _mm256_slli_epi16::<3>(m);
                let bit_5 = _mm256_slli_epi16::<2>(m);
                let low = _mm256_and_si256(m, _mm256_set1_epi8(15));
                let shifts = _mm256_blendv_epi8(
                    _mm256_blendv_epi8(
                        _mm256_shuffle_epi8(shifts_0, low),
                        _mm256_shuffle_epi8(shifts_1, low),
                        bit_4,
                    ),
                    _mm256_blendv_epi8(
                        _mm256_shuffle_epi8(shifts_2, low),
                        _mm256_shuffle_epi8(shifts_3, low),
                        bit_4,
                    ),
                    bit_5,
                );
                // The smaller one of d and d + 127 modulo 256 is d modulo 127.
                let distance = _mm256_sub_epi8(columns, left_column);
                let distance = _mm256_min_epu8(distance, _mm256_add_epi8(distance, columns_count));
                let hits = _mm256_movemask_epi8(_mm256_cmpeq_epi8(distance, shifts)) as u32;
                let mut hits = _bzhi_u32(hits, (window.places.end - place).min(STEP) as u32);
                while hits != 0 {
                    matches.push(left_place, place + hits.trailing_zeros() as usize);
                    hits &= hits - 1;
                }
                place += STEP;
            }
        }
        left_place += 1;
    }
    left_place
}

//! Matching with 512-bit vectors: 64 right entries at a time, without branches on what matches.

use super::{Matches, windows, word};
use crate::bucket::SortedBucket;
use crate::constants::{COLUMN_SHIFTS, PARAM_C};
use crate::lanes::Avx512;
use std::arch::x86_64::*;

/// Right entries compared at a time.
const STEP: usize = 64;
/// Matches written at a time.
const QUARTER: usize = 16;

/// Numbers of the lanes.
const LANE_NUMBERS: [u8; STEP] = {
    let mut numbers = [0; STEP];
    let mut lane = 0;
    while lane < STEP {
        numbers[lane] = lane as u8;
        lane += 1;
    }
    numbers
};

/// Appends the matches of left entries from place `left_place` on; returns the first place not handled for lack of space.
pub(crate) fn find_matches(
    _token: Avx512,
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn load(bytes: &[u8; STEP]) -> __m512i {
    // SAFETY: exactly the 64 bytes read, of any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn find(
    left: &SortedBucket,
    mut left_place: usize,
    right: &SortedBucket,
    parity: usize,
    matches: &mut Matches,
) -> usize {
    let shifts = load(&COLUMN_SHIFTS[parity]);
    let lane_numbers = load(&LANE_NUMBERS);
    let columns_count = _mm512_set1_epi8(PARAM_C as i8);
    let mut len = 0;
    matches.len = 0;
    while left_place < left.len() && matches.has_place() {
        // Wanted column for every m; the smaller one of s and s - 127 modulo 256 is s modulo 127.
        let column = _mm512_set1_epi8(left.columns[left_place] as i8);
        let sums = _mm512_add_epi8(shifts, column);
        let wanted = _mm512_min_epu8(sums, _mm512_sub_epi8(sums, columns_count));

        for window in windows(left.rows[left_place], right) {
            let base = _mm512_set1_epi8(window.base as i8);
            let mut place = window.places.start;
            while place < window.places.end {
                let rows = load(right.rows[place..].first_chunk().expect("rows are padded"));
                let columns = load(right.columns[place..].first_chunk().expect("columns are padded"));
                let wanted = _mm512_permutexvar_epi8(_mm512_sub_epi8(rows, base), wanted);
                let hits = _mm512_cmpeq_epi8_mask(wanted, columns);
                let hits = _bzhi_u64(hits, (window.places.end - place).min(STEP) as u32);

                let lanes = _mm512_maskz_compress_epi8(hits, lane_numbers);
                let pair = _mm512_set1_epi32(word(left_place, place) as i32);
                let mut write = |lanes: __m128i, offset: usize| {
                    let words = _mm512_add_epi32(_mm512_cvtepu8_epi32(lanes), pair);
                    let target = &mut matches.words[len + offset..][..QUARTER];
                    // SAFETY: exactly the 64 bytes written, of any alignment.
                    unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), words) }
                };
                write(_mm512_castsi512_si128(lanes), 0);
                let count = hits.count_ones() as usize;
                if count > QUARTER {
                    // Only when many right entries are equal.
                    write(_mm512_extracti32x4_epi32::<1>(lanes), QUARTER);
                    write(_mm512_extracti32x4_epi32::<2>(lanes), 2 * QUARTER);
                    write(_mm512_extracti32x4_epi32::<3>(lanes), 3 * QUARTER);
                }
                len += count;
                place += STEP;
            }
        }
        matches.len = len;
        left_place += 1;
    }
    left_place
}

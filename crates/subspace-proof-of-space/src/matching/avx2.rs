//! Matching with 256-bit vectors: 32 right entries at a time.
//!
//! Which column of a left entry a right entry matches depends on the row of the left entry only. So these columns, the targets, are
//! computed first, for every row and every right entry in reach of it; then each left entry is compared with the targets of its row.
//! Matches are written without asking whether there are any, as far as that is possible: a left entry has one on average, and no
//! processor can predict which ones have.

use super::{MATCHES_LIMIT, Matches, find_matches_portable, word};
use crate::bucket::{BUCKET_LIMIT, SortedBucket};
use crate::constants::{PARAM_B, PARAM_C, PARAM_M};
use crate::lanes::Avx2;
use std::arch::x86_64::*;
use std::ops::Range;

/// Right entries in a vector.
const STEP: usize = 32;
/// Right entries in a word of hits.
const WORD: usize = 64;
/// Rows of a bucket.
const ROWS: usize = PARAM_B as usize;
/// Rows in reach of a left entry, its own included.
const REACH: usize = PARAM_M as usize;
/// No column.
const NO_TARGET: u8 = 0xff;
/// A row that is in reach of none, in either turn of the rows.
const NO_ROW: u8 = 187;
/// Most rows from the first to the last entry of a vector: so far that none of them is in reach of a row in both turns. Sixteen are
/// usual; a bucket with so few entries that they lie further apart does not exist in a table.
const MAX_SPAN: usize = ROWS - REACH;

/// Appends the matches of left entries from place `left_place` on; returns the first place not handled for lack of space.
pub(crate) fn find_matches(
    _token: Avx2,
    left: &SortedBucket,
    left_place: usize,
    right: &SortedBucket,
    parity: usize,
    matches: &mut Matches,
) -> usize {
    let stride = right.len().next_multiple_of(WORD);
    // SAFETY: the token proves the instruction set.
    if unsafe { fill_targets(right, parity, stride, &mut matches.targets[..]) } {
        // SAFETY: as above.
        unsafe { find(left, left_place, stride, matches) }
    } else {
        find_matches_portable(left, left_place, right, parity, matches)
    }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn load(bytes: &[u8; STEP]) -> __m256i {
    // SAFETY: exactly the 32 bytes read, of any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn store(bytes: &mut [u8; STEP], vector: __m256i) {
    // SAFETY: exactly the 32 bytes written, of any alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// A number below 254 modulo 127.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn reduced(number: __m256i) -> __m256i {
    _mm256_min_epu8(number, _mm256_sub_epi8(number, _mm256_set1_epi8(PARAM_C as i8)))
}

/// The difference of two numbers below 127, modulo 127.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn difference(a: __m256i, b: __m256i) -> __m256i {
    let difference = _mm256_sub_epi8(a, b);
    _mm256_min_epu8(
        difference,
        _mm256_add_epi8(difference, _mm256_set1_epi8(PARAM_C as i8)),
    )
}

/// Writes the targets of all rows, `stride` for each: a byte for every right entry, which is the column that it matches in this row, or
/// [`NO_TARGET`]. `false`, and nothing that counts, for a bucket that is too sparse.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn fill_targets(right: &SortedBucket, parity: usize, stride: usize, targets: &mut [u8]) -> bool {
    let len = right.len();
    for first in (0..stride).step_by(STEP) {
        let mut column = Column {
            targets,
            stride,
            first,
        };
        if first >= len {
            column.leave_out(0..ROWS);
            continue;
        }
        let first_row = usize::from(right.rows[first]);
        let last_row = usize::from(right.rows[(first + STEP).min(len) - 1]);
        if last_row - first_row >= MAX_SPAN {
            return false;
        }
        let mut entry_rows = [NO_ROW; STEP];
        let count = (len - first).min(STEP);
        entry_rows[..count].copy_from_slice(&right.rows[first..first + count]);
        let entries = Entries {
            rows: load(&entry_rows),
            columns: load(right.columns[first..].first_chunk().expect("columns are padded")),
            parity,
        };
        // Rows above the entries, and in the next turn, where rows count as `ROWS` more, those at the end of the bucket.
        let above = (first_row + 1).saturating_sub(REACH)..last_row + 1;
        let next_turn = (first_row + ROWS + 1 - REACH).min(ROWS)..ROWS;
        column.leave_out(0..above.start);
        column.leave_out(above.end..next_turn.start);
        column.write(&entries, above, 0);
        column.write(&entries, next_turn, ROWS);
    }
    true
}

/// The targets of 32 right entries, for all rows.
struct Column<'a> {
    targets: &'a mut [u8],
    stride: usize,
    /// Place of the first entry.
    first: usize,
}

/// 32 right entries.
struct Entries {
    rows: __m256i,
    columns: __m256i,
    parity: usize,
}

impl Column<'_> {
    /// These rows are in reach of none of the entries.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn leave_out(&mut self, rows: Range<usize>) {
        for row in rows {
            self.set(row, _mm256_set1_epi8(NO_TARGET as i8));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn set(&mut self, row: usize, vector: __m256i) {
        let place = row * self.stride + self.first;
        store(
            self.targets[place..].first_chunk_mut().expect("there is room"),
            vector,
        );
    }

    /// Targets of these rows, when the rows of entries count as `turn` more.
    ///
    /// With `m` the difference of rows, the target is the entry's column less the shift `(2m + parity)^2`. From one row to the next `m`
    /// falls by one, so the target grows by `8m + 4 parity - 4`, which in turn falls by eight.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn write(&mut self, entries: &Entries, rows: Range<usize>, turn: usize) {
        let splat = |byte: u8| _mm256_set1_epi8(byte as i8);
        let mut m = _mm256_add_epi8(entries.rows, splat((turn as u8).wrapping_sub(rows.start as u8)));
        let mut target = difference(entries.columns, shift(m, entries.parity));
        let mut growth = {
            // Modulo 127, three bits to the left is a rotation of seven bits.
            let low = _mm256_and_si256(_mm256_slli_epi16::<3>(m), splat(0x78));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(m), splat(0x07));
            let rest = [PARAM_C as u8 - 4, 0][entries.parity];
            reduced(_mm256_add_epi8(reduced(_mm256_or_si256(low, high)), splat(rest)))
        };
        for row in rows {
            // Whether `m` is 64 at least, or negative, in the highest bit.
            let is_out = _mm256_adds_epu8(m, splat(128 - REACH as u8));
            self.set(row, _mm256_blendv_epi8(target, splat(NO_TARGET), is_out));
            target = reduced(_mm256_add_epi8(target, growth));
            growth = difference(growth, splat(8));
            m = _mm256_sub_epi8(m, splat(1));
        }
    }
}

/// `(2m + parity)^2 mod 127` for every `m` below 128: rows of one vector are not all in reach at the same time.
const SHIFTS: [[[u8; 16]; 8]; 2] = {
    let mut shifts = [[[0; 16]; 8]; 2];
    let mut index = 0;
    while index < 256 {
        let (parity, m) = (index / 128, index % 128);
        let root = 2 * m + parity;
        shifts[parity][m / 16][m % 16] = (root * root % PARAM_C as usize) as u8;
        index += 1;
    }
    shifts
};

/// The shifts for numbers below 128; of larger ones, anything.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn shift(m: __m256i, parity: usize) -> __m256i {
    let bits = _mm256_and_si256(m, _mm256_set1_epi8(15));
    let [a, b, c, d, e, f, g, h] = SHIFTS[parity].map(|shifts| {
        // SAFETY: exactly the 16 bytes read, of any alignment.
        let table = unsafe { _mm_loadu_si128(shifts.as_ptr().cast()) };
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), bits)
    });
    // Bits 4 to 6 choose the table.
    let bit_4 = _mm256_slli_epi16::<3>(m);
    let bit_5 = _mm256_slli_epi16::<2>(m);
    let bit_6 = _mm256_slli_epi16::<1>(m);
    let quarter = |a, b, c, d| {
        let (low, high) = (_mm256_blendv_epi8(a, b, bit_4), _mm256_blendv_epi8(c, d, bit_4));
        _mm256_blendv_epi8(low, high, bit_5)
    };
    _mm256_blendv_epi8(quarter(a, b, c, d), quarter(e, f, g, h), bit_6)
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn find(left: &SortedBucket, mut left_place: usize, stride: usize, matches: &mut Matches) -> usize {
    // Not in `matches`, so that it need not be written back for every word.
    let mut len = 0;
    while left_place < left.len() && len + BUCKET_LIMIT <= MATCHES_LIMIT {
        let start = usize::from(left.rows[left_place]) * stride;
        let column = _mm256_set1_epi8(left.columns[left_place] as i8);
        let mut first_word = word(left_place, 0);
        for targets in matches.targets[start..start + stride].as_chunks::<WORD>().0 {
            let [low, high] = [0, STEP].map(|half| {
                let targets = load(targets[half..].first_chunk().expect("two halves"));
                u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(targets, column)) as u32)
            });
            let hits = low | high << STEP;
            // Counts only when there is a hit.
            matches.words[len] = first_word.wrapping_add(hits.trailing_zeros());
            len += usize::from(hits != 0);
            let mut more = _blsr_u64(hits);
            while more != 0 {
                matches.words[len] = first_word + more.trailing_zeros();
                len += 1;
                more = _blsr_u64(more);
            }
            first_word += WORD as u32;
        }
        left_place += 1;
    }
    matches.len = len;
    left_place
}

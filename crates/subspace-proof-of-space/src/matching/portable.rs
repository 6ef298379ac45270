//! Matching without special instructions: the wanted column of every row is looked up in a bitmap.

use super::{Matches, windows};
use crate::bucket::SortedBucket;
use crate::constants::{COLUMN_SHIFTS, PARAM_B, PARAM_C};

/// Appends the matches of left entries from place `left_place` on; returns the first place not handled for lack of space.
pub(crate) fn find_matches(
    left: &SortedBucket,
    mut left_place: usize,
    right: &SortedBucket,
    parity: usize,
    matches: &mut Matches,
) -> usize {
    let mut occupied = [0_u128; PARAM_B as usize];
    for place in 0..right.len() {
        occupied[usize::from(right.rows[place])] |= 1 << right.columns[place];
    }
    matches.len = 0;
    while left_place < left.len() && matches.has_place() {
        let row = left.rows[left_place];
        let column = left.columns[left_place];
        for window in windows(row, right) {
            if window.places.is_empty() {
                continue;
            }
            let first_row = usize::from(right.rows[window.places.start]);
            let last_row = usize::from(right.rows[window.places.end - 1]);
            for (row, occupied) in (first_row..).zip(&occupied[first_row..=last_row]) {
                let m = (row as u8).wrapping_sub(window.base);
                let sum = column + COLUMN_SHIFTS[parity][usize::from(m)];
                let wanted = if sum >= PARAM_C as u8 {
                    sum - PARAM_C as u8
                } else {
                    sum
                };
                if (occupied >> wanted) & 1 == 0 {
                    continue;
                }
                for place in usize::from(right.row_starts[row])..usize::from(right.row_starts[row + 1]) {
                    if right.columns[place] == wanted {
                        matches.push(left_place, place);
                    }
                }
            }
        }
        left_place += 1;
    }
    left_place
}

//! Finding the pairs of two neighbouring buckets that match.
//!
//! A left entry matches at most one column in each of the 64 rows that follow its own (cyclically). Entries of the right
//! bucket are sorted, so these rows are one or two ranges of them; vector code compares the column of every entry there with
//! the one wanted in its row.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::find_matches as find_matches_avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::find_matches as find_matches_avx512;
pub(crate) use portable::find_matches as find_matches_portable;

use crate::bucket::{BUCKET_LIMIT, BUCKET_LIMIT_BITS, SortedBucket};
use crate::constants::{PARAM_B, PARAM_M};
use std::ops::Range;

/// Matches collected before they are hashed. Two neighbouring buckets have 236 on average; when there are more than fit, they
/// are handled in several goes.
const MATCHES_LIMIT: usize = 1024;
/// Vector code writes whole vectors, of which only the first words count.
pub(crate) const MATCHES_PADDING: usize = 64;
/// Words of a list of matches.
pub(crate) const MATCHES_WORDS: usize = MATCHES_LIMIT + MATCHES_PADDING;

/// Matches of two neighbouring buckets in canonical order: by left place, then by right place.
pub(crate) struct Matches {
    len: usize,
    /// Left place above, right place in the low [`BUCKET_LIMIT_BITS`] bits.
    pub(crate) words: [u32; MATCHES_WORDS],
    /// Room for code that computes for every row which columns right entries match there, before it looks at left entries.
    targets: Box<[u8; PARAM_B as usize * BUCKET_LIMIT]>,
}

impl Matches {
    pub(crate) fn new() -> Self {
        Self {
            len: 0,
            words: [0; MATCHES_WORDS],
            targets: Box::new([0; PARAM_B as usize * BUCKET_LIMIT]),
        }
    }

    /// Number of matches.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is place for everything one left entry can match.
    #[inline(always)]
    fn has_place(&self) -> bool {
        self.len + BUCKET_LIMIT <= MATCHES_LIMIT
    }

    #[inline(always)]
    fn push(&mut self, left: usize, right: usize) {
        self.words[self.len] = word(left, right);
        self.len += 1;
    }

    /// The matches and zeros up to a multiple of `lanes`.
    #[inline(always)]
    pub(crate) fn padded(&mut self, lanes: usize) -> &[u32] {
        let padded = self.len.next_multiple_of(lanes);
        self.words[self.len..padded].fill(0);
        &self.words[..padded]
    }
}

/// A pair in one word.
#[inline(always)]
fn word(left: usize, right: usize) -> u32 {
    ((left << BUCKET_LIMIT_BITS) | right) as u32
}

/// Right entries that one left entry is compared with: places in ascending order, and the row its own row counts as there.
/// The difference of a row in `places` and `base`, modulo 256, is below 64.
struct Window {
    places: Range<usize>,
    base: u8,
}

/// The windows of left entries in `row`, in ascending order; the first one may be empty.
#[inline(always)]
fn windows(row: u8, right: &SortedBucket) -> [Window; 2] {
    const ROWS: usize = PARAM_B as usize;
    const REACH: usize = PARAM_M as usize;
    let first_row = usize::from(row);
    let start = |row: usize| usize::from(right.row_starts[row]);
    if first_row + REACH <= ROWS {
        let places = start(first_row)..start(first_row + REACH);
        [
            Window {
                places: 0..0,
                base: 0,
            },
            Window { places, base: row },
        ]
    } else {
        [
            Window {
                places: 0..start(first_row + REACH - ROWS),
                base: row.wrapping_sub(ROWS as u8),
            },
            Window {
                places: start(first_row)..right.len(),
                base: row,
            },
        ]
    }
}

#[cfg(test)]
mod tests;

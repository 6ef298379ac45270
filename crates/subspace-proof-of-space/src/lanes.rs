//! Vectors of 32-bit words, one operation for several matches at once.
//!
//! The instruction set of a vector type is proven by a token that only detection hands out, so everything here is safe to
//! call. All functions are inlined into a caller that is compiled for that instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2, Avx2Lanes};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Lanes};

use crate::bucket::{BUCKET_LIMIT, MAX_RECORD_WORDS, RECORD_WORDS};
use crate::constants::PARAM_BC;

/// `y / BC = y * BUCKET_FACTOR >> BUCKET_SHIFT` for every 26-bit `y`.
const BUCKET_FACTOR: u32 = 72_752_705;
/// See [`BUCKET_FACTOR`].
const BUCKET_SHIFT: u32 = 40;

/// [`Lanes::COUNT`] unsigned 32-bit words.
pub(crate) trait Lanes: Copy {
    /// Proof that the processor supports the instruction set.
    type Token: Copy;
    /// Number of words.
    const COUNT: usize;

    /// All words equal.
    fn splat(token: Self::Token, word: u32) -> Self;
    /// The first words of a slice, which must be long enough.
    fn load(token: Self::Token, words: &[u32]) -> Self;
    /// Writes to the start of a slice, which must be long enough.
    fn store(self, words: &mut [u32]);
    /// Writes records to the start of a list, which must be long enough: record `i` consists of word `i` of every vector.
    fn store_records(words: [Self; MAX_RECORD_WORDS], records: &mut [[u32; MAX_RECORD_WORDS]]);
    /// `records[(self + offset) % RECORD_WORDS]`.
    fn gather(self, records: &[u32; RECORD_WORDS], offset: u32) -> Self;
    /// The first `NEEDED` words of records of `WORDS` words; the others are anything. The places of the records are `BUCKET_LIMIT_BITS`
    /// bits of the first [`Lanes::COUNT`] words of `places`, from bit `shift` on.
    #[inline(always)]
    fn gather_records<const WORDS: usize, const NEEDED: usize>(
        token: Self::Token,
        places: &[u32],
        shift: u32,
        records: &[u32; RECORD_WORDS],
    ) -> [Self; MAX_RECORD_WORDS] {
        let place = Self::load(token, places)
            .shr(shift)
            .and(Self::splat(token, BUCKET_LIMIT as u32 - 1));
        let start = match WORDS {
            1 => place,
            2 => place.shl(1),
            3 => place.add(place.shl(1)),
            _ => place.shl(2),
        };
        let mut words = [start; MAX_RECORD_WORDS];
        for (offset, word) in words.iter_mut().enumerate().take(NEEDED) {
            *word = start.gather(records, offset as u32);
        }
        words
    }
    /// Wrapping sum.
    fn add(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Left shift, `distance < 32`.
    fn shl(self, distance: u32) -> Self;
    /// Right shift, `distance < 32`.
    fn shr(self, distance: u32) -> Self;
    /// Rotation to the right, `0 < distance < 32`.
    fn rotr(self, distance: u32) -> Self;
    /// Bytes of every word reversed.
    fn swap_bytes(self) -> Self;
    /// Bucket and remainder of every 26-bit `y`.
    fn bucket_and_remainder(self) -> (Self, Self);
}

/// One word: the portable vector.
impl Lanes for u32 {
    type Token = ();
    const COUNT: usize = 1;

    #[inline(always)]
    fn splat((): (), word: u32) -> Self {
        word
    }

    #[inline(always)]
    fn load((): (), words: &[u32]) -> Self {
        words[0]
    }

    #[inline(always)]
    fn store(self, words: &mut [u32]) {
        words[0] = self;
    }

    #[inline(always)]
    fn store_records(words: [Self; MAX_RECORD_WORDS], records: &mut [[u32; MAX_RECORD_WORDS]]) {
        records[0] = words;
    }

    #[inline(always)]
    fn gather(self, records: &[u32; RECORD_WORDS], offset: u32) -> Self {
        records[(self + offset) as usize % RECORD_WORDS]
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn shl(self, distance: u32) -> Self {
        self << distance
    }

    #[inline(always)]
    fn shr(self, distance: u32) -> Self {
        self >> distance
    }

    #[inline(always)]
    fn rotr(self, distance: u32) -> Self {
        self.rotate_right(distance)
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        u32::swap_bytes(self)
    }

    #[inline(always)]
    fn bucket_and_remainder(self) -> (Self, Self) {
        (self / PARAM_BC, self % PARAM_BC)
    }
}

#[cfg(test)]
mod tests;

//! The bitmap of one record: which s-buckets hold an encoded chunk of it, and what follows about the others.

use super::{NUM_CHUNKS, NUM_S_BUCKETS, RECORD_BITMAP_SIZE};
use std::fmt;
use subspace_core_primitives::pieces::SBucket;

/// The bitmap as 64-bit words; bit `s % 64` of word `s / 64` is s-bucket `s`.
pub(crate) const WORDS: usize = NUM_S_BUCKETS / 64;
pub(crate) type Words = [u64; WORDS];

/// How a chunk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// Masked with the hash of a proof of space; such chunks can win.
    Encoded,
    /// As it is in the extended record, because there were not enough proofs; never wins.
    Unencoded,
}

/// More bits are set than a record has chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record bitmap marks {encoded_chunks} encoded chunks but a record has 32768 chunks; the bitmap is damaged, plot \
     the sector again"
)]
pub struct TooManyEncodedChunksError {
    /// Bits that are set.
    pub encoded_chunks: u32,
}

/// Bitmap of one record over the 65 536 s-buckets.
///
/// A set bit is an encoded chunk. A record has exactly 32 768 stored chunks: when fewer bits are set, the missing ones are
/// unencoded and stand in the lowest s-buckets whose bit is not set.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordBitmap {
    words: Box<Words>,
    /// Set bits, at most `NUM_CHUNKS`.
    encoded_chunks: u16,
}

impl fmt::Debug for RecordBitmap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordBitmap")
            .field("encoded_chunks", &self.encoded_chunks)
            .finish_non_exhaustive()
    }
}

impl RecordBitmap {
    /// Reads a bitmap as it is stored: bit `s % 8`, counted from the least significant one, of byte `s / 8`.
    ///
    /// # Errors
    /// When more than 32 768 bits are set.
    pub fn from_bytes(bytes: &[u8; RECORD_BITMAP_SIZE]) -> Result<Self, TooManyEncodedChunksError> {
        let mut words = zero_words();
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self::from_words(words)
    }

    /// # Errors
    /// When more than 32 768 bits are set.
    pub(crate) fn from_words(words: Box<Words>) -> Result<Self, TooManyEncodedChunksError> {
        let encoded_chunks = words.iter().map(|word| word.count_ones()).sum::<u32>();
        match u16::try_from(encoded_chunks) {
            Ok(count) if usize::from(count) <= NUM_CHUNKS => Ok(Self {
                words,
                encoded_chunks: count,
            }),
            _ => Err(TooManyEncodedChunksError { encoded_chunks }),
        }
    }

    /// Writes the stored form.
    pub fn write_bytes(&self, output: &mut [u8; RECORD_BITMAP_SIZE]) {
        for (output, word) in output.as_chunks_mut().0.iter_mut().zip(self.words.iter()) {
            *output = word.to_le_bytes();
        }
    }

    /// The stored form, 8192 bytes.
    pub fn to_bytes(&self) -> Box<[u8; RECORD_BITMAP_SIZE]> {
        let mut output: Box<[u8; RECORD_BITMAP_SIZE]> = vec![0; RECORD_BITMAP_SIZE]
            .into_boxed_slice()
            .try_into()
            .expect("allocated with exactly this length");
        self.write_bytes(&mut output);
        output
    }

    /// Encoded chunks, `0..=32 768`.
    pub fn encoded_chunks(&self) -> u16 {
        self.encoded_chunks
    }

    /// Whether the record has an encoded chunk in this s-bucket.
    pub fn is_encoded(&self, s_bucket: SBucket) -> bool {
        let s_bucket = usize::from(s_bucket);
        self.words[s_bucket / 64] >> (s_bucket % 64) & 1 == 1
    }

    /// What the record has in this s-bucket, if anything.
    pub fn chunk(&self, s_bucket: SBucket) -> Option<ChunkKind> {
        if self.is_encoded(s_bucket) {
            return Some(ChunkKind::Encoded);
        }
        let unencoded_chunks = self.unencoded_chunks();
        if unencoded_chunks == 0 {
            return None;
        }
        let s_bucket = usize::from(s_bucket);
        let below = s_bucket % 64;
        let set_below = self.words[..s_bucket / 64]
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum::<usize>()
            + (self.words[s_bucket / 64] & ((1 << below) - 1)).count_ones() as usize;
        (s_bucket - set_below < unencoded_chunks).then_some(ChunkKind::Unencoded)
    }

    /// All stored chunks of the record by ascending s-bucket, always 32 768.
    pub fn chunks(&self) -> RecordChunkIter<'_> {
        RecordChunkIter {
            bitmap: self,
            s_bucket: 0,
            unencoded_left: self.unencoded_chunks(),
        }
    }

    /// Words with a bit for every stored chunk, encoded or not; exactly 32 768 are set.
    pub(crate) fn stored_words(&self) -> Box<Words> {
        let mut stored = self.words.clone();
        let mut left = self.unencoded_chunks() as u32;
        for word in stored.iter_mut() {
            if left == 0 {
                break;
            }
            let mut free = !*word;
            if free.count_ones() <= left {
                left -= free.count_ones();
                *word = u64::MAX;
            } else {
                while left > 0 {
                    *word |= free & free.wrapping_neg();
                    free &= free - 1;
                    left -= 1;
                }
            }
        }
        stored
    }

    fn unencoded_chunks(&self) -> usize {
        NUM_CHUNKS - usize::from(self.encoded_chunks)
    }
}

pub(crate) fn zero_words() -> Box<Words> {
    vec![0; WORDS]
        .into_boxed_slice()
        .try_into()
        .expect("allocated with exactly this many words")
}

/// See [`RecordBitmap::chunks`].
#[derive(Debug, Clone)]
pub struct RecordChunkIter<'a> {
    bitmap: &'a RecordBitmap,
    s_bucket: u32,
    unencoded_left: usize,
}

impl Iterator for RecordChunkIter<'_> {
    type Item = (SBucket, ChunkKind);

    fn next(&mut self) -> Option<Self::Item> {
        while let Ok(s_bucket) = u16::try_from(self.s_bucket) {
            let s_bucket = SBucket::from(s_bucket);
            self.s_bucket += 1;
            if self.bitmap.is_encoded(s_bucket) {
                return Some((s_bucket, ChunkKind::Encoded));
            }
            if self.unencoded_left > 0 {
                self.unencoded_left -= 1;
                return Some((s_bucket, ChunkKind::Unencoded));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bitmap(set: impl Fn(usize) -> bool) -> Result<RecordBitmap, TooManyEncodedChunksError> {
        let mut bytes = [0; RECORD_BITMAP_SIZE];
        for s_bucket in (0..NUM_S_BUCKETS).filter(|&s_bucket| set(s_bucket)) {
            bytes[s_bucket / 8] |= 1 << (s_bucket % 8);
        }
        RecordBitmap::from_bytes(&bytes)
    }

    #[test]
    fn bits_count_from_the_least_significant_one() {
        let mut bytes = [0; RECORD_BITMAP_SIZE];
        bytes[1] = 0b0000_0010;
        let bitmap = RecordBitmap::from_bytes(&bytes).unwrap();
        assert!(bitmap.is_encoded(SBucket::from(9)));
        assert_eq!(bitmap.encoded_chunks(), 1);
        assert_eq!(bitmap.to_bytes().as_slice(), bytes);
    }

    #[test]
    fn a_record_cannot_have_more_chunks_than_it_has() {
        assert_eq!(bitmap(|s| s % 2 == 0).unwrap().encoded_chunks(), 32_768);
        let error = bitmap(|s| s % 2 == 0 || s == 1).unwrap_err();
        assert_eq!(error.encoded_chunks, 32_769);
        // Does not fit the counter.
        assert_eq!(bitmap(|_| true).unwrap_err().encoded_chunks, 65_536);
    }

    #[test]
    fn unencoded_chunks_fill_the_lowest_free_s_buckets() {
        let bitmap = bitmap(|s| s % 4 == 1).unwrap();
        let chunks: Vec<_> = bitmap.chunks().map(|(s, kind)| (s.get(), kind)).collect();
        assert_eq!(chunks.len(), NUM_CHUNKS);
        assert_eq!(
            chunks[..3],
            [
                (0, ChunkKind::Unencoded),
                (1, ChunkKind::Encoded),
                (2, ChunkKind::Unencoded)
            ]
        );
        let unencoded: Vec<_> = chunks
            .iter()
            .filter(|chunk| chunk.1 == ChunkKind::Unencoded)
            .collect();
        assert_eq!(unencoded.len(), 16_384);
        let expected: Vec<_> = (0..=u16::MAX).filter(|s| s % 4 != 1).take(16_384).collect();
        assert!(unencoded.iter().map(|chunk| chunk.0).eq(expected));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn all_views_agree(seed in any::<u64>(), density in 0_u64..=50) {
            let bitmap = bitmap(|s| {
                let mixed = (s as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                mixed % 100 < density
            });
            let Ok(bitmap) = bitmap else { return Ok(()) };
            let chunks: Vec<_> = bitmap.chunks().collect();
            prop_assert_eq!(chunks.len(), NUM_CHUNKS);
            let stored = bitmap.stored_words();
            let mut iter = chunks.iter().peekable();
            for s_bucket in 0..=u16::MAX {
                let expected = iter.next_if(|chunk| chunk.0.get() == s_bucket).map(|chunk| chunk.1);
                if s_bucket % 97 == 0 {
                    prop_assert_eq!(bitmap.chunk(SBucket::from(s_bucket)), expected);
                }
                let bit = stored[usize::from(s_bucket) / 64] >> (s_bucket % 64) & 1;
                prop_assert_eq!(bit == 1, expected.is_some());
            }
        }
    }
}

//! The contents map at the start of a sector: the bitmaps of all its records and their checksum.

use super::bitmap::{RecordBitmap, TooManyEncodedChunksError};
use super::counters::SBucketCounter;
use super::layout::{CHECKSUM_SIZE, SectorLayout};
use super::s_bucket_sizes::SBucketSizes;
use super::{ChunkKind, NUM_CHUNKS, NUM_S_BUCKETS, RECORD_BITMAP_SIZE};
use subspace_core_primitives::pieces::{PieceOffset, SBucket};

/// Why bytes are not the contents map of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentsMapError {
    /// Wrong number of bytes for the number of pieces.
    #[error("the contents map has {actual} bytes but a sector with this many pieces has {expected}")]
    Length {
        /// Bytes that a contents map of this sector has.
        expected: u64,
        /// Bytes given.
        actual: u64,
    },
    /// The bitmaps do not have the checksum that follows them.
    #[error("the checksum of the contents map does not match; the sector is damaged, plot it again")]
    Checksum,
    /// A bitmap with more bits than a record has chunks.
    #[error("record at piece offset {piece_offset}: {source}")]
    TooManyEncodedChunks {
        /// Record the bitmap belongs to.
        piece_offset: u16,
        /// How many bits are set.
        source: TooManyEncodedChunksError,
    },
}

/// Bitmaps of all records of a sector, by piece offset. Takes 8 KiB a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorContentsMap {
    bitmaps: Vec<RecordBitmap>,
}

impl SectorContentsMap {
    /// Takes the bitmaps of the records at piece offsets 0, 1, ...; `None` when there are more than 65 535.
    pub fn new(bitmaps: Vec<RecordBitmap>) -> Option<Self> {
        u16::try_from(bitmaps.len()).ok().map(|_| Self { bitmaps })
    }

    /// Reads the stored form of a sector with `pieces_in_sector` pieces.
    ///
    /// # Errors
    /// When the length, the checksum or a bitmap is wrong.
    pub fn from_bytes(bytes: &[u8], pieces_in_sector: u16) -> Result<Self, ContentsMapError> {
        let expected = SectorLayout::new(pieces_in_sector).contents_map_size();
        let wrong_length = ContentsMapError::Length {
            expected,
            actual: bytes.len() as u64,
        };
        if bytes.len() as u64 != expected {
            return Err(wrong_length);
        }
        let (bitmaps, checksum) = bytes.split_last_chunk::<CHECKSUM_SIZE>().ok_or(wrong_length)?;
        if blake3::hash(bitmaps) != *checksum {
            return Err(ContentsMapError::Checksum);
        }
        let bitmaps = (0_u16..)
            .zip(bitmaps.as_chunks::<RECORD_BITMAP_SIZE>().0)
            .map(|(piece_offset, bitmap)| {
                RecordBitmap::from_bytes(bitmap)
                    .map_err(|source| ContentsMapError::TooManyEncodedChunks { piece_offset, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { bitmaps })
    }

    /// Writes the stored form; `output` must have [`SectorLayout::contents_map_size`] bytes.
    ///
    /// # Errors
    /// When the length of `output` is wrong.
    pub fn write_bytes(&self, output: &mut [u8]) -> Result<(), ContentsMapError> {
        let expected = SectorLayout::new(self.pieces_in_sector()).contents_map_size();
        let wrong_length = ContentsMapError::Length {
            expected,
            actual: output.len() as u64,
        };
        if output.len() as u64 != expected {
            return Err(wrong_length);
        }
        let (bitmaps, checksum) = output
            .split_last_chunk_mut::<CHECKSUM_SIZE>()
            .ok_or(wrong_length)?;
        for (output, bitmap) in bitmaps.as_chunks_mut().0.iter_mut().zip(&self.bitmaps) {
            bitmap.write_bytes(output);
        }
        *checksum = blake3::hash(bitmaps).into();
        Ok(())
    }

    /// Records of the sector.
    pub fn pieces_in_sector(&self) -> u16 {
        u16::try_from(self.bitmaps.len()).expect("checked on construction")
    }

    /// Bitmap of one record; `None` when the sector has no such piece offset.
    pub fn bitmap(&self, piece_offset: PieceOffset) -> Option<&RecordBitmap> {
        self.bitmaps.get(usize::from(piece_offset))
    }

    /// Bitmaps by piece offset.
    pub fn bitmaps(&self) -> &[RecordBitmap] {
        &self.bitmaps
    }

    /// The records that have a chunk in this s-bucket, in the order of their chunks.
    pub fn s_bucket_records(&self, s_bucket: SBucket) -> impl Iterator<Item = (PieceOffset, ChunkKind)> {
        (0_u16..)
            .zip(&self.bitmaps)
            .filter_map(move |(offset, bitmap)| Some((PieceOffset::from(offset), bitmap.chunk(s_bucket)?)))
    }

    /// Sizes of all s-buckets.
    pub fn s_bucket_sizes(&self) -> SBucketSizes {
        SBucketSizes::new(self.count_below(self.pieces_in_sector()).counts())
    }

    /// For each stored chunk of the record, by ascending s-bucket: its number among all chunks of the sector.
    ///
    /// `None` when the sector has no such piece offset, or when `sizes` do not belong to this contents map.
    pub(crate) fn chunk_numbers(&self, piece_offset: PieceOffset, sizes: &SBucketSizes) -> Option<Vec<u32>> {
        let bitmap = self.bitmap(piece_offset)?;
        if sizes.total() != u32::from(self.pieces_in_sector()) * NUM_CHUNKS as u32 {
            return None;
        }
        let before = self.count_below(piece_offset.get());
        let mut numbers = Vec::with_capacity(NUM_CHUNKS);
        let mut next = 0;
        let mut starts = sizes.offsets();
        for (s_bucket, _) in bitmap.chunks() {
            let s_bucket_number = usize::from(s_bucket);
            let start = starts.nth(s_bucket_number - next)?;
            next = s_bucket_number + 1;
            let position = before.count(s_bucket.get());
            if position >= u32::from(sizes.size(s_bucket)) {
                return None;
            }
            numbers.push(start + position);
        }
        Some(numbers)
    }

    /// Counts the chunks of the records before `end`.
    fn count_below(&self, end: u16) -> SBucketCounter {
        let mut counter = SBucketCounter::new();
        for bitmap in &self.bitmaps[..usize::from(end)] {
            counter.add(&bitmap.stored_words());
        }
        counter
    }
}

const _: () = assert!(NUM_S_BUCKETS == RECORD_BITMAP_SIZE * 8);

#[cfg(test)]
mod tests {
    use super::*;

    fn contents_map(pieces_in_sector: u16) -> SectorContentsMap {
        let bitmaps = (0..pieces_in_sector)
            .map(|offset| {
                let mut bytes = [0; RECORD_BITMAP_SIZE];
                let seed = blake3::hash(&offset.to_le_bytes());
                let mut hasher = blake3::Hasher::new_keyed(seed.as_bytes());
                hasher
                    .update(b"bitmap")
                    .finalize_xof()
                    .fill(&mut bytes[..4000 + usize::from(offset) * 7]);
                RecordBitmap::from_bytes(&bytes).unwrap()
            })
            .collect();
        SectorContentsMap::new(bitmaps).unwrap()
    }

    fn stored(map: &SectorContentsMap) -> Vec<u8> {
        let mut bytes = vec![0; SectorLayout::new(map.pieces_in_sector()).contents_map_size() as usize];
        map.write_bytes(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn stored_form_round_trips() {
        let map = contents_map(5);
        assert_eq!(SectorContentsMap::from_bytes(&stored(&map), 5).unwrap(), map);
        assert!(map.write_bytes(&mut [0; 32]).is_err());
    }

    #[test]
    fn damage_is_named() {
        let mut bytes = stored(&contents_map(2));
        assert!(matches!(
            SectorContentsMap::from_bytes(&bytes, 3),
            Err(ContentsMapError::Length {
                expected: 24_608,
                actual: 16_416
            })
        ));
        bytes[77] ^= 1;
        assert_eq!(
            SectorContentsMap::from_bytes(&bytes, 2),
            Err(ContentsMapError::Checksum)
        );
        bytes[8192..16_384].fill(0xff);
        let checksum = blake3::hash(&bytes[..16_384]);
        bytes[16_384..].copy_from_slice(checksum.as_bytes());
        assert!(matches!(
            SectorContentsMap::from_bytes(&bytes, 2),
            Err(ContentsMapError::TooManyEncodedChunks { piece_offset: 1, .. })
        ));
    }

    #[test]
    fn chunk_numbers_agree_with_the_s_buckets() {
        let map = contents_map(9);
        let sizes = map.s_bucket_sizes();
        assert_eq!(sizes.total(), 9 * 32_768);
        let numbers: Vec<_> = (0..9)
            .map(|offset| map.chunk_numbers(PieceOffset::from(offset), &sizes).unwrap())
            .collect();
        let mut cursors = [0; 9];
        let mut number = 0;
        for s_bucket in (0..=u16::MAX).map(SBucket::from) {
            assert_eq!(sizes.offset(s_bucket), number);
            for (piece_offset, _) in map.s_bucket_records(s_bucket) {
                let record = usize::from(piece_offset);
                assert_eq!(numbers[record][cursors[record]], number);
                cursors[record] += 1;
                number += 1;
            }
        }
        assert_eq!(cursors, [32_768; 9]);
        assert!(map.chunk_numbers(PieceOffset::from(9), &sizes).is_none());
        assert!(
            map.chunk_numbers(
                PieceOffset::from(3),
                &SBucketSizes::new(vec![0; NUM_S_BUCKETS].into_boxed_slice().try_into().unwrap())
            )
            .is_none()
        );
    }
}

//! Turns chunks ordered by record into chunks ordered by s-bucket.

use super::EncodedRecord;
use crate::sector::{CHUNK_SIZE, SBucketSizes, WORDS};
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::SBucket;

/// Which chunks a record stores, a bit for each s-bucket.
type StoredWords = Box<[u64; WORDS]>;

/// Words of the bitmaps (64 s-buckets each) that one task handles: 64 tasks, enough to keep many cores busy to the end.
const WORDS_PER_TASK: usize = 16;
/// Words that are handled at a time when the sector is written part by part: a part is 1 / 16 of the chunks, 64 MiB at 1000 records,
/// and has 64 tasks.
const WORDS_PER_PART: usize = 64;

/// Writes the chunks of all records to `output`, s-bucket by s-bucket, ascending piece offset within an s-bucket.
///
/// Goes through the sector in tiles of 64 s-buckets: of each record a tile takes a run of about 40 consecutive chunks, and all
/// it writes (1.3 MB for 1000 records) stays in the core's cache until it is complete. `output` must have room for exactly the
/// chunks of all records.
pub(super) fn transpose(
    records: &[EncodedRecord],
    sizes: &SBucketSizes,
    output: &mut [[u8; CHUNK_SIZE]],
    pool: &ThreadPool,
) {
    let start_of = |word: usize| start_of(sizes, word);
    let mut tasks = Vec::with_capacity(WORDS / WORDS_PER_TASK);
    let mut rest = output;
    for first_word in (0..WORDS).step_by(WORDS_PER_TASK) {
        let length = start_of(first_word + WORDS_PER_TASK) - start_of(first_word);
        let (output, next) = rest.split_at_mut(length);
        tasks.push((first_word, output));
        rest = next;
    }
    pool.install(|| {
        let stored: Vec<_> = records
            .par_iter()
            .map(|record| record.bitmap.stored_words())
            .collect();
        tasks
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(first_word, output)| {
                let mut cursors: Vec<u32> = stored
                    .iter()
                    .map(|words| words[..first_word].iter().map(|word| word.count_ones()).sum())
                    .collect();
                let mut start = 0;
                for word in first_word..first_word + WORDS_PER_TASK {
                    let length = start_of(word + 1) - start_of(word);
                    let tile = &mut output[start..start + length];
                    fill_tile(records, &stored, sizes, word, &mut cursors, tile);
                    start += length;
                }
            });
    });
}

/// Number of the first chunk, counted over all s-buckets, of the s-buckets that this word of the bitmaps is about.
fn start_of(sizes: &SBucketSizes, word: usize) -> usize {
    match u16::try_from(word * 64) {
        Ok(s_bucket) => sizes.offset(SBucket::from(s_bucket)) as usize,
        Err(_) => sizes.total() as usize,
    }
}

/// Writes the chunks of the 64 s-buckets of one word. `cursors` say where each record's chunks of them begin, and are moved behind
/// them.
fn fill_tile(
    records: &[EncodedRecord],
    stored: &[StoredWords],
    sizes: &SBucketSizes,
    word: usize,
    cursors: &mut [u32],
    tile: &mut [[u8; CHUNK_SIZE]],
) {
    let mut places = [0_u32; 64];
    let mut next = 0;
    for (place, &size) in places.iter_mut().zip(&sizes.as_slice()[word * 64..]) {
        *place = next;
        next += u32::from(size);
    }
    for ((record, words), cursor) in records.iter().zip(stored).zip(cursors) {
        let mut bits = words[word];
        while bits != 0 {
            let place = &mut places[bits.trailing_zeros() as usize];
            tile[*place as usize] = record.chunks[*cursor as usize];
            *place += 1;
            *cursor += 1;
            bits &= bits - 1;
        }
    }
}

/// The same part by part, from the first s-bucket to the last, so that the whole is never in memory.
pub(super) struct Transposition<'a> {
    records: &'a [EncodedRecord],
    sizes: &'a SBucketSizes,
    stored: Vec<StoredWords>,
    /// Of each record: number of the first chunk that is not written yet.
    cursors: Vec<u32>,
    word: usize,
    part: Vec<[u8; CHUNK_SIZE]>,
}

impl<'a> Transposition<'a> {
    pub(super) fn new(records: &'a [EncodedRecord], sizes: &'a SBucketSizes, pool: &ThreadPool) -> Self {
        let stored = pool.install(|| {
            records
                .par_iter()
                .map(|record| record.bitmap.stored_words())
                .collect()
        });
        Self {
            records,
            sizes,
            stored,
            cursors: vec![0; records.len()],
            word: 0,
            part: Vec::new(),
        }
    }

    /// The next chunks, `None` after the last.
    pub(super) fn next_part(&mut self, pool: &ThreadPool) -> Option<&[[u8; CHUNK_SIZE]]> {
        let words = self.word..(self.word + WORDS_PER_PART).min(WORDS);
        if words.is_empty() {
            return None;
        }
        let (records, sizes, stored) = (self.records, self.sizes, &self.stored);
        let length = start_of(sizes, words.end) - start_of(sizes, words.start);
        self.part.resize(length, [0; CHUNK_SIZE]);
        let mut tasks = Vec::with_capacity(WORDS_PER_PART);
        let mut rest = &mut self.part[..];
        for word in words.clone() {
            let (tile, next) = rest.split_at_mut(start_of(sizes, word + 1) - start_of(sizes, word));
            tasks.push((word, tile));
            rest = next;
        }
        let (first, at_first) = (words.start, &self.cursors);
        let counted = |words: &StoredWords, until: usize| -> u32 {
            words[first..until].iter().map(|word| word.count_ones()).sum()
        };
        pool.install(|| {
            tasks.into_par_iter().with_max_len(1).for_each(|(word, tile)| {
                let mut cursors: Vec<u32> = stored
                    .iter()
                    .zip(at_first)
                    .map(|(words, cursor)| cursor + counted(words, word))
                    .collect();
                fill_tile(records, stored, sizes, word, &mut cursors, tile);
            });
        });
        for (cursor, words_of_record) in self.cursors.iter_mut().zip(stored) {
            *cursor += counted(words_of_record, words.end);
        }
        self.word = words.end;
        Some(&self.part)
    }
}

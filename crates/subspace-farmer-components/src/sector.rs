//! Sector layout: where bitmaps, chunks and record metadata stand, and the metadata kept beside a sector.
//!
//! The format is described in `docs/protocol/sectors.md`.

mod bitmap;
mod contents_map;
mod counters;
mod layout;
mod loaded;
mod record_metadata;
mod s_bucket_sizes;

pub use bitmap::{ChunkKind, RecordBitmap, RecordChunkIter, TooManyEncodedChunksError};
pub use contents_map::{ContentsMapError, SectorContentsMap};
pub use layout::{CHECKSUM_SIZE, CHUNK_SIZE, SectorLayout};
pub use loaded::{LoadedSector, placeholder_metadata};
pub use record_metadata::RecordMetadata;
pub use s_bucket_sizes::SBucketSizes;
pub use subspace_core_primitives::pieces::{NUM_CHUNKS, NUM_S_BUCKETS, RECORD_SIZE};
pub use subspace_core_primitives::sectors::{
    PlottedSector, RECORD_METADATA_SIZE, S_BUCKETS_BITFIELD_SIZE as RECORD_BITMAP_SIZE, SectorMetadata,
    SectorMetadataChecksummed, sector_size,
};

pub(crate) use bitmap::{WORDS, zero_words};

/// The 32 768 chunks that a sector stores for one record, by ascending s-bucket. Which of them are encoded, and in which
/// s-bucket each stands, follows from the record's [`RecordBitmap`].
pub type StoredChunks = Box<[[u8; CHUNK_SIZE]; NUM_CHUNKS]>;

/// Stored chunks that are all zero, to be overwritten.
pub fn zeroed_chunks() -> StoredChunks {
    vec![[0; CHUNK_SIZE]; NUM_CHUNKS]
        .into_boxed_slice()
        .try_into()
        .expect("allocated with exactly this many chunks")
}

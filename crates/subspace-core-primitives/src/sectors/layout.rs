//! Sizes of the parts of a plotted sector, and the records that describe one.

use super::{SectorId, SectorIndex};
use crate::checksum::Blake3Checksummed;
use crate::hashes::Blake3Hash;
use crate::pieces::{NUM_S_BUCKETS, PieceIndex, RECORD_SIZE, RecordCommitment, RecordWitness};
use crate::segments::HistorySize;
use parity_scale_codec::{Decode, Encode, Error, Input, Output};

/// Size of the bitfield of one record in the contents map: one bit for each s-bucket.
pub const S_BUCKETS_BITFIELD_SIZE: usize = NUM_S_BUCKETS / 8;
/// Size of the metadata of one record in a sector: commitment, witness, BLAKE3 of the piece.
pub const RECORD_METADATA_SIZE: usize = RecordCommitment::SIZE + RecordWitness::SIZE + Blake3Hash::SIZE;

/// Size of the contents map: a bitfield for each record and the hash of all of them.
pub const fn sector_contents_map_size(pieces_in_sector: u16) -> usize {
    pieces_in_sector as usize * S_BUCKETS_BITFIELD_SIZE + Blake3Hash::SIZE
}

/// Size of the chunks of all records.
pub const fn sector_record_chunks_size(pieces_in_sector: u16) -> usize {
    pieces_in_sector as usize * RECORD_SIZE
}

/// Size of the metadata of all records.
pub const fn sector_record_metadata_size(pieces_in_sector: u16) -> usize {
    pieces_in_sector as usize * RECORD_METADATA_SIZE
}

/// Size of a plotted sector: contents map, chunks by s-bucket, metadata of the records, BLAKE3 of all before.
pub const fn sector_size(pieces_in_sector: u16) -> usize {
    sector_contents_map_size(pieces_in_sector)
        + sector_record_chunks_size(pieces_in_sector)
        + sector_record_metadata_size(pieces_in_sector)
        + Blake3Hash::SIZE
}

/// What is known about a plotted sector without reading it; stored with a checksum beside the sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorMetadata {
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Pieces (records) in the sector.
    pub pieces_in_sector: u16,
    /// Chunks in each s-bucket, exactly [`NUM_S_BUCKETS`] numbers.
    pub s_bucket_sizes: Box<[u16; NUM_S_BUCKETS]>,
    /// Size of the history when the sector was made.
    pub history_size: HistorySize,
}

/// Sector metadata as it is stored, 131 116 bytes in SCALE.
pub type SectorMetadataChecksummed = Blake3Checksummed<SectorMetadata>;

impl SectorMetadata {
    /// Size in SCALE, in bytes, without checksum.
    pub const ENCODED_SIZE: usize =
        size_of::<SectorIndex>() + size_of::<u16>() + NUM_S_BUCKETS * size_of::<u16>() + HistorySize::SIZE;

    /// Offset of every s-bucket in chunks from the start of the chunks of the sector: running sums of the sizes.
    pub fn s_bucket_offsets(&self) -> Box<[u32; NUM_S_BUCKETS]> {
        let mut offset = 0u32;
        let offsets: Box<[u32]> = self
            .s_bucket_sizes
            .iter()
            .map(|size| {
                let start = offset;
                // At most 65 536 sizes below 65 536, which fits 32 bits.
                offset += u32::from(*size);
                start
            })
            .collect();
        offsets.try_into().expect("one offset for every size")
    }
}

impl SectorMetadataChecksummed {
    /// Size in SCALE, in bytes.
    pub const ENCODED_SIZE: usize = SectorMetadata::ENCODED_SIZE + Blake3Hash::SIZE;
}

// By hand because a derived decoder would put the array of 128 KiB on the stack.
impl Encode for SectorMetadata {
    fn size_hint(&self) -> usize {
        Self::ENCODED_SIZE
    }

    fn encode_to<O: Output + ?Sized>(&self, destination: &mut O) {
        self.sector_index.encode_to(destination);
        self.pieces_in_sector.encode_to(destination);
        let sizes: Vec<u8> = self
            .s_bucket_sizes
            .iter()
            .flat_map(|size| size.to_le_bytes())
            .collect();
        destination.write(&sizes);
        self.history_size.encode_to(destination);
    }
}

impl Decode for SectorMetadata {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let sector_index = SectorIndex::decode(input)?;
        let pieces_in_sector = u16::decode(input)?;
        let mut bytes = vec![0; NUM_S_BUCKETS * size_of::<u16>()];
        input.read(&mut bytes)?;
        let sizes: Box<[u16]> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|size| u16::from_le_bytes(*size))
            .collect();
        let s_bucket_sizes = sizes.try_into().expect("one size for every s-bucket was read");
        let history_size = HistorySize::decode(input)?;
        Ok(Self {
            sector_index,
            pieces_in_sector,
            s_bucket_sizes,
            history_size,
        })
    }
}

/// A sector and the pieces it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PlottedSector {
    /// Identity of the sector.
    pub sector_id: SectorId,
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Metadata of the sector.
    pub sector_metadata: SectorMetadataChecksummed,
    /// Piece indexes by piece offset.
    pub piece_indexes: Vec<PieceIndex>,
}

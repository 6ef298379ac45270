//! Writes a sector out of its encoded records, part by part: the sector as a whole is never in memory.

use super::transposition::Transposition;
use super::{AssembleSectorError, EncodedRecord};
use crate::sector::{
    CHECKSUM_SIZE, RecordMetadata, SectorContentsMap, SectorLayout, SectorMetadata, SectorMetadataChecksummed,
};
use rayon::ThreadPool;
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::HistorySize;

/// All records of one sector, encoded, by piece offset. Takes 1 MiB and 8 KiB a record.
#[derive(Debug, Clone)]
pub struct EncodedRecords {
    pub(super) sector_index: SectorIndex,
    pub(super) history_size: HistorySize,
    /// At least one, at most 65 535.
    pub(super) records: Vec<EncodedRecord>,
    /// As many as records.
    pub(super) metadata: Vec<RecordMetadata>,
}

/// What is said about a sector that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSector {
    /// Its metadata as it stands in the metadata file.
    pub metadata: SectorMetadataChecksummed,
    /// BLAKE3 of all its bytes, its own checksum at the end included.
    pub hash: Blake3Hash,
}

impl EncodedRecords {
    /// Takes records and their metadata, both by piece offset.
    ///
    /// # Errors
    /// When there are no records or too many, or not as much metadata as records.
    pub fn new(
        sector_index: SectorIndex,
        history_size: HistorySize,
        records: Vec<EncodedRecord>,
        metadata: Vec<RecordMetadata>,
    ) -> Result<Self, AssembleSectorError> {
        let fits = u16::try_from(records.len()).is_ok() && !records.is_empty();
        if !fits || records.len() != metadata.len() {
            return Err(AssembleSectorError {
                records: records.len(),
                metadata: metadata.len(),
            });
        }
        Ok(Self {
            sector_index,
            history_size,
            records,
            metadata,
        })
    }

    fn layout(&self) -> SectorLayout {
        // Checked when the records were taken.
        SectorLayout::new(u16::try_from(self.records.len()).unwrap_or(u16::MAX))
    }

    /// Bytes of the sector.
    pub fn sector_size(&self) -> u64 {
        self.layout().sector_size()
    }

    /// Gives the sector's bytes to `sink`, part after part from the first to the last, as [`super::assemble_sector`] would put
    /// them together. The records stay, so it can be done again when the sink fails.
    ///
    /// Memory: 24 KiB a record, and one part of at most 128 KiB a record.
    ///
    /// # Errors
    /// Those of the sink; nothing is written after one.
    pub fn write_sector<E>(
        &self,
        pool: &ThreadPool,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<WrittenSector, E> {
        let bitmaps = self.records.iter().map(|record| record.bitmap.clone());
        let contents_map = SectorContentsMap::new(bitmaps.collect())
            .expect("there is at least one record, as checked by new");
        let sizes = contents_map.s_bucket_sizes();
        let layout = self.layout();
        let mut hasher = blake3::Hasher::new();
        let mut write = |part: &[u8]| {
            pool.install(|| hasher.update_rayon(part));
            sink(part)
        };

        let mut map = vec![0; layout.contents_map_size() as usize];
        contents_map
            .write_bytes(&mut map)
            .expect("the region has the size of the contents map");
        drop(contents_map);
        write(&map)?;
        drop(map);
        let mut transposition = Transposition::new(&self.records, &sizes, pool);
        while let Some(chunks) = transposition.next_part(pool) {
            write(chunks.as_flattened())?;
        }
        drop(transposition);
        let metadata: Vec<u8> = self.metadata.iter().flat_map(RecordMetadata::to_bytes).collect();
        write(&metadata)?;

        let checksum: [u8; CHECKSUM_SIZE] = hasher.finalize().into();
        hasher.update(&checksum);
        sink(&checksum)?;
        Ok(WrittenSector {
            metadata: Blake3Checksummed(SectorMetadata {
                sector_index: self.sector_index,
                pieces_in_sector: layout.pieces_in_sector(),
                s_bucket_sizes: sizes.to_array(),
                history_size: self.history_size,
            }),
            hash: Blake3Hash::from(*hasher.finalize().as_bytes()),
        })
    }
}

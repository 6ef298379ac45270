//! Encodes the records of a sector and puts the sector together.

use super::transposition::transpose;
use super::{EncodeRecordError, EncodedRecord, EncodedRecords, encode_record};
use crate::sector::{
    CHECKSUM_SIZE, RECORD_METADATA_SIZE, RecordMetadata, SectorContentsMap, SectorLayout, SectorMetadata,
    SectorMetadataChecksummed,
};
use rayon::ThreadPool;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use subspace_core_primitives::checksum::Blake3Checksummed;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash_parallel};
use subspace_core_primitives::pieces::{Piece, PieceIndex, PieceOffset};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_proof_of_space::ProofOfSpace;

/// The pieces that belong in a sector, by piece offset. Duplicates are normal: download once, use at several offsets.
///
/// `protocol_info` is what the node announced when plotting began; `history_size` is the one of the sector and may be smaller
/// than the announced one.
pub fn sector_piece_indexes(
    sector_id: &SectorId,
    history_size: HistorySize,
    pieces_in_sector: u16,
    protocol_info: &FarmerProtocolInfo,
) -> Vec<PieceIndex> {
    (0..pieces_in_sector)
        .map(|piece_offset| {
            sector_id.derive_piece_index(
                PieceOffset::from(piece_offset),
                history_size,
                protocol_info.max_pieces_in_sector,
                protocol_info.recent_segments,
                protocol_info.recent_history_fraction,
            )
        })
        .collect()
}

/// What a sector is made of.
#[derive(Debug, Clone)]
pub struct SectorToEncode {
    /// BLAKE3 of the public key of the farm.
    pub public_key_hash: Blake3Hash,
    /// Index of the sector in its farm.
    pub sector_index: SectorIndex,
    /// Size of the history that the pieces were selected from.
    pub history_size: HistorySize,
    /// Validated pieces by piece offset, those of [`sector_piece_indexes`]. Each is dropped as soon as it is encoded, so give
    /// clones only when the pieces must outlive the encoding, and no slices of larger buffers.
    pub pieces: Vec<Piece>,
}

/// Why a sector was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeSectorError {
    /// It was asked to stop.
    #[error("encoding of sector {0} was cancelled")]
    Cancelled(SectorIndex),
    /// A piece cannot be encoded.
    #[error("sector {sector_index}, piece offset {piece_offset}: {source}")]
    Record {
        /// Sector that the piece is for.
        sector_index: SectorIndex,
        /// Offset of the piece.
        piece_offset: PieceOffset,
        /// What is wrong.
        source: EncodeRecordError,
    },
    /// The sector cannot be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleSectorError),
}

/// Records that do not make a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sector has 1 to 65535 records, each with its metadata; got {records} records and metadata of {metadata}"
)]
pub struct AssembleSectorError {
    /// Encoded records given.
    pub records: usize,
    /// Record metadata given.
    pub metadata: usize,
}

/// A finished sector.
#[derive(Debug, Clone)]
pub struct EncodedSector {
    /// The sector as it stands in the plot file.
    pub sector: Vec<u8>,
    /// Its metadata as it stands in the metadata file.
    pub metadata: SectorMetadataChecksummed,
}

/// Encodes a sector on the threads of `pool`, `record_concurrency` records at a time: [`encode_records`], then
/// [`assemble_sector`].
///
/// Memory: for every piece 1 MiB until the end (the piece, then its encoded form), the same once more for the sector, and the
/// working memory of [`encode_record`] for each concurrent record. A sector of 1000 pieces peaks at 2.2 GB plus that. Who
/// writes the sector somewhere needs half: [`EncodedRecords::write_sector`].
///
/// # Errors
/// When it was cancelled or a piece is invalid (the first such piece found is named).
pub fn encode_sector(
    sector: SectorToEncode,
    proof_of_space: &dyn ProofOfSpace,
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
    record_concurrency: NonZeroUsize,
    progress: &(dyn Fn(u16) + Sync),
    cancelled: &AtomicBool,
) -> Result<EncodedSector, EncodeSectorError> {
    let encoded = encode_records(
        sector,
        proof_of_space,
        erasure_coding,
        pool,
        record_concurrency,
        progress,
        cancelled,
    )?;
    Ok(assemble_sector(
        encoded.sector_index,
        encoded.history_size,
        encoded.records,
        &encoded.metadata,
        pool,
    )?)
}

/// Encodes the records of a sector on the threads of `pool`, `record_concurrency` at a time.
///
/// The result is the same for any pool and concurrency. `progress` is called after every record with the number of records
/// encoded so far, from several threads; `cancelled` is looked at before every record.
///
/// Memory: for every piece 1 MiB (the piece, then its encoded form), and the working memory of [`encode_record`] for each
/// concurrent record.
///
/// # Errors
/// When it was cancelled or a piece is invalid (the first such piece found is named).
pub fn encode_records(
    sector: SectorToEncode,
    proof_of_space: &dyn ProofOfSpace,
    erasure_coding: &ErasureCoding,
    pool: &ThreadPool,
    record_concurrency: NonZeroUsize,
    progress: &(dyn Fn(u16) + Sync),
    cancelled: &AtomicBool,
) -> Result<EncodedRecords, EncodeSectorError> {
    let SectorToEncode {
        public_key_hash,
        sector_index,
        history_size,
        pieces,
    } = sector;
    let sector_id = SectorId::new(&public_key_hash, sector_index, history_size);
    let count = pieces.len();
    if u16::try_from(count).is_err() {
        return Err(AssembleSectorError {
            records: count,
            metadata: count,
        }
        .into());
    }
    let state = Mutex::new(EncodingState {
        pieces: (0..).zip(pieces),
        encoded: (0..count).map(|_| None).collect(),
        done: 0,
        error: None,
    });
    let encode_next = || {
        let Some((offset, piece)) = lock(&state).next_piece(cancelled) else {
            return false;
        };
        let piece_offset = PieceOffset::from(offset);
        let metadata = RecordMetadata::of_piece(&piece);
        let seed = sector_id.derive_evaluation_seed(piece_offset);
        let encoded = encode_record(piece.record_chunks(), &seed, proof_of_space, erasure_coding);
        drop(piece);
        let mut state = lock(&state);
        match encoded {
            Ok(record) => {
                state.encoded[usize::from(offset)] = Some((record, metadata));
                state.done += 1;
                let done = state.done;
                drop(state);
                progress(done);
                true
            }
            Err(source) => {
                state.error.get_or_insert(EncodeSectorError::Record {
                    sector_index,
                    piece_offset,
                    source,
                });
                false
            }
        }
    };
    let encode_next = &encode_next;
    pool.scope(|scope| {
        for _ in 0..record_concurrency.get().min(count) {
            scope.spawn(move |_| while encode_next() {});
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.error {
        return Err(error);
    }
    // Something is missing only when the workers stopped early.
    let (records, metadata) = state
        .encoded
        .into_iter()
        .collect::<Option<(Vec<_>, Vec<_>)>>()
        .ok_or(EncodeSectorError::Cancelled(sector_index))?;
    EncodedRecords::new(sector_index, history_size, records, metadata).map_err(Into::into)
}

struct EncodingState<P> {
    pieces: P,
    encoded: Vec<Option<(EncodedRecord, RecordMetadata)>>,
    done: u16,
    error: Option<EncodeSectorError>,
}

impl<P: Iterator<Item = (u16, Piece)>> EncodingState<P> {
    fn next_piece(&mut self, cancelled: &AtomicBool) -> Option<(u16, Piece)> {
        if self.error.is_some() || cancelled.load(Ordering::Relaxed) {
            return None;
        }
        self.pieces.next()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another worker is propagated by the scope; the state itself is always consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a sector together from its encoded records and their metadata, both by piece offset.
///
/// Memory: the sector itself, and 8 KiB a record.
///
/// # Errors
/// When there are no records or too many, or not as much metadata as records.
pub fn assemble_sector(
    sector_index: SectorIndex,
    history_size: HistorySize,
    records: Vec<EncodedRecord>,
    record_metadata: &[RecordMetadata],
    pool: &ThreadPool,
) -> Result<EncodedSector, AssembleSectorError> {
    let wrong_count = AssembleSectorError {
        records: records.len(),
        metadata: record_metadata.len(),
    };
    let pieces_in_sector = u16::try_from(records.len()).map_err(|_| wrong_count)?;
    if pieces_in_sector == 0 || records.len() != record_metadata.len() {
        return Err(wrong_count);
    }
    let contents_map = SectorContentsMap::new(records.iter().map(|record| record.bitmap.clone()).collect())
        .ok_or(wrong_count)?;
    let sizes = contents_map.s_bucket_sizes();

    let layout = SectorLayout::new(pieces_in_sector);
    let mut sector = vec![0; layout.sector_size() as usize];
    let (body, checksum) = sector
        .split_last_chunk_mut::<CHECKSUM_SIZE>()
        .expect("a sector is larger than its checksum");
    let (map, rest) = body.split_at_mut(layout.contents_map_size() as usize);
    let (chunks, metadata) = rest.split_at_mut(layout.chunks_size() as usize);
    contents_map
        .write_bytes(map)
        .expect("the region has the size of the contents map");
    transpose(&records, &sizes, chunks.as_chunks_mut().0, pool);
    drop(records);
    for (output, record) in metadata
        .as_chunks_mut::<RECORD_METADATA_SIZE>()
        .0
        .iter_mut()
        .zip(record_metadata)
    {
        *output = record.to_bytes();
    }
    *checksum = blake3_hash_parallel(body, pool).into();

    let metadata = SectorMetadata {
        sector_index,
        pieces_in_sector,
        s_bucket_sizes: sizes.to_array(),
        history_size,
    };
    Ok(EncodedSector {
        sector,
        metadata: Blake3Checksummed(metadata),
    })
}

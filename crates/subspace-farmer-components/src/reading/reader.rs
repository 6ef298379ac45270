//! Reads the parts of one sector.

use super::{ReadingError, ReadingErrorReason};
use crate::decoding::decode_chunks;
use crate::read_at::ReadAt;
use crate::sector::{
    CHUNK_SIZE, LoadedSector, NUM_CHUNKS, RECORD_METADATA_SIZE, RecordMetadata, SectorContentsMap,
    StoredChunks, zeroed_chunks,
};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::io;
use subspace_core_primitives::pieces::{Piece, PieceOffset};
use subspace_erasure_coding::ErasureCoding;
use subspace_proof_of_space::ProofOfSpace;

/// Chunks in one task of [`ReadMode::SingleReads`]: tasks enough for any number of threads, each long enough to be worth it.
const CHUNKS_PER_TASK: usize = 256;
/// Bytes of one read in [`ReadMode::WholeSector`], the most that is buffered: large enough for any disk's full speed.
const SEQUENTIAL_READ_SIZE: usize = 4 * 1024 * 1024;

/// How the chunks of a record are read. Which one is faster depends on the disk; farms measure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// 32 768 reads of 32 bytes by ascending offset, spread over the threads of the pool.
    SingleReads,
    /// The chunks of the whole sector from first to last in reads of 4 MiB.
    WholeSector,
}

/// One sector and everything needed to read from it.
#[derive(Debug, Clone, Copy)]
pub struct SectorReader<'a, S: ?Sized> {
    contents: &'a S,
    sector: &'a LoadedSector,
    mode: ReadMode,
    pool: Option<&'a ThreadPool>,
}

impl<'a, S: ReadAt + ?Sized> SectorReader<'a, S> {
    /// Reads `contents`, whose offset 0 is the first byte of `sector`. The pool, if given, is used for single reads, for the
    /// proof-of-space table and for decoding.
    pub fn new(
        contents: &'a S,
        sector: &'a LoadedSector,
        mode: ReadMode,
        pool: Option<&'a ThreadPool>,
    ) -> Self {
        Self {
            contents,
            sector,
            mode,
            pool,
        }
    }

    /// The sector that is read.
    pub fn sector(&self) -> &'a LoadedSector {
        self.sector
    }

    /// Reads and checks the contents map: 8 KiB for each piece of the sector.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read_contents_map(&self) -> Result<SectorContentsMap, ReadingError> {
        let layout = self.sector.layout();
        let mut bytes = vec![0; layout.contents_map_size() as usize];
        self.contents
            .read_into(0, &mut bytes)
            .map_err(|error| self.error(None, error))?;
        SectorContentsMap::from_bytes(&bytes, self.sector.pieces_in_sector)
            .map_err(|error| self.error(None, error))
    }

    /// Reads commitment, witness and piece checksum of one record.
    ///
    /// # Errors
    /// When there is no such piece or it cannot be read.
    pub fn read_record_metadata(&self, piece_offset: PieceOffset) -> Result<RecordMetadata, ReadingError> {
        self.check_offset(piece_offset)?;
        let mut bytes = [0; RECORD_METADATA_SIZE];
        self.contents
            .read_into(
                self.sector.layout().record_metadata_offset(piece_offset),
                &mut bytes,
            )
            .map_err(|error| self.error(Some(piece_offset), error))?;
        Ok(RecordMetadata::from_bytes(&bytes))
    }

    /// Reads the 32 768 stored chunks of one record.
    ///
    /// # Errors
    /// When there is no such piece, the contents map belongs to another sector, or the chunks cannot be read.
    pub fn read_record_chunks(
        &self,
        piece_offset: PieceOffset,
        contents_map: &SectorContentsMap,
    ) -> Result<StoredChunks, ReadingError> {
        self.check_offset(piece_offset)?;
        let numbers = contents_map
            .chunk_numbers(piece_offset, &self.sector.s_bucket_sizes)
            .filter(|_| contents_map.pieces_in_sector() == self.sector.pieces_in_sector)
            .ok_or_else(|| self.error(Some(piece_offset), ReadingErrorReason::MetadataMismatch))?;
        let mut chunks = zeroed_chunks();
        match self.mode {
            ReadMode::SingleReads => self.read_single_chunks(&numbers, &mut chunks),
            ReadMode::WholeSector => self.read_all_chunks(&numbers, &mut chunks),
        }
        .map_err(|error| self.error(Some(piece_offset), error))?;
        Ok(chunks)
    }

    /// Reads one piece: reads its chunks, makes the proof-of-space table, decodes, recovers, and compares the checksum.
    ///
    /// # Errors
    /// When anything of it fails; a piece that is returned is the one that was plotted.
    pub fn read_piece(
        &self,
        piece_offset: PieceOffset,
        proof_of_space: &dyn ProofOfSpace,
        erasure_coding: &ErasureCoding,
    ) -> Result<Piece, ReadingError> {
        self.check_offset(piece_offset)?;
        let contents_map = self.read_contents_map()?;
        self.read_piece_with(&contents_map, piece_offset, proof_of_space, erasure_coding)
    }

    /// As [`Self::read_piece`], with the contents map at hand.
    ///
    /// # Errors
    /// As [`Self::read_piece`].
    pub fn read_piece_with(
        &self,
        contents_map: &SectorContentsMap,
        piece_offset: PieceOffset,
        proof_of_space: &dyn ProofOfSpace,
        erasure_coding: &ErasureCoding,
    ) -> Result<Piece, ReadingError> {
        let metadata = self.read_record_metadata(piece_offset)?;
        let chunks = self.read_record_chunks(piece_offset, contents_map)?;
        let no_such_piece = || self.error(Some(piece_offset), ReadingErrorReason::MetadataMismatch);
        let bitmap = contents_map.bitmap(piece_offset).ok_or_else(no_such_piece)?;
        let seed = self.sector.sector_id.derive_evaluation_seed(piece_offset);
        let table = match self.pool {
            Some(pool) => proof_of_space.create_table_parallel(&seed, pool),
            None => proof_of_space.create_table(&seed),
        };
        let record = decode_chunks(&chunks, bitmap, &*table, self.pool)
            .and_then(|decoded| decoded.recover_source_record(erasure_coding))
            .map_err(|error| self.error(Some(piece_offset), error))?;
        let checksum_error = || self.error(Some(piece_offset), ReadingErrorReason::PieceChecksum);
        let piece = Piece::from_parts(record.as_flattened(), &metadata.commitment, &metadata.witness)
            .map_err(|_| checksum_error())?;
        if piece.hash() != metadata.piece_checksum {
            return Err(checksum_error());
        }
        Ok(piece)
    }

    fn read_single_chunks(&self, numbers: &[u32], chunks: &mut StoredChunks) -> io::Result<()> {
        let layout = self.sector.layout();
        let offsets: Vec<_> = numbers
            .iter()
            .map(|&number| layout.chunk_offset(number))
            .collect();
        match self.pool {
            Some(pool) => pool.install(|| {
                offsets
                    .par_chunks(CHUNKS_PER_TASK)
                    .zip(chunks.par_chunks_mut(CHUNKS_PER_TASK))
                    .try_for_each(|(offsets, chunks)| self.contents.read_chunks(offsets, chunks))
            }),
            None => self.contents.read_chunks(&offsets, chunks.as_mut_slice()),
        }
    }

    fn read_all_chunks(&self, numbers: &[u32], chunks: &mut StoredChunks) -> io::Result<()> {
        const CHUNKS_PER_READ: u32 = (SEQUENTIAL_READ_SIZE / CHUNK_SIZE) as u32;
        let layout = self.sector.layout();
        let total = u32::from(self.sector.pieces_in_sector) * NUM_CHUNKS as u32;
        let mut buffer = vec![0; SEQUENTIAL_READ_SIZE];
        let mut wanted = numbers.iter().zip(chunks.iter_mut()).peekable();
        let mut first = 0;
        while first < total && wanted.peek().is_some() {
            let end = total.min(first + CHUNKS_PER_READ);
            let bytes = &mut buffer[..(end - first) as usize * CHUNK_SIZE];
            self.contents.read_into(layout.chunk_offset(first), bytes)?;
            let read = bytes.as_chunks::<CHUNK_SIZE>().0;
            while let Some((&number, chunk)) = wanted.next_if(|(number, _)| **number < end) {
                *chunk = read[(number - first) as usize];
            }
            first = end;
        }
        Ok(())
    }

    fn check_offset(&self, piece_offset: PieceOffset) -> Result<(), ReadingError> {
        let pieces_in_sector = self.sector.pieces_in_sector;
        if piece_offset.get() < pieces_in_sector {
            return Ok(());
        }
        Err(self.error(
            Some(piece_offset),
            ReadingErrorReason::NoSuchPiece { pieces_in_sector },
        ))
    }

    pub(crate) fn error(
        &self,
        piece_offset: Option<PieceOffset>,
        reason: impl Into<ReadingErrorReason>,
    ) -> ReadingError {
        ReadingError {
            sector_index: self.sector.sector_index,
            piece_offset,
            reason: reason.into(),
        }
    }
}

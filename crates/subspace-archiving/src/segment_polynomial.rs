//! The polynomial behind a segment commitment: what binds 256 record commitments into one.

use rayon::ThreadPool;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, RECORD_SIZE, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentCommitment};
use subspace_kzg::{Commitment, Kzg, KzgError, Polynomial, Scalar};

/// Takes value `hash254(commitment of piece i)` at `w_256^i`.
pub(crate) struct SegmentPolynomial {
    record_commitments: Vec<RecordCommitment>,
    polynomial: Polynomial,
}

impl SegmentPolynomial {
    /// From the commitments of all 256 pieces in position order.
    pub(crate) fn new(record_commitments: &[Commitment]) -> Result<Self, KzgError> {
        let record_commitments: Vec<_> = record_commitments.iter().map(RecordCommitment::from).collect();
        let values: Vec<_> = record_commitments
            .iter()
            .map(|commitment| {
                Scalar::try_from(commitment.hash_to_scalar()).expect("254 bits are below the group order")
            })
            .collect();
        let polynomial = Polynomial::interpolate(&values)?;
        Ok(Self {
            record_commitments,
            polynomial,
        })
    }

    /// The segment commitment.
    pub(crate) fn commitment(&self, kzg: &Kzg) -> Result<SegmentCommitment, KzgError> {
        kzg.commit(&self.polynomial).map(SegmentCommitment::from)
    }

    /// Record commitments with the witnesses of all positions.
    pub(crate) fn witnesses(
        &self,
        kzg: &Kzg,
        pool: &ThreadPool,
    ) -> Result<Vec<(RecordCommitment, RecordWitness)>, KzgError> {
        let witnesses = kzg.create_all_witnesses(&self.polynomial, pool)?;
        Ok(self
            .record_commitments
            .iter()
            .copied()
            .zip(witnesses.iter().map(RecordWitness::from))
            .collect())
    }

    /// Record commitment with the witness of one position.
    pub(crate) fn witness(
        &self,
        kzg: &Kzg,
        position: u32,
    ) -> Result<(RecordCommitment, RecordWitness), KzgError> {
        let witness = kzg.create_witness(&self.polynomial, NUM_PIECES_IN_SEGMENT, position)?;
        Ok((
            self.record_commitments[position as usize],
            RecordWitness::from(witness),
        ))
    }
}

/// A buffer for a piece whose record is yet to be written.
pub(crate) fn new_piece_buffer() -> Vec<u8> {
    vec![0; PIECE_SIZE]
}

/// Completes a buffer that has its record.
pub(crate) fn finish_piece(mut buffer: Vec<u8>, parts: &(RecordCommitment, RecordWitness)) -> Piece {
    let (commitment, witness) = parts;
    let (commitment_bytes, witness_bytes) = buffer[RECORD_SIZE..].split_at_mut(RecordCommitment::SIZE);
    commitment_bytes.copy_from_slice(commitment.as_ref());
    witness_bytes.copy_from_slice(witness.as_ref());
    Piece::from_bytes(buffer.into()).expect("buffers are made with the size of a piece")
}

/// The chunks of the record in a buffer.
pub(crate) fn record_chunks_mut(buffer: &mut [u8]) -> &mut [[u8; 32]] {
    buffer[..RECORD_SIZE].as_chunks_mut().0
}

/// The chunks of the record in a buffer.
pub(crate) fn record_chunks(buffer: &[u8]) -> &[[u8; 32]] {
    buffer[..RECORD_SIZE].as_chunks().0
}

//! Whether pieces belong to a segment.
//!
//! Rules: `docs/protocol/archiving.md`, section "Validation". A segment commitment itself is only as good as the header it
//! comes from.

use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::{NUM_CHUNKS, Piece, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentCommitment};
use subspace_kzg::{
    Arithmetic, Commitment, CommitmentBatch, Kzg, KzgError, Opening, Polynomial, Scalar, ScalarError, Witness,
};

/// A piece and where it claims to belong.
#[derive(Debug, Clone)]
pub struct PieceToCheck {
    /// The piece.
    pub piece: Piece,
    /// Commitment of the segment.
    pub segment_commitment: SegmentCommitment,
    /// Position in the segment, 0..=255.
    pub position: u32,
}

/// Whether `piece` is the piece at `position` (0..=255) of the segment, source and parity pieces alike. Costs one commitment
/// to a record; use [`find_invalid_pieces`] for many.
pub fn is_piece_valid(
    kzg: &Kzg,
    piece: &Piece,
    segment_commitment: &SegmentCommitment,
    position: u32,
) -> bool {
    // The cheap check first.
    is_record_commitment_hash_valid(
        kzg,
        &piece.commitment(),
        &piece.witness(),
        segment_commitment,
        position,
    ) && is_record_committed(piece, |polynomial| kzg.commit(polynomial))
}

/// Whether the segment commits to this record commitment at `position`; says nothing about the record.
pub fn is_record_commitment_hash_valid(
    kzg: &Kzg,
    record_commitment: &RecordCommitment,
    record_witness: &RecordWitness,
    segment_commitment: &SegmentCommitment,
    position: u32,
) -> bool {
    decode_opening(record_commitment, record_witness, segment_commitment, position)
        .is_some_and(|(_, opening)| is_opening_valid(kzg, &opening))
}

/// Indexes (in `pieces`) of the pieces that [`is_piece_valid`] refuses, ascending. Points outside the prime-order subgroup
/// are refused as well; no honest archiver makes them.
///
/// All openings cost two pairings together and all records one commitment; only when such a combination fails are its parts
/// looked at. Works on `pool`, where even the commitment to a single piece is spread; memory beyond the pieces: a few MiB for
/// every thread.
pub fn find_invalid_pieces(kzg: &Kzg, pieces: &[PieceToCheck], pool: &ThreadPool) -> Vec<usize> {
    pool.install(|| {
        let decoded: Vec<_> = pieces
            .par_iter()
            .enumerate()
            .map(|(index, claim)| {
                let PieceToCheck {
                    piece,
                    segment_commitment,
                    position,
                } = claim;
                let (commitment, opening) = decode_opening(
                    &piece.commitment(),
                    &piece.witness(),
                    segment_commitment,
                    *position,
                )?;
                let in_subgroup = commitment.is_in_subgroup()
                    && opening.witness.is_in_subgroup()
                    && opening.commitment.is_in_subgroup();
                in_subgroup.then_some((
                    RecordClaim {
                        index,
                        piece,
                        commitment,
                    },
                    opening,
                ))
            })
            .collect();
        let (mut claims, openings): (Vec<_>, Vec<_>) = decoded.into_iter().flatten().unzip();
        if !kzg.verify_batch(&openings) {
            let checked: Vec<_> = openings
                .par_iter()
                .map(|opening| is_opening_valid(kzg, opening))
                .collect();
            let mut checked = checked.into_iter();
            claims.retain(|_| checked.next() == Some(true));
        }
        let mut sound = committed_records_parallel(kzg, &claims, pool)
            .into_iter()
            .peekable();
        (0..pieces.len())
            .filter(|index| sound.next_if_eq(index).is_none())
            .collect()
    })
}

/// That a piece holds the record its commitment (a point of the prime-order subgroup) stands for.
pub(crate) struct RecordClaim<'a> {
    pub(crate) index: usize,
    pub(crate) piece: &'a Piece,
    pub(crate) commitment: Commitment,
}

/// Indexes of the true claims, in order.
pub(crate) fn committed_records_parallel(
    kzg: &Kzg,
    claims: &[RecordClaim<'_>],
    pool: &ThreadPool,
) -> Vec<usize> {
    match claims {
        [] => Vec::new(),
        [claim] => {
            let sound = is_record_committed(claim.piece, |values| kzg.commit_parallel(values, pool));
            Vec::from_iter(sound.then_some(claim.index))
        }
        _ if are_records_committed(kzg, claims, pool) => claims.iter().map(|claim| claim.index).collect(),
        _ => {
            let (first, second) = claims.split_at(claims.len() / 2);
            let mut sound = committed_records_parallel(kzg, first, pool);
            sound.extend(committed_records_parallel(kzg, second, pool));
            sound
        }
    }
}

/// Whether all records match their commitments; `false` too when there is no randomness for the combination. Every thread
/// combines its share of the records, and one commitment is made to all of them together.
fn are_records_committed(kzg: &Kzg, claims: &[RecordClaim<'_>], pool: &ThreadPool) -> bool {
    let per_thread = claims.len().div_ceil(pool.current_num_threads());
    let combine = |claims: &[RecordClaim<'_>]| {
        let mut batch = CommitmentBatch::new(NUM_CHUNKS).ok()?;
        for claim in claims {
            batch
                .add_bytes(claim.piece.record_chunks(), &claim.commitment)
                .ok()?;
        }
        Some(batch)
    };
    let batches: Option<Vec<_>> =
        pool.install(|| claims.par_chunks(per_thread.max(1)).map(combine).collect());
    let mut batches = batches.into_iter().flatten();
    let Some(mut batch) = batches.next() else {
        return false;
    };
    batches.all(|other| batch.append(other).is_ok()) && batch.verify_parallel(kzg, pool).unwrap_or(false)
}

/// Whether the record matches the commitment stored with it.
fn is_record_committed(
    piece: &Piece,
    commit: impl FnOnce(&Polynomial) -> Result<Commitment, KzgError>,
) -> bool {
    let polynomial = decode_record(piece.record_chunks())
        .ok()
        .and_then(|values| Polynomial::interpolate(&values).ok());
    // Compared as bytes, so that only the canonical form of the commitment passes.
    polynomial
        .and_then(|polynomial| commit(&polynomial).ok())
        .is_some_and(|commitment| RecordCommitment::from(commitment) == piece.commitment())
}

/// The values that a record holds.
pub(crate) fn decode_record(chunks: &[[u8; Scalar::BYTES]]) -> Result<Vec<Scalar>, ScalarError> {
    let mut values = vec![Scalar::ZERO; chunks.len()];
    Arithmetic::from_environment().add_encoded(&mut values, chunks, Scalar::ONE)?;
    Ok(values)
}

fn is_opening_valid(kzg: &Kzg, opening: &Opening) -> bool {
    let Opening {
        commitment,
        num_values,
        index,
        value,
        witness,
    } = opening;
    kzg.verify(commitment, *num_values, *index, value, witness)
}

/// The record commitment as a point, and the claim that the segment commits to its hash; `None` when something is no point.
fn decode_opening(
    record_commitment: &RecordCommitment,
    record_witness: &RecordWitness,
    segment_commitment: &SegmentCommitment,
    position: u32,
) -> Option<(Commitment, Opening)> {
    let commitment = Commitment::try_from(record_commitment).ok()?;
    let opening = Opening {
        commitment: Commitment::try_from(segment_commitment).ok()?,
        num_values: NUM_PIECES_IN_SEGMENT,
        index: position,
        value: Scalar::try_from(&record_commitment.hash_to_scalar()).ok()?,
        witness: Witness::try_from(record_witness).ok()?,
    };
    Some((commitment, opening))
}

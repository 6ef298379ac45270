//! Missing pieces of a segment from any half of its pieces, proven against the segment commitment.

mod interpolation;

use super::segment::{SegmentReconstructionError, check_pieces, recover_records};
use crate::segment_polynomial::{SegmentPolynomial, finish_piece, new_piece_buffer, record_chunks_mut};
use crate::validation::{RecordClaim, committed_records_parallel, is_record_commitment_hash_valid};
use interpolation::Interpolation;
use rayon::ThreadPool;
use rayon::prelude::*;
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, NUM_RAW_RECORDS, SegmentCommitment};
use subspace_erasure_coding::{ErasureCoding, ErasureCodingError};
use subspace_kzg::{Commitment, Kzg, KzgError, PointCombinations, PointError};
use thiserror::Error;

/// Why pieces cannot be reconstructed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PiecesReconstructionError {
    /// Wrong number of positions, or less than half of the pieces.
    #[error(transparent)]
    Input(#[from] SegmentReconstructionError),
    /// There is no such position.
    #[error("a segment has positions 0 to {}, got {position}", NUM_PIECES_IN_SEGMENT - 1)]
    NoSuchPosition {
        /// The position asked for.
        position: u32,
    },
    /// Some pieces are not those of the segment.
    #[error("the pieces at positions {positions:?} are corrupt; drop them, get others and try again")]
    CorruptPieces {
        /// Their positions, ascending.
        positions: Vec<usize>,
    },
    /// The pieces belong to another segment.
    #[error("the pieces do not belong to segment commitment {segment_commitment}")]
    WrongSegmentCommitment {
        /// The commitment they were compared with.
        segment_commitment: SegmentCommitment,
    },
    /// A commitment is not a point of the prime-order subgroup.
    #[error(transparent)]
    Point(#[from] PointError),
    /// A commitment or witness could not be computed.
    #[error("cannot reconstruct the pieces: {0}")]
    Kzg(#[from] KzgError),
    /// The columns could not be recovered.
    #[error("cannot reconstruct the pieces: {0}")]
    ErasureCoding(#[from] ErasureCodingError),
}

/// Reconstructs pieces of a segment. Every input piece is checked, and so is the result.
#[derive(Debug, Clone)]
pub struct PiecesReconstructor {
    kzg: Kzg,
    erasure_coding: ErasureCoding,
}

impl PiecesReconstructor {
    /// A reconstructor; keeps no state between calls.
    pub fn new(kzg: Kzg, erasure_coding: ErasureCoding) -> Self {
        Self { kzg, erasure_coding }
    }

    /// All 256 pieces from those that are there (`pieces` by position, at least 128 present). Blocking: some core-seconds on
    /// `pool`. Memory: the missing pieces and some MiB.
    pub fn reconstruct_pieces(
        &self,
        pieces: &[Option<Piece>],
        segment_commitment: &SegmentCommitment,
        pool: &ThreadPool,
    ) -> Result<Vec<Piece>, PiecesReconstructionError> {
        let segment_polynomial = self.check(pieces, segment_commitment, pool)?;
        let parts = segment_polynomial.witnesses(&self.kzg, pool)?;
        let mut missing: Vec<_> = pieces
            .iter()
            .map(|piece| piece.is_none().then(new_piece_buffer))
            .collect();
        let mut wanted: Vec<_> = missing
            .iter_mut()
            .enumerate()
            .filter_map(|(position, buffer)| Some((position, record_chunks_mut(buffer.as_mut()?))))
            .collect();
        recover_records(pieces, &mut wanted, &self.erasure_coding, pool)?;
        Ok(pieces
            .iter()
            .zip(missing)
            .zip(&parts)
            .filter_map(|((piece, buffer), parts)| match buffer {
                Some(buffer) => Some(finish_piece(buffer, parts)),
                None => piece.as_ref().map(|piece| with_parts(piece, parts)),
            })
            .collect())
    }

    /// The piece at `position` (0..=255). Much cheaper than all of them, but the input is checked just as well: one weighted sum
    /// of the records that are there, one commitment to a random combination of them, and the 128 commitments that are not there.
    /// Memory: the piece and some MiB for every thread.
    pub fn reconstruct_piece(
        &self,
        pieces: &[Option<Piece>],
        segment_commitment: &SegmentCommitment,
        position: u32,
        pool: &ThreadPool,
    ) -> Result<Piece, PiecesReconstructionError> {
        if position as usize >= NUM_PIECES_IN_SEGMENT {
            return Err(PiecesReconstructionError::NoSuchPosition { position });
        }
        let segment_polynomial = self.check(pieces, segment_commitment, pool)?;
        let parts = segment_polynomial.witness(&self.kzg, position)?;
        if let Some(piece) = &pieces[position as usize] {
            return Ok(with_parts(piece, &parts));
        }
        let mut buffer = new_piece_buffer();
        let mut wanted = [(position as usize, record_chunks_mut(&mut buffer))];
        recover_records(pieces, &mut wanted, &self.erasure_coding, pool)?;
        Ok(finish_piece(buffer, &parts))
    }

    /// Proves that all pieces belong to the segment and returns the polynomial of all record commitments.
    fn check(
        &self,
        pieces: &[Option<Piece>],
        segment_commitment: &SegmentCommitment,
        pool: &ThreadPool,
    ) -> Result<SegmentPolynomial, PiecesReconstructionError> {
        check_pieces(pieces)?;
        let given = decode_commitments(pieces, pool)?;
        let commitments = self.all_commitments(pieces, &given, pool)?;
        let segment_polynomial = SegmentPolynomial::new(&commitments)?;
        if segment_polynomial.commitment(&self.kzg)? != *segment_commitment {
            return Err(self.explain_mismatch(pieces, segment_commitment, pool));
        }
        // From here on `commitments` are known to be right, and everything else can be measured by them.
        let differs = |position: &usize| {
            given[*position].is_some_and(|commitment| commitment != commitments[*position])
        };
        corrupt_if_any((0..NUM_PIECES_IN_SEGMENT).filter(differs).collect())?;
        let claims: Vec<_> = pieces
            .iter()
            .zip(&commitments)
            .enumerate()
            .filter_map(|(index, (piece, commitment))| {
                Some(RecordClaim {
                    index,
                    piece: piece.as_ref()?,
                    commitment: *commitment,
                })
            })
            .collect();
        let sound = committed_records_parallel(&self.kzg, &claims, pool);
        let mut sound = sound.into_iter().peekable();
        corrupt_if_any(
            claims
                .iter()
                .map(|claim| claim.index)
                .filter(|index| sound.next_if_eq(index).is_none())
                .collect(),
        )?;
        Ok(segment_polynomial)
    }

    /// The commitments of all 256 positions, supposing that those given are right.
    fn all_commitments(
        &self,
        pieces: &[Option<Piece>],
        given: &[Option<Commitment>],
        pool: &ThreadPool,
    ) -> Result<Vec<Commitment>, PiecesReconstructionError> {
        if let Some(source) = given.iter().step_by(2).copied().collect::<Option<Vec<_>>>() {
            return Ok(pool.install(|| self.erasure_coding.extend_commitments(&source))?);
        }
        let interpolation = Interpolation::of_present(pieces);
        let used: Vec<_> = given.iter().flatten().take(NUM_RAW_RECORDS).copied().collect();
        let combinations = PointCombinations::new(&used)?;
        let missing: Vec<_> = (0..given.len())
            .filter(|position| given[*position].is_none())
            .collect();
        let points: Vec<_> = pool.install(|| {
            missing
                .par_iter()
                .map(|position| combinations.combine(&interpolation.coefficients(*position)))
                .collect()
        });
        let mut commitments: Vec<_> = given.iter().map(|given| given.unwrap_or_default()).collect();
        for (position, commitment) in missing.into_iter().zip(Commitment::from_points(&points)) {
            commitments[position] = commitment;
        }
        Ok(commitments)
    }

    /// Which pieces are to blame for a wrong segment commitment, if not all of them.
    fn explain_mismatch(
        &self,
        pieces: &[Option<Piece>],
        segment_commitment: &SegmentCommitment,
        pool: &ThreadPool,
    ) -> PiecesReconstructionError {
        let fits = |position: usize, piece: &Piece| {
            is_record_commitment_hash_valid(
                &self.kzg,
                &piece.commitment(),
                &piece.witness(),
                segment_commitment,
                position as u32,
            )
        };
        let corrupt = |(position, piece): (usize, &Option<Piece>)| {
            piece
                .as_ref()
                .is_some_and(|piece| !fits(position, piece))
                .then_some(position)
        };
        let positions: Vec<_> = pool.install(|| pieces.par_iter().enumerate().filter_map(corrupt).collect());
        if positions.is_empty() || positions.len() == pieces.iter().flatten().count() {
            PiecesReconstructionError::WrongSegmentCommitment {
                segment_commitment: *segment_commitment,
            }
        } else {
            PiecesReconstructionError::CorruptPieces { positions }
        }
    }
}

fn corrupt_if_any(positions: Vec<usize>) -> Result<(), PiecesReconstructionError> {
    if positions.is_empty() {
        Ok(())
    } else {
        Err(PiecesReconstructionError::CorruptPieces { positions })
    }
}

/// Record commitments as points of the prime-order subgroup.
fn decode_commitments(
    pieces: &[Option<Piece>],
    pool: &ThreadPool,
) -> Result<Vec<Option<Commitment>>, PiecesReconstructionError> {
    let decode = |piece: &Piece| {
        Commitment::try_from(piece.commitment())
            .ok()
            .filter(Commitment::is_in_subgroup)
    };
    let decoded: Vec<_> = pool.install(|| {
        pieces
            .par_iter()
            .map(|piece| piece.as_ref().and_then(decode))
            .collect()
    });
    corrupt_if_any(
        (0..pieces.len())
            .filter(|position| pieces[*position].is_some() && decoded[*position].is_none())
            .collect(),
    )?;
    Ok(decoded)
}

/// The piece itself, or a copy with the right witness when it came with another one.
fn with_parts(piece: &Piece, parts: &(RecordCommitment, RecordWitness)) -> Piece {
    if (piece.commitment(), piece.witness()) == *parts {
        piece.clone()
    } else {
        finish_piece(piece.as_ref().to_vec(), parts)
    }
}

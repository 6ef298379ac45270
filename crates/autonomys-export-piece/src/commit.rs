//! From the bytes of a segment to its pieces, proven against the chain's header.

use crate::error::{ExportError, SegmentError};
use crate::plan::SegmentPlan;
use autonomys_command::kzg::{KzgArgs, precompute};
use autonomys_node_rpc::ChainNature;
use rand::Rng;
use rayon::ThreadPool;
use std::num::NonZeroUsize;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_archiving::{RawSegment, archive_segment, is_piece_valid};
use subspace_core_primitives::pieces::Piece;
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentHeader};
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Kzg;
use subspace_kzg::reference_string::ReferenceStringKind;

/// Everything that computes. Its methods block.
pub struct Arithmetic {
    kzg: Kzg,
    erasure_coding: ErasureCoding,
    pool: ThreadPool,
}

impl Arithmetic {
    /// With the KZG parameters that this chain needs, and a thread for each processor.
    ///
    /// # Errors
    /// When the parameters cannot be had.
    pub fn load(kzg: &KzgArgs, nature: &ChainNature) -> Result<Self, ExportError> {
        let failed = |error: &dyn std::fmt::Display| ExportError::Parameters(format!("{error:#}"));
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|number| format!("export-{number}"))
            .build()
            .map_err(|error| failed(&error))?;
        let insecure = ReferenceStringKind::InsecureDevelopment;
        let required = if nature.kzg_parameters == Some(insecure.to_string()) {
            insecure
        } else {
            ReferenceStringKind::Mainnet
        };
        let shards = NonZeroUsize::new(NUM_PIECES_IN_SEGMENT.ilog2() as usize).unwrap_or(NonZeroUsize::MIN);
        let kzg = kzg.load(required, &pool).map_err(|error| failed(&error))?;
        precompute(&kzg, &pool);
        Ok(Self {
            kzg,
            erasure_coding: ErasureCoding::new(shards).map_err(|error| failed(&error))?,
            pool,
        })
    }

    /// The pieces of a segment, when the segment is the one that the chain's header commits to; `None` when it is another one.
    /// One of them is checked as a farmer would check it.
    ///
    /// # Errors
    /// When the arithmetic fails or contradicts itself.
    pub fn pieces(&self, plan: &SegmentPlan, raw: &RawSegment) -> Result<Option<Vec<Piece>>, SegmentError> {
        let segment = archive_segment(
            &raw.bytes,
            raw.segment_index,
            raw.prev_segment_header_hash,
            raw.last_archived_block,
            &self.kzg,
            &self.erasure_coding,
            &self.pool,
        )?;
        if segment.segment_header != plan.header {
            return Ok(None);
        }
        let position = random_position();
        if !self.is_valid(&plan.header, position, &segment.pieces[position as usize]) {
            return Err(SegmentError::WrongPiece { position });
        }
        Ok(Some(segment.pieces))
    }

    /// Whether a piece is the one at this position of the segment.
    pub fn is_valid(&self, header: &SegmentHeader, position: u32, piece: &Piece) -> bool {
        is_piece_valid(&self.kzg, piece, &header.segment_commitment(), position)
    }

    /// Whether these are the pieces at these positions of the segment; cheaper than one by one.
    pub fn are_valid(&self, header: &SegmentHeader, pieces: Vec<(u32, Piece)>) -> bool {
        let claims: Vec<_> = pieces
            .into_iter()
            .map(|(position, piece)| PieceToCheck {
                piece,
                segment_commitment: header.segment_commitment(),
                position,
            })
            .collect();
        find_invalid_pieces(&self.kzg, &claims, &self.pool).is_empty()
    }
}

/// A position in a segment that nothing can have prepared for.
pub fn random_position() -> u32 {
    rand::rng().random_range(0..NUM_PIECES_IN_SEGMENT as u32)
}

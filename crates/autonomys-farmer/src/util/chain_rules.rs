//! What the chain has committed to, and whether pieces are that.

use crate::args::kzg::KzgArgs;
use crate::roles::chain::{Arithmetic, available_processors, compute_pool};
use crate::roles::priority::Priority;
use crate::util::observer::Observer;
use anyhow::{Context, Result, bail, ensure};
use autonomys_cluster::segment_headers::SegmentHeaders;
use rayon::ThreadPool;
use std::sync::Arc;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{SegmentCommitment, SegmentHeader, SegmentIndex};
use subspace_kzg::Kzg;

/// Segment commitments, and the arithmetic to check pieces against them. Cheap to clone.
#[derive(Clone)]
pub(super) struct ChainRules {
    kzg: Kzg,
    pool: Arc<ThreadPool>,
    /// Of every segment from 0 on; 48 bytes each.
    commitments: Arc<[SegmentCommitment]>,
}

impl ChainRules {
    #[cfg(test)]
    pub(super) fn new(kzg: Kzg, pool: ThreadPool, commitments: &[SegmentCommitment]) -> Self {
        Self {
            kzg,
            pool: Arc::new(pool),
            commitments: commitments.into(),
        }
    }

    /// Takes the headers that the controllers have recorded from their nodes.
    ///
    /// # Errors
    /// When there are none, or the KZG parameters of the chain are not at hand.
    pub(super) async fn load(observer: &Observer, kzg: &KzgArgs) -> Result<Self> {
        let chain = observer.chain().await?;
        let commitments = commitments(&SegmentHeaders::open(&observer.cluster).await?.all().await?)?;
        let pool = compute_pool("verify", available_processors(), Priority::Normal)?;
        Ok(Self {
            kzg: Arithmetic::load(chain, kzg, &pool).await?.kzg,
            pool,
            commitments: commitments.into(),
        })
    }

    /// Segments of the chain.
    pub(super) fn segments(&self) -> u64 {
        self.commitments.len() as u64
    }

    /// Whether the chain has the segment.
    pub(super) fn knows(&self, segment: SegmentIndex) -> bool {
        self.commitment(segment).is_some()
    }

    /// Positions in `pieces` of those that are not what the chain has, ascending. Heavy: a millisecond of computation a piece.
    pub(super) fn wrong(&self, pieces: &[(PieceIndex, Piece)]) -> Vec<usize> {
        let known: Vec<_> = (0..)
            .zip(pieces)
            .filter_map(|(number, (index, piece))| {
                let check = PieceToCheck {
                    piece: piece.clone(),
                    segment_commitment: self.commitment(index.segment_index())?,
                    position: index.position(),
                };
                Some((number, check))
            })
            .collect();
        let (numbers, checks): (Vec<usize>, Vec<_>) = known.into_iter().unzip();
        let invalid = find_invalid_pieces(&self.kzg, &checks, &self.pool);
        let mut sound = vec![false; pieces.len()];
        for (position, number) in numbers.into_iter().enumerate() {
            sound[number] = invalid.binary_search(&position).is_err();
        }
        (0..pieces.len()).filter(|&number| !sound[number]).collect()
    }

    /// As [`Self::wrong`], on threads of its own; gives the pieces back.
    pub(super) async fn wrong_of(
        &self,
        pieces: Vec<(PieceIndex, Piece)>,
    ) -> Result<(Vec<usize>, Vec<(PieceIndex, Piece)>)> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || (this.wrong(&pieces), pieces))
            .await
            .context("the check crashed")
    }

    fn commitment(&self, segment: SegmentIndex) -> Option<SegmentCommitment> {
        self.commitments
            .get(usize::try_from(segment.get()).ok()?)
            .copied()
    }
}

/// Of the segments from 0 on, after a look at whether each header continues the one before.
fn commitments(headers: &[SegmentHeader]) -> Result<Vec<SegmentCommitment>> {
    ensure!(
        !headers.is_empty(),
        "the cluster knows no segment of the chain yet; start a controller and wait until it has recorded them"
    );
    for pair in headers.windows(2) {
        if pair[1].prev_segment_header_hash() != pair[0].hash() {
            bail!(
                "the cluster's header of segment {} does not continue the one before it; remove the bucket segment_headers, which controllers then fill anew from their nodes",
                pair[1].segment_index()
            );
        }
    }
    Ok(headers.iter().map(SegmentHeader::segment_commitment).collect())
}

//! Admission of segments by the leading controller: fetched from the node, checked, offered to the caches until they have them.

use super::Shared;
use super::node_pieces::{HeldSegment, NodePieces, fetch_segment};
use crate::args::kzg::precompute;
use crate::roles::chain::Arithmetic;
use crate::roles::pieces::{PieceFetcher, Tier};
use anyhow::Result;
use autonomys_cluster::Role;
use autonomys_cluster::members::{MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::segment_headers::SegmentHeaders;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use subspace_archiving::reconstruction::PiecesReconstructor;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_core_primitives::pieces::Piece;
use subspace_core_primitives::segments::{
    NUM_PIECES_IN_SEGMENT, SegmentCommitment, SegmentHeader, SegmentIndex,
};
use tokio::sync::watch;

/// Longest wait for slow caches before the next segment has its turn; they fetch what they miss later.
const CACHES_WITHIN: Duration = Duration::from_secs(80);
/// Without any cache a segment is admitted after this long, so that a cluster that has just started finds its caches first.
const NO_CACHE_GRACE: Duration = Duration::from_secs(5);
/// For these newest segments every cache is waited for.
const RECENT_SEGMENTS: u64 = 2;
/// Pause before a step that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// What admission needs.
pub(super) struct Admission {
    pub(super) arithmetic: Arithmetic,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) pieces: Arc<NodePieces>,
    pub(super) members: MembersView,
    pub(super) leading: watch::Receiver<bool>,
    /// Asks the caches and other controllers for what our own node does not have. Never asks this controller itself.
    pub(super) fetcher: PieceFetcher,
    /// Segments of the chain.
    pub(super) newest: Arc<AtomicU64>,
}

impl Admission {
    /// Admits segments in order, whenever this controller leads.
    pub(super) async fn run(mut self, headers: SegmentHeaders, shared: Shared) {
        let (kzg, pool) = (self.arithmetic.kzg.clone(), Arc::clone(&self.pool));
        // Without tables a commitment of a piece takes many times as long, and a segment has 256.
        if let Err(error) = tokio::task::spawn_blocking(move || precompute(&kzg, &pool)).await {
            tracing::error!(%error, "the tables of the KZG parameters are missing: segments are checked slowly");
        }
        let mut follow = headers.follow();
        loop {
            let header = tokio::select! {
                () = shared.cancel.cancelled() => return,
                header = follow.recv() => match header {
                    Some(header) => header,
                    None => return,
                },
            };
            loop {
                let step = tokio::select! {
                    () = shared.cancel.cancelled() => return,
                    step = self.admit(&header, &headers, &shared) => step,
                };
                match step {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(
                        segment = %header.segment_index(), "a segment cannot be admitted yet: {error:#}"
                    ),
                }
                tokio::select! {
                    () = shared.cancel.cancelled() => return,
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        }
    }

    /// One attempt; `true` when the segment is admitted, by whomever.
    async fn admit(
        &mut self,
        header: &SegmentHeader,
        headers: &SegmentHeaders,
        shared: &Shared,
    ) -> Result<bool> {
        let segment_index = header.segment_index();
        if headers.is_admitted(segment_index).await? {
            return Ok(true);
        }
        if !*self.leading.borrow() {
            return Ok(false);
        }
        // An exported history is in the caches before the controller sees it; it is checked all the same.
        let held = held_whole(&self.members.current(), segment_index);
        {
            let _expecting = (!held).then(|| self.pieces.expect(segment_index));
            let segment = self.fetch(header, shared, held).await?;
            if !held {
                self.pieces.hold(Some(segment));
            }
        }
        // While a long history is admitted the sharded caches are not waited for: they have a place to fetch it from.
        let newest = self.newest.load(Ordering::Relaxed);
        if !held || u64::from(segment_index) + RECENT_SEGMENTS > newest {
            self.wait_for_caches(segment_index).await;
        }
        headers.admit(segment_index).await?;
        tracing::info!(segment = %segment_index, "admitted to the caches");
        self.pieces.hold(None);
        Ok(true)
    }

    /// All pieces of the segment, each of them right: from the node or from a cache that has them, what is missing or wrong from
    /// anywhere else, and the rest made from those.
    async fn fetch(&self, header: &SegmentHeader, shared: &Shared, held: bool) -> Result<HeldSegment> {
        let segment_index = header.segment_index();
        let mut pieces = if held {
            vec![None; NUM_PIECES_IN_SEGMENT]
        } else {
            fetch_segment(&shared.node, segment_index).await
        };
        let mut checked = false;
        let everybody = [Tier::FullPieceCaches, Tier::Owners, Tier::Controllers];
        for round in 0..2 {
            let missing: Vec<_> = segment_index
                .segment_piece_indexes()
                .zip(&pieces)
                .filter(|(_, piece)| piece.is_none())
                .map(|(index, _)| index)
                .collect();
            if missing.is_empty() {
                break;
            }
            // The second time in case somebody gave a wrong one: others may have the right one.
            let tiers = if round == 0 {
                &everybody[..]
            } else {
                &everybody[1..]
            };
            for (index, piece) in self.fetcher.fetch(missing, tiers).await.pieces {
                pieces[index.position() as usize] = Some(piece);
            }
            pieces = self.without_wrong(pieces, header.segment_commitment()).await?;
            checked = true;
        }
        if !checked {
            pieces = self.without_wrong(pieces, header.segment_commitment()).await?;
        }
        let found = pieces.iter().flatten().count();
        anyhow::ensure!(
            found >= NUM_PIECES_IN_SEGMENT / 2,
            "only {found} of its {NUM_PIECES_IN_SEGMENT} pieces are to be had from the node and the caches, half of them are \
             needed; export them from a node that has them"
        );
        let pieces = match pieces.iter().cloned().collect::<Option<Vec<_>>>() {
            Some(pieces) => pieces,
            None => self.reconstruct(pieces, header).await?,
        };
        Ok(HeldSegment {
            segment_index,
            pieces: Arc::new(pieces),
        })
    }

    /// Takes out the pieces that do not belong to the segment.
    async fn without_wrong(
        &self,
        mut pieces: Vec<Option<Piece>>,
        segment_commitment: SegmentCommitment,
    ) -> Result<Vec<Option<Piece>>> {
        let (kzg, pool) = (self.arithmetic.kzg.clone(), Arc::clone(&self.pool));
        let work = move || {
            let to_check: Vec<_> = (0_u32..)
                .zip(&pieces)
                .filter_map(|(position, piece)| {
                    Some(PieceToCheck {
                        piece: piece.clone()?,
                        segment_commitment,
                        position,
                    })
                })
                .collect();
            let wrong = find_invalid_pieces(&kzg, &to_check, &pool);
            for &wrong in &wrong {
                pieces[to_check[wrong].position as usize] = None;
            }
            (pieces, wrong.len())
        };
        let (pieces, wrong) = tokio::task::spawn_blocking(work).await?;
        if wrong > 0 {
            tracing::warn!(wrong, "pieces that do not belong to their segment were given");
        }
        Ok(pieces)
    }

    /// The whole segment from half of it or more.
    async fn reconstruct(&self, pieces: Vec<Option<Piece>>, header: &SegmentHeader) -> Result<Vec<Piece>> {
        let missing = pieces.iter().filter(|piece| piece.is_none()).count();
        tracing::info!(segment = %header.segment_index(), missing, "reconstructing a segment");
        let arithmetic = self.arithmetic.clone();
        let (pool, commitment) = (Arc::clone(&self.pool), header.segment_commitment());
        let work = move || {
            let reconstructor = PiecesReconstructor::new(arithmetic.kzg, arithmetic.erasure_coding);
            reconstructor.reconstruct_pieces(&pieces, &commitment, &pool)
        };
        Ok(tokio::task::spawn_blocking(work).await??)
    }

    async fn wait_for_caches(&mut self, segment_index: SegmentIndex) {
        let grace = async {
            tokio::time::sleep(NO_CACHE_GRACE).await;
        };
        tokio::pin!(grace);
        let deadline = tokio::time::sleep(CACHES_WITHIN);
        tokio::pin!(deadline);
        let mut patient = true;
        loop {
            let snapshot = self.members.current();
            let (caches, waiting) = count_waiting(&snapshot, segment_index);
            if waiting == 0 && (caches > 0 || !patient) {
                return;
            }
            tokio::select! {
                changed = self.members.changed() => if changed.is_none() { return },
                () = &mut grace, if patient => patient = false,
                () = &mut deadline => {
                    tracing::warn!(segment = %segment_index, waiting, "some caches are slow; they fetch the segment later");
                    return;
                }
            }
        }
    }
}

/// Whether some full-piece cache has the segment.
fn held_whole(snapshot: &MembersSnapshot, segment_index: SegmentIndex) -> bool {
    snapshot
        .role(Role::FullPieceShardedCache)
        .any(|member| match &member.status {
            RoleStatus::FullPieceShardedCache(status) => status.holds(segment_index),
            _ => false,
        })
}

/// Caches, and how many of them do not have their share of the segment yet.
fn count_waiting(snapshot: &MembersSnapshot, segment_index: SegmentIndex) -> (usize, usize) {
    let mut caches = 0;
    let mut waiting = 0;
    for member in snapshot.members.values() {
        let has = match &member.status {
            RoleStatus::ShardedCache(status) => status.synced_segments > u64::from(segment_index),
            RoleStatus::FullPieceShardedCache(status) => {
                let is_assigned = status.assigned.iter().any(|range| range.contains(segment_index));
                status.holds(segment_index) || !is_assigned
            }
            _ => continue,
        };
        caches += 1;
        waiting += usize::from(!has);
    }
    (caches, waiting)
}

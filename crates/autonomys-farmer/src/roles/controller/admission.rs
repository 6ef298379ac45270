//! Admission of segments by the leading controller: fetched from the node, checked, offered to the caches until they have them.

use super::Shared;
use super::node_pieces::{HeldSegment, NodePieces, fetch_segment};
use crate::roles::chain::Arithmetic;
use crate::roles::pieces::{PieceFetcher, Tier};
use anyhow::Result;
use autonomys_cluster::Role;
use autonomys_cluster::members::{MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::segment_headers::SegmentHeaders;
use std::sync::Arc;
use std::time::Duration;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::watch;

/// Longest wait for slow caches before the next segment has its turn; they fetch what they miss later.
const CACHES_WITHIN: Duration = Duration::from_secs(80);
/// Without any cache a segment is admitted after this long, so that a cluster that has just started finds its caches first.
const NO_CACHE_GRACE: Duration = Duration::from_secs(5);
/// Pause before a step that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// What admission needs.
pub(super) struct Admission {
    pub(super) arithmetic: Arithmetic,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) pieces: Arc<NodePieces>,
    pub(super) members: MembersView,
    pub(super) leading: watch::Receiver<bool>,
    /// Asks other controllers when our own node does not have a segment, or is not there.
    pub(super) fetcher: PieceFetcher,
}

impl Admission {
    /// Admits segments in order, whenever this controller leads.
    pub(super) async fn run(mut self, headers: SegmentHeaders, shared: Shared) {
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
        // Asked of the node only when no cache has the whole segment, which an exported history does.
        if !held_whole(&self.members.current(), segment_index) {
            let Some(segment) = self.fetch(header, shared).await? else {
                anyhow::bail!(
                    "neither a full-piece cache nor the node has its pieces; export them from the node"
                );
            };
            self.pieces.hold(Some(segment));
        }
        self.wait_for_caches(segment_index).await;
        headers.admit(segment_index).await?;
        tracing::info!(segment = %segment_index, "admitted to the caches");
        self.pieces.hold(None);
        Ok(true)
    }

    async fn fetch(&self, header: &SegmentHeader, shared: &Shared) -> Result<Option<HeldSegment>> {
        let segment_index = header.segment_index();
        let own = fetch_segment(&shared.node, segment_index).await;
        let pieces = match own {
            Ok(Some(pieces)) => pieces,
            Ok(None) | Err(_) => {
                let indexes = segment_index.segment_piece_indexes();
                let fetched = self.fetcher.fetch(indexes, &[Tier::Controllers]).await;
                match (fetched.missing.is_empty(), own) {
                    (true, _) => fetched.pieces.into_values().collect(),
                    (false, Err(error)) => return Err(error.into()),
                    (false, Ok(_)) => return Ok(None),
                }
            }
        };
        let commitment = header.segment_commitment();
        let to_check: Vec<_> = (0_u32..)
            .zip(&pieces)
            .map(|(position, piece)| PieceToCheck {
                piece: piece.clone(),
                segment_commitment: commitment,
                position,
            })
            .collect();
        let (kzg, pool) = (self.arithmetic.kzg.clone(), Arc::clone(&self.pool));
        let invalid =
            tokio::task::spawn_blocking(move || find_invalid_pieces(&kzg, &to_check, &pool)).await?;
        anyhow::ensure!(
            invalid.is_empty(),
            "the node gave {} pieces that do not belong to the segment, the first at position {}",
            invalid.len(),
            invalid[0]
        );
        Ok(Some(HeldSegment {
            segment_index,
            pieces: Arc::new(pieces),
        }))
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
            RoleStatus::FullPieceShardedCache(status) => status.holds(segment_index),
            _ => continue,
        };
        caches += 1;
        waiting += usize::from(!has);
    }
    (caches, waiting)
}

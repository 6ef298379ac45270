//! Brings every segment that this cache means to hold onto its disk, as the chain grows.
//!
//! Several full-piece caches take turns: each fetches its own segments first, from wherever they are, and copies the others from
//! the cache whose turn it was. Only when that one does not come up with a segment the controllers are asked for it.

use super::archive::Archive;
use super::selection::{Selection, ranges, turn};
use crate::roles::context::RoleContext;
use crate::roles::pieces::{PieceFetcher, Tier};
use anyhow::{Context, Result};
use autonomys_cluster::members::{FullPieceStatus, MembersView, RoleStatus};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::{InstanceId, Role};
use nix::sys::statvfs::statvfs;
use parity_scale_codec::Encode;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::time::Instant;

/// Pause before segments that could not be had are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// How long the cache whose turn it is is waited for.
const TURN_WITHIN: Duration = Duration::from_secs(60);

/// The loop and what it stands on.
pub(super) struct Follower {
    pub(super) own_id: InstanceId,
    pub(super) fetcher: PieceFetcher,
    pub(super) members: MembersView,
    pub(super) archive: Arc<Archive>,
    pub(super) directory: PathBuf,
    /// Most bytes that segments may take; without it what the file system has, up to the reserve.
    pub(super) room: Option<u64>,
    pub(super) selection: Selection,
    /// There was no room for a segment the last time.
    pub(super) full: bool,
    /// Headers of segments that are not here yet, and since when; a few hundred bytes each.
    pub(super) missing: BTreeMap<SegmentIndex, (SegmentHeader, Instant)>,
}

impl Follower {
    /// Follows for ever.
    ///
    /// # Errors
    /// When the cluster's headers are gone for good.
    pub(super) async fn run(mut self, context: &RoleContext, headers: SegmentHeaders) -> Result<()> {
        let mut follow = headers.follow();
        self.report(context);
        loop {
            // New headers first, then what is missing; a failed segment waits for its turn.
            let ended = "the cluster's segment headers ended";
            let header = if self.missing.is_empty() {
                tokio::select! {
                    header = follow.recv() => Some(header.context(ended)?),
                    () = self.archive.changed.notified() => None,
                }
            } else {
                tokio::select! {
                    header = follow.recv() => Some(header.context(ended)?),
                    () = self.archive.changed.notified() => None,
                    () = tokio::time::sleep(RETRY_INTERVAL) => None,
                }
            };
            if let Some(header) = header {
                self.note(header);
            }
            while let Ok(header) = follow.try_recv() {
                self.note(header);
            }
            for (header, tiers) in self.plan() {
                self.full = !self.check_room(&header);
                if self.full {
                    break;
                }
                if self.fetch(&header, tiers).await? {
                    self.missing.remove(&header.segment_index());
                    self.report(context);
                }
            }
            self.report(context);
        }
    }

    fn note(&mut self, header: SegmentHeader) {
        let segment = header.segment_index();
        self.archive.note_commitment(&header);
        if self.selection.contains(segment) && !self.archive.store.contains(segment) {
            self.missing.entry(segment).or_insert((header, Instant::now()));
        }
    }

    /// What to fetch, in this order, and whom to ask.
    fn plan(&self) -> Vec<(SegmentHeader, &'static [Tier])> {
        const EVERYBODY: &[Tier] = &[Tier::FullPieceCaches, Tier::Owners, Tier::Controllers];
        let snapshot = self.members.current();
        let mut others: Vec<(InstanceId, FullPieceStatus)> = Vec::new();
        for member in snapshot.role(Role::FullPieceShardedCache) {
            if let RoleStatus::FullPieceShardedCache(status) = &member.status
                && member.id != self.own_id
            {
                others.push((member.id, status.clone()));
            }
        }
        let (mut own, mut copied) = (Vec::new(), Vec::new());
        for (segment, (header, since)) in &self.missing {
            let mut caches: Vec<_> = others
                .iter()
                .filter(|(_, status)| status.assigned.iter().any(|range| range.contains(*segment)))
                .map(|(id, _)| *id)
                .chain([self.own_id])
                .collect();
            caches.sort();
            if turn(*segment, &caches) == Some(self.own_id) || since.elapsed() > TURN_WITHIN {
                own.push((*header, EVERYBODY));
            } else if others.iter().any(|(_, status)| status.holds(*segment)) {
                copied.push((*header, &EVERYBODY[..2]));
            }
        }
        own.extend(copied);
        own
    }

    /// Fetches and stores one segment; `false` when it cannot be had now.
    async fn fetch(&self, header: &SegmentHeader, tiers: &[Tier]) -> Result<bool> {
        let segment_index = header.segment_index();
        // Others copy.
        let own_turn = tiers.contains(&Tier::Controllers);
        let fetched = self
            .fetcher
            .fetch(segment_index.segment_piece_indexes(), tiers)
            .await;
        if !fetched.missing.is_empty() {
            tracing::info!(
                segment = %segment_index, missing = fetched.missing.len(), "a segment cannot be had whole at the moment, trying again"
            );
            return Ok(false);
        }
        let pieces: Vec<_> = fetched.pieces.into_values().collect();
        let (archive, encoded) = (Arc::clone(&self.archive), header.encode());
        let stored = tokio::task::spawn_blocking(move || {
            archive.store.put_segment(segment_index, &pieces)?;
            archive.store.put_segment_header(segment_index, &encoded)
        })
        .await?
        .inspect(|()| tracing::info!(segment = %segment_index, own_turn, "segment stored"))
        // What is here is served on meanwhile.
        .inspect_err(|error| tracing::error!(segment = %segment_index, "a segment cannot be stored, trying again: {error}"))
        .is_ok();
        Ok(stored)
    }

    /// Whether there is room for one more segment; says so once when there is none any more.
    fn check_room(&self, header: &SegmentHeader) -> bool {
        let has_room = self.has_room();
        if !has_room && !self.full {
            tracing::warn!(
                segment = %header.segment_index(),
                "no room for a segment: free disk space, give the cache a larger size=, or start another one"
            );
        }
        has_room
    }

    fn has_room(&self) -> bool {
        let segment = self.archive.store.segment_file_size();
        match self.room {
            Some(room) => (self.archive.store.segments().len() as u64 + 1) * segment <= room,
            // A file system that cannot be asked says so when it is written.
            None => statvfs(&self.directory).map_or(true, |disk| {
                let (total, free) = (disk.blocks(), disk.blocks_available());
                free * disk.fragment_size()
                    >= autonomys_cache::reserve(total * disk.fragment_size()) + segment
            }),
        }
    }

    fn report(&self, context: &RoleContext) {
        let segments = ranges(&self.archive.store.segments());
        // A full archive has all that it will have: nobody needs to wait for it.
        let assigned = if self.full {
            segments.clone()
        } else {
            vec![self.selection.range()]
        };
        let (epoch, damaged) = self.archive.progress();
        let ready = (self.missing.is_empty() || self.full) && self.archive.is_checked();
        context.update(|member| {
            if let RoleStatus::FullPieceShardedCache(status) = &mut member.status {
                status.segments = segments;
                status.assigned = assigned;
                status.damaged_pieces = damaged;
                status.epoch = epoch;
                status.ready = ready;
            }
        });
    }
}

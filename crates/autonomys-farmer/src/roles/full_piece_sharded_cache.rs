//! full-piece-sharded-cache: the whole history, one file a segment, the origin for every miss.
//!
//! It follows the cluster's segment headers; a segment that is not here is fetched whole, from other full-piece caches or from a
//! controller, and served from then on.

use super::chain::Chain;
use super::context::{DataPlaneArgs, RoleContext};
use super::pieces::{PieceFetcher, Tier};
use super::store_items::{StoreItems, from_whole, stored};
use crate::args::nats::NatsArgs;
use crate::args::path::CachePath;
use anyhow::{Context, Result};
use autonomys_cache::{ArchiveOptions, ArchiveStore};
use autonomys_cluster::Role;
use autonomys_cluster::members::{RoleStatus, SegmentRange};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::Settings;
use autonomys_transfer::Handlers;
use clap::Args;
use nix::sys::statvfs::statvfs;
use parity_scale_codec::Encode;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::PIECE_SIZE;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio_util::sync::CancellationToken;

/// Pause before segments that could not be had are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Options of the full-piece cache.
#[derive(Debug, Args)]
pub(crate) struct FullPieceShardedCacheArgs {
    /// Directory for segments, such as one that autonomys-export-piece has written
    #[arg(value_name = "path=DIR[,size=SIZE]")]
    path: CachePath,
    /// Keep no identity between runs; the segments stay
    #[arg(long)]
    tmp: bool,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
}

/// Runs the role.
pub(crate) async fn run(
    nats: &NatsArgs,
    args: FullPieceShardedCacheArgs,
    cancel: CancellationToken,
) -> Result<()> {
    let directory = args.path.directory.clone();
    let state_directory = (!args.tmp).then_some(directory.as_path());
    let started = RoleContext::start(
        nats,
        Role::FullPieceShardedCache,
        state_directory,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let options = ArchiveOptions {
        identity: *chain.genesis_hash,
        piece_size: PIECE_SIZE as u32,
    };
    let store = {
        let directory = directory.clone();
        Arc::new(tokio::task::spawn_blocking(move || ArchiveStore::open(&directory, options)).await??)
    };
    let fetcher = PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?;
    let handlers = Handlers {
        items: {
            let (store, placement) = (Arc::clone(&store), fetcher.placement());
            Arc::new(StoreItems::new(move |key| {
                from_whole(key, &placement, |index| store.get(index).hit().map(stored))
            }))
        },
        ..Handlers::default()
    };
    context.serve(&args.data_plane, nats, handlers).await?;
    tracing::info!(segments = store.segments().len(), "the archive is open");
    let headers = SegmentHeaders::open(&context.cluster).await?;
    let follower = Follower {
        fetcher,
        store,
        directory,
        room: args.path.size,
        full: false,
        missing: BTreeMap::new(),
    };
    let outcome = tokio::select! {
        outcome = follower.run(&context, headers) => outcome,
        () = cancel.cancelled() => Ok(()),
    };
    outcome.and(context.leave().await)
}

struct Follower {
    fetcher: PieceFetcher,
    store: Arc<ArchiveStore>,
    directory: PathBuf,
    /// Most bytes that segments may take; without it what the file system has, up to the reserve.
    room: Option<u64>,
    /// There was no room for a segment the last time.
    full: bool,
    /// Headers of segments that are not here yet; a few hundred bytes each.
    missing: BTreeMap<SegmentIndex, SegmentHeader>,
}

impl Follower {
    async fn run(mut self, context: &RoleContext, headers: SegmentHeaders) -> Result<()> {
        let mut follow = headers.follow();
        self.report(context);
        loop {
            // New headers first, then what is missing; a failed segment waits for its turn.
            let header = if self.missing.is_empty() {
                Some(
                    follow
                        .recv()
                        .await
                        .context("the cluster's segment headers ended")?,
                )
            } else {
                tokio::select! {
                    header = follow.recv() => Some(header.context("the cluster's segment headers ended")?),
                    () = tokio::time::sleep(RETRY_INTERVAL) => None,
                }
            };
            if let Some(header) = header {
                self.note(header);
            }
            while let Ok(header) = follow.try_recv() {
                self.note(header);
            }
            for header in self.missing.values().copied().collect::<Vec<_>>() {
                let full = !self.has_room();
                let had_room = !std::mem::replace(&mut self.full, full);
                if self.full {
                    if had_room {
                        tracing::warn!(
                            segment = %header.segment_index(),
                            "no room for a segment: free disk space, give the cache a larger size=, or start another one"
                        );
                        self.report(context);
                    }
                    break;
                }
                if self.fetch(&header).await? {
                    self.missing.remove(&header.segment_index());
                    self.report(context);
                }
            }
        }
    }

    fn note(&mut self, header: SegmentHeader) {
        if !self.store.contains(header.segment_index()) {
            self.missing.insert(header.segment_index(), header);
        }
    }

    /// Fetches and stores one segment; `false` when it cannot be had now.
    async fn fetch(&self, header: &SegmentHeader) -> Result<bool> {
        let segment_index = header.segment_index();
        let tiers = [Tier::FullPieceCaches, Tier::Owners, Tier::Controllers];
        let fetched = self
            .fetcher
            .fetch(segment_index.segment_piece_indexes(), &tiers)
            .await;
        if !fetched.missing.is_empty() {
            tracing::info!(
                segment = %segment_index, missing = fetched.missing.len(), "a segment cannot be had whole at the moment, trying again"
            );
            return Ok(false);
        }
        let pieces: Vec<_> = fetched.pieces.into_values().collect();
        let (store, encoded) = (Arc::clone(&self.store), header.encode());
        let stored = tokio::task::spawn_blocking(move || {
            store.put_segment(segment_index, &pieces)?;
            store.put_segment_header(segment_index, &encoded)
        })
        .await?
        .inspect(|()| tracing::info!(segment = %segment_index, "segment stored"))
        // What is here is served on meanwhile.
        .inspect_err(|error| tracing::error!(segment = %segment_index, "a segment cannot be stored, trying again: {error}"))
        .is_ok();
        Ok(stored)
    }

    fn has_room(&self) -> bool {
        let segment = self.store.segment_file_size();
        match self.room {
            Some(room) => (self.store.segments().len() as u64 + 1) * segment <= room,
            // A file system that cannot be asked says so when it is written.
            None => statvfs(&self.directory).map_or(true, |disk| {
                let (total, free) = (disk.blocks(), disk.blocks_available());
                free * disk.fragment_size()
                    >= autonomys_cache::reserve(total * disk.fragment_size()) + segment
            }),
        }
    }

    fn report(&self, context: &RoleContext) {
        let segments = ranges(&self.store.segments());
        // A full archive has all that it will have: nobody needs to wait for it.
        let ready = self.missing.is_empty() || self.full;
        context.update(|member| {
            if let RoleStatus::FullPieceShardedCache(status) = &mut member.status {
                status.segments = segments;
                status.ready = ready;
            }
        });
    }
}

/// Consecutive runs of ascending segment indexes.
fn ranges(segments: &[SegmentIndex]) -> Vec<SegmentRange> {
    let mut ranges: Vec<SegmentRange> = Vec::new();
    for &segment in segments {
        match ranges.last_mut() {
            Some(range) if range.first.get() + range.count == segment.get() => range.count += 1,
            _ => ranges.push(SegmentRange {
                first: segment,
                count: 1,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_neighbours() {
        let segments = [0_u64, 1, 2, 5, 7, 8].map(SegmentIndex::from);
        let found: Vec<_> = ranges(&segments)
            .iter()
            .map(|range| (range.first.get(), range.count))
            .collect();
        assert_eq!(found, [(0, 3), (5, 1), (7, 2)]);
        assert!(ranges(&[]).is_empty());
    }
}

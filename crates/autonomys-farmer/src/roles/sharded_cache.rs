//! sharded-cache: holds its share of the pieces in slab files and serves them.
//!
//! Its share follows from the live sharded caches; whatever it lacks it pulls from full-piece caches, then from a controller. A piece
//! whose checksum fails is never served: the store drops it and the next round fetches it again.

use super::chain::Chain;
use super::context::{DataPlaneArgs, RoleContext};
use super::pieces::{EPOCH, PieceFetcher, Tier};
use super::store_items::StoreItems;
use crate::args::nats::NatsArgs;
use crate::args::path::CachePath;
use anyhow::{Context, Result};
use autonomys_cache::placement::VirtualShard;
use autonomys_cache::{CacheError, CacheKey, SlabOptions, SlabPath, SlabStore};
use autonomys_cluster::Role;
use autonomys_cluster::members::{MembersView, RoleStatus};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::Settings;
use autonomys_transfer::Handlers;
use clap::Args;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::hashes::blake3_hash_list;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex};
use subspace_core_primitives::segments::SegmentIndex;
use tokio_util::sync::CancellationToken;

/// Pieces fetched and stored at a time: 64 MiB of memory.
const FETCH_BATCH: usize = 64;
/// A round begins this long after the last one even if nothing is known to have changed.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);
/// Caches that come and go together are answered with one round.
const MEMBERS_SETTLE: Duration = Duration::from_secs(1);

/// Options of the sharded cache.
#[derive(Debug, Args)]
pub(crate) struct ShardedCacheArgs {
    /// Directory for pieces; without a size it uses what the file system has, up to a reserve
    #[arg(value_name = "path=DIR[,size=SIZE]", required = true)]
    paths: Vec<CachePath>,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
}

/// Runs the role.
pub(crate) async fn run(nats: &NatsArgs, args: ShardedCacheArgs, cancel: CancellationToken) -> Result<()> {
    let state_directory = args.paths[0].directory.clone();
    let started = RoleContext::start(
        nats,
        Role::ShardedCache,
        Some(&state_directory),
        0,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let store = open(&args.paths, &chain, context.cluster.name().as_str()).await?;
    let handlers = Handlers {
        items: {
            let store = Arc::clone(&store);
            Arc::new(StoreItems::new(move |index| {
                store.get(&CacheKey::piece(index)).hit()
            }))
        },
        ..Handlers::default()
    };
    context.update(|member| member.capacity = store.capacity());
    context.serve(&args.data_plane, nats, handlers).await?;
    tracing::info!(
        items = store.stats().items,
        capacity = store.capacity(),
        "the cache is open"
    );

    let headers = SegmentHeaders::open(&context.cluster).await?;
    let synchroniser = Synchroniser {
        fetcher: PieceFetcher::new(context.pool.clone(), context.members()),
        members: context.members(),
        own_id: context.instance().to_string(),
        store: Arc::clone(&store),
    };
    let outcome = tokio::select! {
        outcome = synchroniser.run(&context, headers) => outcome,
        () = cancel.cancelled() => Ok(()),
    };
    let left = context.leave().await;
    tokio::task::spawn_blocking(move || store.sync()).await??;
    outcome.and(left)
}

async fn open(paths: &[CachePath], chain: &Chain, cluster: &str) -> Result<Arc<SlabStore>> {
    let slabs: Vec<_> = paths
        .iter()
        .map(|path| SlabPath {
            directory: path.directory.clone(),
            size: path.size,
        })
        .collect();
    let identity = blake3_hash_list(&[chain.genesis_hash.as_ref(), cluster.as_bytes()]);
    let options = SlabOptions {
        identity: *identity,
        slot_size: PIECE_SIZE as u32,
    };
    let store = tokio::task::spawn_blocking(move || SlabStore::open(&slabs, options)).await??;
    Ok(Arc::new(store))
}

struct Synchroniser {
    fetcher: PieceFetcher,
    members: MembersView,
    own_id: String,
    store: Arc<SlabStore>,
}

/// What a round found; `None` where it is not known yet what is ours.
struct Share {
    /// Pieces of this cache's share, newest first, as many as it has room for.
    wanted: u64,
    missing: Vec<PieceIndex>,
}

impl Synchroniser {
    /// Rounds for ever: what is ours and not here is fetched.
    async fn run(mut self, context: &RoleContext, headers: SegmentHeaders) -> Result<()> {
        let mut follow = headers.follow();
        // Ready means that all there is has been looked at, so the first round waits for what is known already.
        let mut segments = self.known_segments(&headers).await;
        loop {
            while let Ok(header) = follow.try_recv() {
                segments = u64::from(header.segment_index()) + 1;
            }
            let complete = self.round(segments, context).await?;
            let pause = tokio::time::sleep(ROUND_INTERVAL);
            tokio::select! {
                () = pause => {}
                header = follow.recv() => {
                    let header = header.context("the cluster's segment headers ended")?;
                    segments = u64::from(header.segment_index()) + 1;
                }
                () = self.caches_changed() => {}
            }
            tracing::debug!(segments, complete, "next round");
        }
    }

    /// Segments that the cluster knows now, however long NATS takes.
    async fn known_segments(&self, headers: &SegmentHeaders) -> u64 {
        loop {
            match headers.all().await {
                Ok(known) => return known.len() as u64,
                Err(error) => tracing::warn!(%error, "the segment headers cannot be read yet, trying again"),
            }
        }
    }

    /// Resolves some time after the set of caches, or of those that could give pieces, has changed.
    async fn caches_changed(&mut self) {
        let givers = |members: &MembersView| -> Vec<_> {
            let snapshot = members.current();
            let roles = [Role::ShardedCache, Role::FullPieceShardedCache, Role::Controller];
            roles
                .into_iter()
                .flat_map(|role| snapshot.role(role).map(|m| (m.id, m.run)).collect::<Vec<_>>())
                .collect()
        };
        let before = givers(&self.members);
        while givers(&self.members) == before {
            if self.members.changed().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        tokio::time::sleep(MEMBERS_SETTLE).await;
    }

    /// One round over the whole share; `true` when nothing is missing after it.
    async fn round(&self, segments: u64, context: &RoleContext) -> Result<bool> {
        let Some(share) = self.share(segments).await? else {
            // Our own announcement has not come back yet.
            return Ok(false);
        };
        let mut left = share.missing.len();
        self.report(context, segments, share.wanted, left);
        for batch in share.missing.chunks(FETCH_BATCH) {
            let fetched = self
                .fetcher
                .fetch(batch.iter().copied(), &[Tier::FullPieceCaches, Tier::Controllers])
                .await;
            let store = Arc::clone(&self.store);
            left -= tokio::task::spawn_blocking(move || put_all(&store, fetched.pieces)).await??;
            self.report(context, segments, share.wanted, left);
        }
        if left > 0 {
            tracing::info!(
                missing = left,
                "some pieces cannot be had at the moment, trying again later"
            );
        }
        Ok(left == 0)
    }

    async fn share(&self, segments: u64) -> Result<Option<Share>> {
        let Some(table) = self
            .fetcher
            .table()
            .filter(|table| table.members().iter().any(|member| member.id == self.own_id))
        else {
            return Ok(None);
        };
        let (store, own_id) = (Arc::clone(&self.store), self.own_id.clone());
        Ok(tokio::task::spawn_blocking(move || {
            let room = usize::try_from(store.capacity()).unwrap_or(usize::MAX);
            let wanted: Vec<_> = (0..segments)
                .rev()
                .flat_map(|segment| SegmentIndex::from(segment).segment_piece_indexes())
                .filter(|&index| table.owner(VirtualShard::of_piece(index), 0).id == own_id)
                .take(room)
                .collect();
            let missing = wanted
                .iter()
                .copied()
                .filter(|&index| !store.contains(&CacheKey::piece(index)))
                .collect();
            Some(Share {
                wanted: wanted.len() as u64,
                missing,
            })
        })
        .await?)
    }

    fn report(&self, context: &RoleContext, segments: u64, wanted: u64, missing: usize) {
        let items = self.store.stats().items;
        context.update(|member| {
            if let RoleStatus::ShardedCache(status) = &mut member.status {
                status.items = items;
                status.wanted_items = wanted;
                status.used_bytes = items * PIECE_SIZE as u64;
                status.ready = missing == 0;
                if missing == 0 {
                    status.synced_segments = segments;
                }
            }
        });
    }
}

/// Stores pieces and returns how many; a spot of a disk that fails costs its piece only, which the next round fetches again.
///
/// # Errors
/// When no disk of the cache works any more.
fn put_all(store: &SlabStore, pieces: BTreeMap<PieceIndex, Piece>) -> Result<usize> {
    let mut stored = 0;
    for (index, piece) in pieces {
        match store.put(CacheKey::piece(index), EPOCH, piece.as_ref()) {
            Ok(_) => stored += 1,
            Err(error @ CacheError::AllPathsFailed) => return Err(error.into()),
            Err(error) => tracing::warn!(piece = %index, "a piece could not be stored: {error}"),
        }
    }
    if let Err(error) = store.sync() {
        tracing::warn!("stored pieces may be lost if the machine stops now: {error}");
    }
    Ok(stored)
}

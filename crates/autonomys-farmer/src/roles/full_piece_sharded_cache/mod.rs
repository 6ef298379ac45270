//! full-piece-sharded-cache: the whole history, or a declared part of it, one file a segment, the origin for every miss.
//!
//! It follows the cluster's segment headers and brings the segments here ([`follower`]); several of them share the work
//! ([`selection`]). Damaged pieces are looked for ([`super::scrub`]) and repaired in the background ([`repair`]).

mod archive;
mod control;
mod follower;
mod items;
mod repair;
mod selection;

use super::cache_control;
use super::chain::Chain;
use super::context::{DataPlaneArgs, RoleContext};
use super::pieces::PieceFetcher;
use super::scrub::{Scrub, ScrubArgs};
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use crate::args::path::CachePath;
use anyhow::Result;
use archive::Archive;
use autonomys_cache::{ArchiveOptions, ArchiveStore};
use autonomys_cluster::Role;
use autonomys_cluster::members::RoleStatus;
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::Settings;
use autonomys_transfer::Handlers;
use clap::Args;
use control::Control;
use follower::Follower;
use items::ArchiveItems;
use repair::Repairer;
use selection::Selection;
use std::collections::BTreeMap;
use std::sync::Arc;
use subspace_core_primitives::pieces::PIECE_SIZE;
use tokio_util::sync::CancellationToken;

/// Options of the full-piece cache.
#[derive(Debug, Args)]
pub(crate) struct FullPieceShardedCacheArgs {
    /// Directory for segments, such as one that autonomys-export-piece has written
    #[arg(value_name = "path=DIR[,size=SIZE]")]
    path: CachePath,
    /// Segments to hold, as in 0..500 (without the last) or 500..; whatever else lies in the directory is served as well
    /// [default: all]
    #[arg(long, value_name = "A..B")]
    segments: Option<Selection>,
    /// Keep no identity between runs; the segments stay
    #[arg(long)]
    tmp: bool,
    #[command(flatten)]
    scrub: ScrubArgs,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
    #[command(flatten)]
    kzg: KzgArgs,
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
        args.data_plane.tls,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let selection = args.segments.unwrap_or(Selection::ALL);
    // Caches that start together take turns from the first segment on.
    context.update(|member| {
        if let RoleStatus::FullPieceShardedCache(status) = &mut member.status {
            status.assigned = vec![selection.range()];
        }
    });
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let options = ArchiveOptions {
        identity: *chain.genesis_hash,
        piece_size: PIECE_SIZE as u32,
    };
    let archive = {
        let directory = directory.clone();
        let open = move || {
            let store = ArchiveStore::open(&directory, options)?;
            anyhow::Ok(Arc::new(Archive::new(store, &directory)))
        };
        tokio::task::spawn_blocking(open).await??
    };
    let fetcher = PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?;
    let handlers = Handlers {
        items: Arc::new(ArchiveItems {
            archive: Arc::clone(&archive),
            placement: fetcher.placement(),
        }),
        ..Handlers::default()
    };
    context.serve(&args.data_plane, nats, handlers).await?;
    tracing::info!(segments = archive.store.segments().len(), "the archive is open");
    let headers = SegmentHeaders::open(&context.cluster).await?;
    let fetcher = fetcher.without(context.instance().to_string());
    let repairer = Repairer::new(Arc::clone(&archive), fetcher.clone(), chain, args.kzg);
    let services = cache_control::serve(&context.cluster, Arc::new(Control(repairer.clone()))).await?;
    let scrub = Scrub::new(Arc::clone(&archive), args.scrub);
    let follower = Follower {
        own_id: context.instance(),
        fetcher,
        members: context.members(),
        archive,
        directory,
        room: args.path.size,
        selection,
        full: false,
        missing: BTreeMap::new(),
    };
    let outcome = tokio::select! {
        outcome = follower.run(&context, headers) => outcome,
        () = repairer.run(settings.watch_cache()) => Ok(()),
        () = scrub.run(&context) => Ok(()),
        () = cancel.cancelled() => Ok(()),
    };
    drop(services);
    outcome.and(context.leave().await)
}

//! sharded-cache: holds its share of the items in slab files and serves them.
//!
//! Its share follows from the cluster's shard map ([`share`]); whatever it lacks it fetches ([`fill`]), pass after pass
//! ([`synchroniser`]), and what it does not own any more it keeps until the earlier map is retired. Item type and epoch are the
//! cluster's ([`store`], [`rescan`]). An item whose checksum fails is never served: the store drops it and it is fetched again; those
//! that nobody reads are looked through in the background ([`super::scrub`]).

mod control;
mod fill;
mod items;
mod rescan;
mod share;
mod sink;
mod store;
mod synchroniser;

use self::items::SlabItems;
use self::sink::SlabSink;
use super::cache_control;
use super::chain::Chain;
use super::context::{DataPlaneArgs, RoleContext};
use super::pace::Pace;
use super::pieces::PieceFetcher;
use super::scrub::{Scrub, ScrubArgs};
use crate::args::nats::NatsArgs;
use crate::args::path::CachePath;
use anyhow::Result;
use autonomys_cache::SlabPath;
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::Role;
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::{CacheSettings, Settings};
use autonomys_transfer::Handlers;
use bytesize::ByteSize;
use clap::Args;
use control::Control;
use fill::Filler;
use std::sync::Arc;
use store::Store;
use subspace_core_primitives::hashes::blake3_hash_list;
use synchroniser::{State, Synchroniser};
use tokio_util::sync::CancellationToken;

/// Options of the sharded cache.
#[derive(Debug, Args)]
pub(crate) struct ShardedCacheArgs {
    /// Directory for items; without a size it uses what the file system has, up to a reserve
    #[arg(value_name = "path=DIR[,size=SIZE]", required = true)]
    paths: Vec<CachePath>,
    /// How the caches of the cluster store pieces: piece, split-piece[:K] or split-parity-piece[:K+M], `*R` behind it for R
    /// copies. The first one decides for all; `util reinitialization-cache` changes it [default: piece]
    #[arg(long, value_name = "TYPE")]
    cache_item_type: Option<ItemCoding>,
    /// Bytes a second at which items are copied from other members when caches join or leave, so that plotting goes first; the
    /// newest segments are not held back
    #[arg(long, value_name = "SIZE", default_value = "250MB")]
    transfer_rate_limit: ByteSize,
    #[command(flatten)]
    scrub: ScrubArgs,
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
        args.data_plane.tls,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let asked = args.cache_item_type.map(|coding| coding.to_string());
    let default = ItemCoding::PIECE.to_string();
    let agreed = settings.agree_on_cache(asked.as_deref(), &default).await?;
    let store = open(&args.paths, &chain, context.cluster.name().as_str(), agreed).await?;
    let own_id = context.instance().to_string();
    let fetcher = PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?;
    let placement = fetcher.placement();
    let handlers = Handlers {
        items: Arc::new(SlabItems(Arc::clone(&store))),
        sink: Arc::new(SlabSink {
            store: Arc::clone(&store),
            placement: placement.clone(),
            own_id: own_id.clone(),
        }),
        ..Handlers::default()
    };
    if let Some(layout) = store.layout() {
        context.update(|member| member.capacity = layout.slab.capacity());
        tracing::info!(
            items = layout.slab.stats().items,
            capacity = layout.slab.capacity(),
            item_type = %layout.coding,
            epoch = layout.settings.epoch,
            "the cache is open"
        );
    }
    context.serve(&args.data_plane, nats, handlers).await?;

    let headers = SegmentHeaders::open(&context.cluster).await?;
    let filler = Filler {
        fetcher: fetcher.without(own_id.clone()),
    };
    let control = Arc::new(Control::new(
        Arc::clone(&store),
        filler.clone(),
        placement.clone(),
    ));
    let services = cache_control::serve(&context.cluster, control).await?;
    let synchroniser = Synchroniser {
        filler,
        store: Arc::clone(&store),
        wanted_settings: settings.watch_cache(),
        settings,
        placement,
        members: context.members(),
        own_id,
        pace: Pace::new(args.transfer_rate_limit.as_u64()),
        state: State::default(),
    };
    let scrub = Scrub::new(Arc::clone(&store), args.scrub);
    let outcome = tokio::select! {
        outcome = synchroniser.run(&context, headers) => outcome,
        () = scrub.run(&context) => Ok(()),
        () = cancel.cancelled() => Ok(()),
    };
    drop(services);
    let left = context.leave().await;
    if let Some(layout) = store.layout() {
        tokio::task::spawn_blocking(move || layout.slab.sync()).await??;
    }
    outcome.and(left)
}

async fn open(
    paths: &[CachePath],
    chain: &Chain,
    cluster: &str,
    settings: CacheSettings,
) -> Result<Arc<Store>> {
    let slabs: Vec<_> = paths
        .iter()
        .map(|path| SlabPath {
            directory: path.directory.clone(),
            size: path.size,
        })
        .collect();
    let identity = blake3_hash_list(&[chain.genesis_hash.as_ref(), cluster.as_bytes()]);
    let open = move || Store::open(slabs, *identity, settings);
    Ok(Arc::new(tokio::task::spawn_blocking(open).await??))
}

//! The controller: the only role that talks to a node.
//!
//! Each of its loops is a module: [`slots`] announces slots and passes solutions and signatures on, over NATS and node connections of
//! their own; [`segments`] brings new segments into the cluster; [`node_pieces`] serves pieces that only the node has; [`shard_map`]
//! shares the items out among the caches; [`status`] tells the others how it and its nodes are. Several controllers run at once, each with nodes of its own; the one that holds the lease
//! admits segments and keeps the shard map.

mod admission;
mod node_pieces;
mod segments;
mod shard_map;
mod slots;
mod status;

use super::chain::{Arithmetic, Chain, available_processors, compute_pool};
use super::context::{DataPlaneArgs, RoleContext};
use super::pieces::PieceFetcher;
use super::priority::Priority;
use crate::args::kzg::KzgArgs;
use crate::args::nats::NatsArgs;
use anyhow::{Context, Result};
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::leader::LeaderElection;
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{ControllerId, Role};
use autonomys_node_rpc::{NodeClient, NodeRpcError};
use autonomys_transfer::Handlers;
use clap::Args;
use node_pieces::NodePieces;
use shard_map::Keeper;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use subspace_core_primitives::rpc::FarmerAppInfo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Pause before a node that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Options of the controller.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// Node to use, as in ws://192.168.1.1:9944; the first one that answers is used, further ones stand by
    #[arg(long, value_name = "URL", required = true)]
    node_rpc_url: Vec<String>,
    /// Keep no identity between runs
    #[arg(long)]
    tmp: bool,
    /// Directory that keeps the identity between runs
    #[arg(long, value_name = "DIR", conflicts_with = "tmp")]
    base_path: Option<PathBuf>,
    /// How the caches of the cluster store pieces: piece, split-piece[:K] or split-parity-piece[:K+M], `*R` behind it for R
    /// copies. Who says it first decides for all; `util reinitialization-cache` changes it [default: what the caches say]
    #[arg(long, value_name = "TYPE")]
    cache_item_type: Option<ItemCoding>,
    /// Seconds of silence after which the items of a sharded cache are given to the others
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    cache_grace_secs: u64,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// What the controller's loops share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) id: ControllerId,
    pub(super) node: NodeClient,
    pub(super) cancel: CancellationToken,
}

/// Runs the role.
pub(crate) async fn run(nats: &NatsArgs, args: ControllerArgs, cancel: CancellationToken) -> Result<()> {
    let state_directory = state_directory(&args)?;
    let started = RoleContext::start(
        nats,
        Role::Controller,
        state_directory.as_deref(),
        args.data_plane.tls,
        cancel.clone(),
    )
    .await?;
    let Some(mut context) = started else { return Ok(()) };
    let node = NodeClient::new(args.node_rpc_url.clone(), cancel.clone())?;
    let Some((chain, info)) = learn_chain(&node, &cancel).await? else {
        return context.leave().await;
    };
    tracing::info!(
        genesis = %chain.genesis_hash,
        development = chain.development,
        history_size = %info.protocol_info.history_size,
        pieces_in_sector = info.protocol_info.max_pieces_in_sector,
        "the node is reached"
    );
    let settings = Settings::open(&context.cluster).await?;
    settings.bind_genesis(chain.genesis_hash).await?;
    // Before the chain: a cache that waits for the chain would decide otherwise.
    if let Some(asked) = args.cache_item_type.map(|coding| coding.to_string()) {
        settings.agree_on_cache(Some(&asked), &asked).await?;
    }
    settings.bind_chain(chain.to_settings()).await?;

    let shared = Shared {
        id: ControllerId::try_from(context.instance())?,
        node,
        cancel: cancel.clone(),
    };
    // First of all: every second without announcements is a slot that nobody farms, and neither they nor solutions need what follows.
    let mut tasks = JoinSet::new();
    let slot_connection = context.cluster.dedicated_connection("slots").await?;
    tasks.spawn(slots::run(slot_connection, shared.clone()));

    let pool = compute_pool("controller", available_processors(), Priority::Normal)?;
    let arithmetic = Arithmetic::load(chain, &args.kzg, &pool).await?;
    let fetcher = PieceFetcher::start(&context.cluster, context.pool.clone(), context.members()).await?;
    let pieces = Arc::new(NodePieces::new(shared.node.clone(), fetcher.placement()));
    let handlers = Handlers {
        items: Arc::clone(&pieces) as _,
        ..Handlers::default()
    };
    context.serve(&args.data_plane, nats, handlers).await?;

    let election = LeaderElection::start(&context.cluster, shared.id).await?;
    let newest = Arc::new(AtomicU64::new(0));
    let admission = admission::Admission {
        arithmetic,
        pool,
        pieces,
        members: context.members(),
        leading: election.leading(),
        fetcher: fetcher.clone().without(context.instance().to_string()),
        newest: Arc::clone(&newest),
    };
    let keeper = Keeper::open(
        &context.cluster,
        &settings,
        fetcher.placement(),
        context.members(),
        election.leading(),
        Duration::from_secs(args.cache_grace_secs),
    )
    .await?;
    tasks.spawn(keeper.run(cancel.clone()));
    tasks.spawn(segments::run(
        context.cluster.clone(),
        shared.clone(),
        settings,
        chain,
        admission,
    ));
    let reporter = status::Reporter::new(shared.node.clone(), context.members(), newest, shared.id);
    let outcome = status::supervise(&context, &shared, &election, reporter, tasks).await;
    election.step_down().await;
    outcome.and(context.leave().await)
}

fn state_directory(args: &ControllerArgs) -> Result<Option<PathBuf>> {
    if args.tmp {
        return Ok(None);
    }
    if let Some(directory) = &args.base_path {
        return Ok(Some(directory.clone()));
    }
    let data = dirs::data_dir()
        .context("no data directory is known for this user; give --base-path DIR or --tmp")?;
    Ok(Some(data.join("autonomys-farmer/controller")))
}

/// Waits for the node and asks it what chain it is on; `None` when told to stop meanwhile.
async fn learn_chain(
    node: &NodeClient,
    cancel: &CancellationToken,
) -> Result<Option<(Chain, FarmerAppInfo)>> {
    tracing::info!("waiting for a node");
    let learn = async {
        loop {
            node.connected().await?;
            let asked = async {
                let info = node.farmer_app_info().await?;
                Ok((Chain::of_node(node, info.genesis_hash).await?, info))
            };
            match asked.await {
                // A node that restarts is asked again; one that can never be used has stopped the client, which ends the loop.
                Err(error) if is_passing(&error) => {
                    tracing::warn!("the node does not say what chain it is on, asking again: {error:#}");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                learned => return learned,
            }
        }
    };
    tokio::select! {
        learned = learn => learned.map(Some),
        () = cancel.cancelled() => Ok(None),
    }
}

/// Whether the node may answer the next time.
fn is_passing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            NodeRpcError::Timeout { .. }
                | NodeRpcError::ConnectionLost { .. }
                | NodeRpcError::NotConnected { .. }
        )
    )
}

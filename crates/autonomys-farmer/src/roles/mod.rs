//! The roles of a cluster: one module each, a [`context`] that all of them stand on.

mod cache_control;
pub(crate) mod chain;
mod checked_epoch;
pub(crate) mod context;
mod controller;
pub(crate) mod draining;
mod full_piece_sharded_cache;
mod machine;
mod pace;
pub(crate) mod pieces;
pub(crate) mod placement;
mod plot_client;
mod plot_server;
pub(crate) mod priority;
mod proof_server;
pub(crate) mod scrub;
mod sharded_cache;
mod state_directory;
pub(crate) mod store_items;

use crate::args::nats::NatsArgs;
use crate::shutdown;
use anyhow::Result;
use autonomys_cluster::plot_jobs::JobTimes;
use autonomys_topology::Affinity;
use clap::Subcommand;

/// One role and its options.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Talks to the node: slots, solutions, new segments
    Controller(controller::ControllerArgs),
    /// Holds its share of the pieces
    ShardedCache(sharded_cache::ShardedCacheArgs),
    /// Holds the whole history of pieces
    FullPieceShardedCache(full_piece_sharded_cache::FullPieceShardedCacheArgs),
    /// Makes proofs for winning chunks
    ProofServer(proof_server::ProofServerArgs),
    /// Plots sectors for plot-clients
    PlotServer(plot_server::PlotServerArgs),
    /// Farms disks: plots, audits, submits solutions
    PlotClient(plot_client::PlotClientArgs),
}

/// Times of plot jobs, for who looks at them from outside.
pub(crate) fn plot_jobs_times() -> JobTimes {
    plot_server::JOB_TIMES
}

/// Runs a role until it is told to stop.
pub(crate) fn run(nats: &NatsArgs, role: RoleCommand) -> Result<()> {
    // Before anything is touched.
    match &role {
        RoleCommand::PlotServer(_) => drop(nats.clusters()?),
        _ => drop(nats.cluster()?.clone()),
    }
    // Threads that are started later inherit what this one is bound to.
    let affinity = match &role {
        RoleCommand::ProofServer(args) => machine::settle(&args.affinity)?,
        RoleCommand::PlotServer(args) => machine::settle(&args.affinity)?,
        RoleCommand::PlotClient(args) => machine::settle(&args.affinity)?,
        _ => Affinity::unbound("this role computes little"),
    };
    shutdown::run_until_stopped(|cancel| async move {
        match role {
            RoleCommand::Controller(args) => controller::run(nats, args, cancel).await,
            RoleCommand::ShardedCache(args) => sharded_cache::run(nats, args, cancel).await,
            RoleCommand::FullPieceShardedCache(args) => {
                full_piece_sharded_cache::run(nats, args, cancel).await
            }
            RoleCommand::ProofServer(args) => proof_server::run(nats, args, affinity, cancel).await,
            RoleCommand::PlotServer(args) => plot_server::run(nats, args, affinity, cancel).await,
            // Large: it carries every loop's start.
            RoleCommand::PlotClient(args) => Box::pin(plot_client::run(nats, args, affinity, cancel)).await,
        }
    })
}

//! The roles of a cluster: one module each, a [`context`] that all of them stand on.

mod cache_control;
pub(crate) mod chain;
mod checked_epoch;
pub(crate) mod context;
mod controller;
mod full_piece_sharded_cache;
mod machine;
mod pace;
pub(crate) mod pieces;
pub(crate) mod placement;
mod plot_client;
mod plot_server;
mod proof_server;
pub(crate) mod scrub;
mod sharded_cache;
mod state_directory;
pub(crate) mod store_items;

use crate::args::nats::NatsArgs;
use crate::shutdown;
use anyhow::Result;
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

/// Runs a role until it is told to stop.
pub(crate) fn run(nats: &NatsArgs, role: RoleCommand) -> Result<()> {
    if let RoleCommand::ProofServer(_) | RoleCommand::PlotServer(_) | RoleCommand::PlotClient(_) = role {
        machine::report();
    }
    shutdown::run_until_stopped(|cancel| async move {
        match role {
            RoleCommand::Controller(args) => controller::run(nats, args, cancel).await,
            RoleCommand::ShardedCache(args) => sharded_cache::run(nats, args, cancel).await,
            RoleCommand::FullPieceShardedCache(args) => {
                full_piece_sharded_cache::run(nats, args, cancel).await
            }
            RoleCommand::ProofServer(args) => proof_server::run(nats, args, cancel).await,
            RoleCommand::PlotServer(args) => plot_server::run(nats, args, cancel).await,
            // Large: it carries every loop's start.
            RoleCommand::PlotClient(args) => Box::pin(plot_client::run(nats, args, cancel)).await,
        }
    })
}

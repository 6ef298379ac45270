//! Utilities: one module a command.

mod benchmark;
mod cache_status;
mod chain_rules;
mod drain;
mod import_piece_cache;
mod kzg_params;
mod members;
mod observer;
mod plot_jobs;
mod progress;
mod reinitialization_cache;
mod scrub;
mod sharded_cache_benchmark;
mod solutions;
mod verify_piece;

use crate::args::nats::NatsArgs;
use crate::shutdown;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use observer::Observer;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Options of `util`.
#[derive(Debug, Args)]
pub(crate) struct UtilArgs {
    #[command(subcommand)]
    command: UtilCommand,
}

#[derive(Debug, Subcommand)]
enum UtilCommand {
    /// How fast this machine and its disks audit and prove
    Benchmark(benchmark::BenchmarkArgs),
    /// KZG parameters of the network
    KzgParams(kzg_params::KzgParamsArgs),
    /// Give the caches the pieces that official farmers have kept on their disks
    ImportPieceCache(import_piece_cache::ImportArgs),
    /// What the caches of a cluster hold, and how far they are
    CacheStatus(cache_status::CacheStatusArgs),
    /// Everybody in a cluster, and what each does
    Members(members::MembersArgs),
    /// Have members take no new work and finish what they hold
    Drain(drain::DrainArgs),
    /// Have members take new work again
    Resume(drain::ResumeArgs),
    /// The plot jobs of a cluster by state; retry or cancel those that are parked
    PlotJobs(plot_jobs::PlotJobsArgs),
    /// Start a new epoch of all caches, with another item type if wanted
    ReinitializationCache(reinitialization_cache::ReinitializationArgs),
    /// Fetch sectors' worth of pieces as a plot-server does, and say how fast that is
    ShardedCacheBenchmark(sharded_cache_benchmark::BenchmarkArgs),
    /// Read every sector of farms and compare it with its checksum
    Scrub(scrub::ScrubArgs),
    /// Solutions of the last day with the times of their stages, and the wins that were missed
    Solutions(solutions::SolutionsArgs),
    /// Check every item in every cache against what the chain has committed to
    VerifyPiece(verify_piece::VerifyPieceArgs),
}

/// Runs the utility.
pub(crate) fn run(args: UtilArgs) -> Result<ExitCode> {
    match args.command {
        UtilCommand::Benchmark(args) => benchmark::run(&args),
        UtilCommand::KzgParams(args) => kzg_params::run(&args).map(|()| ExitCode::SUCCESS),
        UtilCommand::ImportPieceCache(args) => import_piece_cache::run(&args),
        UtilCommand::CacheStatus(args) => cache_status::run(&args),
        UtilCommand::Members(args) => members::run(&args),
        UtilCommand::Drain(args) => drain::drain(&args),
        UtilCommand::Resume(args) => drain::resume(&args),
        UtilCommand::PlotJobs(args) => plot_jobs::run(&args),
        UtilCommand::ReinitializationCache(args) => reinitialization_cache::run(&args),
        UtilCommand::ShardedCacheBenchmark(args) => sharded_cache_benchmark::run(&args),
        UtilCommand::Scrub(args) => scrub::run(&args),
        UtilCommand::Solutions(args) => solutions::run(&args),
        UtilCommand::VerifyPiece(args) => verify_piece::run(&args),
    }
}

/// Runs a utility that looks at a cluster from outside, on a runtime of its own. The token is cancelled when the process is told to
/// stop.
fn observe<T>(
    nats: &NatsArgs,
    purpose: &str,
    work: impl AsyncFnOnce(&Observer, &CancellationToken) -> Result<T>,
) -> Result<T> {
    on_runtime(async |end| {
        let observer = Box::pin(until_stopped(end, Observer::connect(nats, purpose))).await?;
        work(&observer, end).await
    })
}

/// Runs something on a runtime of its own. The token is cancelled when the process is told to stop.
fn on_runtime<T>(work: impl AsyncFnOnce(&CancellationToken) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let outcome = runtime.block_on(async {
        let end = shutdown::token_on_signal()?;
        work(&end).await
    });
    // Work on threads is left alone: utilities hold nothing of the cluster's.
    runtime.shutdown_background();
    outcome
}

/// Gives up work that has nothing to show before its end.
async fn until_stopped<T>(end: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        outcome = work => outcome,
        () = end.cancelled() => bail!("stopped before the end"),
    }
}

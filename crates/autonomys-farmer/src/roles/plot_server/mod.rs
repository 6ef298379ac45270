//! plot-server: takes plot jobs, fetches pieces, encodes sectors, and serves them until they are on the farm's disk.
//!
//! A job ([`job`]) goes through stages, each with one place ([`machine`]), so that they overlap and memory is bounded: its pieces are
//! fetched ([`fetching`]), its records encoded ([`encoding`]), its sector written to the [`spool`] ([`spooling`]), and then delivered to
//! its farm ([`delivery`]). Every stage is watched ([`stages`]). Jobs are taken ([`taking`]) from one cluster or from several by their
//! [`shares`]; what belongs to one cluster is in [`cluster`]. A finished sector is in the spool before its record says so; after a
//! restart the spool is offered again.

mod cluster;
mod delivery;
mod encoding;
mod fetching;
mod job;
mod machine;
mod shares;
mod spool;
mod spooling;
mod stages;
mod taking;

use super::chain::{available_processors, bound_pool};
use super::context::{DataPlaneArgs, RoleContext};
use super::machine::AffinityArgs;
use super::priority::{Priority, lower_own_session};
use crate::args::kzg::KzgArgs;
use crate::args::nats::{ClusterShare, NatsArgs};
use crate::args::size::Size;
use anyhow::{Context, Result, bail};
use autonomys_cluster::Role;
use autonomys_cluster::plot_jobs::JobTimes;
use autonomys_topology::Affinity;
use clap::Args;
use cluster::Start;
use machine::Machine;
use spool::Spool;
use spool::space::Space;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The cluster whose identity and sectors are in DIR itself; those of others are below `DIR/clusters`.
const DEFAULT_CLUSTER: &str = "default";

/// Times of the plot jobs' leases, the same in plot-servers and plot-clients. A dead plot-server's job is handed out again after the
/// lease; renewals come three times as often as the shorter of the two.
pub(crate) const JOB_TIMES: JobTimes = JobTimes {
    lease: Duration::from_secs(20),
    ready_lease: Duration::from_secs(60),
    ack_wait: Duration::from_secs(10),
    republish_after: Duration::from_secs(10),
    retry_pause: Duration::from_secs(2),
};

/// Options of the plot-server.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlotServerArgs {
    /// Directory that holds finished sectors until they are on the farm's disk
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Space that finished sectors may take, as in 100GB; no job is taken while there is none for one more [default: 16 sectors]
    #[arg(long, value_name = "SIZE")]
    spool_size: Option<Size>,
    /// Fetch pieces from the caches first, and from a controller only what no cache holds
    #[arg(long)]
    priority_cache: bool,
    /// Records encoded at once [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    record_encoding_concurrency: Option<u16>,
    #[command(flatten)]
    pub(super) affinity: AffinityArgs,
    #[command(flatten)]
    data_plane: DataPlaneArgs,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// Where a cluster's identity and finished sectors are.
fn directory_of(directory: &Path, cluster: &str) -> PathBuf {
    if cluster == DEFAULT_CLUSTER {
        directory.to_path_buf()
    } else {
        directory.join("clusters").join(cluster)
    }
}

/// Runs the role.
pub(crate) async fn run(
    nats: &NatsArgs,
    args: PlotServerArgs,
    affinity: Affinity,
    cancel: CancellationToken,
) -> Result<()> {
    let clusters = nats.clusters()?;
    let space = Space::new(&args.directory, args.spool_size.map(Size::bytes));
    let mut spools = Vec::new();
    for ClusterShare { name, .. } in &clusters {
        let directory = directory_of(&args.directory, name.as_str());
        let space = Arc::clone(&space);
        let spool = tokio::task::spawn_blocking(move || Spool::open(&directory, space));
        spools.push(Arc::new(spool.await??));
    }
    let threads = args
        .record_encoding_concurrency
        .map_or_else(available_processors, usize::from);
    // Proofs on the same machine must not wait for encoding.
    lower_own_session();
    let pool = bound_pool("encode", threads, affinity, Priority::Background)?;
    let concurrency = NonZeroUsize::new(threads).context("no thread to encode with")?;
    let machine = Machine::new(pool, concurrency, space, cancel.clone());
    super::chain::say_that_gpus_are_not_used();

    let mut starts = Vec::new();
    for ((number, cluster), spool) in (0..).zip(&clusters).zip(spools) {
        let nats = nats.of_cluster(cluster);
        let mut args = args.clone();
        args.data_plane.listen_port = port_of(args.data_plane.listen_port, number)?;
        let directory = directory_of(&args.directory, cluster.name.as_str());
        let started = RoleContext::start(
            &nats,
            Role::PlotServer,
            Some(&directory),
            args.data_plane.tls,
            cancel.clone(),
        );
        let Some(context) = started.await? else { break };
        starts.push(Start {
            context,
            nats,
            name: cluster.name.to_string(),
            share: cluster.share_or_one(),
            args,
            spool,
            machine: Arc::clone(&machine),
        });
    }
    serve_all(&machine, starts).await?;
    match machine.broken() {
        Some(reason) => bail!(reason),
        None => Ok(()),
    }
}

/// Serves all clusters until told to stop, or until one of them fails for good.
async fn serve_all(machine: &Arc<Machine>, starts: Vec<Start>) -> Result<()> {
    let (ready, newcomers) = mpsc::channel(starts.len().max(1));
    let idle = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for start in starts {
        tasks.spawn(Box::pin(cluster::serve(start, ready.clone(), idle.clone())));
    }
    drop(ready);
    let taking = {
        let (machine, idle) = (Arc::clone(machine), idle.clone());
        async move {
            Box::pin(taking::run(machine, newcomers)).await;
            // From here on there is nothing to tell the clusters any more.
            idle.cancel();
        }
    };
    let taking = tokio::spawn(taking);
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a loop of the plot-server crashed").flatten();
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
            // The others hand back what they hold.
            machine.cancel.cancel();
        }
    }
    taking.await.context("the loop that takes jobs crashed")?;
    outcome
}

/// Each cluster has a data plane of its own, on the ports from the given one on.
fn port_of(first: u16, number: u16) -> Result<u16> {
    match first {
        0 => Ok(0),
        first => first.checked_add(number).with_context(|| {
            format!(
                "--listen-port {first} leaves no port for cluster number {}; take a lower one",
                number + 1
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_keeps_its_place_and_has_its_port() {
        let directory = Path::new("/var/plot");
        assert_eq!(directory_of(directory, "default"), directory);
        assert_eq!(directory_of(directory, "b"), Path::new("/var/plot/clusters/b"));
        assert_eq!(
            (
                port_of(0, 3).unwrap(),
                port_of(9966, 0).unwrap(),
                port_of(9966, 2).unwrap()
            ),
            (0, 9966, 9968)
        );
        assert!(
            port_of(65_535, 1)
                .unwrap_err()
                .to_string()
                .contains("take a lower one")
        );
    }
}

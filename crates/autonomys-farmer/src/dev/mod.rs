//! `dev`: a whole cluster with a development chain on this machine, every role as a process of its own.
//!
//! [`layout`] says which processes there are and what their command lines look like, [`processes`] starts them so that none can stay
//! behind, [`watch`] follows the cluster and the chain, [`progress`] shows it. This module is the life of the whole.

mod layout;
mod processes;
mod progress;
mod summary;
mod watch;

use crate::args::kzg::KzgArgs;
use anyhow::{Context, Result, bail};
use autonomys_dev_node::DevNodeArgs;
use clap::Args;
use layout::Layout;
use processes::{Process, Starter, last_line};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subspace_proof_of_space::ProofOfSpaceKind;
use tokio_util::sync::CancellationToken;

/// A role that ends sooner than this after its start cannot work at all; later ones are started again.
const RESTARTABLE_AFTER: Duration = Duration::from_secs(5);
/// All processes together get this long to drain.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// The first segment of a new chain takes a minute on a slow machine; nothing takes this long.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// A start that takes longer is explained.
const REMIND_AFTER: Duration = Duration::from_secs(3);
/// How often children are looked at.
const SUPERVISION_INTERVAL: Duration = Duration::from_millis(200);

/// Options of `dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Directory for everything: chain, caches, farm, logs [default: in the user's data directory]
    #[arg(long, value_name = "DIR")]
    base_path: Option<PathBuf>,
    /// Stop after this many rewarded blocks
    #[arg(long, value_name = "N")]
    rewards: Option<u64>,
    /// Stop when all sectors are plotted
    #[arg(long, conflicts_with = "rewards")]
    until_plotted: bool,
    /// Print a summary as one JSON line at the end
    #[arg(long)]
    json: bool,
    /// Pieces in a sector; the network has 1000
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pieces_in_sector: u16,
    /// Sectors to plot
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=65534))]
    sectors: u16,
    /// Real sectors of 1000 pieces, 1 GB each
    #[arg(long, conflicts_with = "pieces_in_sector")]
    release_size: bool,
    /// File whose bytes the chain archives [default: generated]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Bytes of data in each block; a segment takes about 130 million
    #[arg(long, value_name = "N", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u32).range(0..=3_932_160))]
    bytes_per_block: u32,
    /// Proof of space of the chain: chia as on the network, or fast-test
    #[arg(long, value_name = "KIND", default_value_t = ProofOfSpaceKind::Chia)]
    proof_of_space: ProofOfSpaceKind,
    /// Length of a slot in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    slot_duration_ms: u64,
    /// nats-server to start, version 2.10 or newer
    #[arg(
        long,
        value_name = "FILE",
        env = "AUTONOMYS_NATS_SERVER",
        default_value = "nats-server"
    )]
    nats_server_program: PathBuf,
}

/// Options of `dev-node`.
#[derive(Debug, Args)]
pub(crate) struct DevNodeCommand {
    #[command(flatten)]
    node: DevNodeArgs,
    #[command(flatten)]
    kzg: KzgArgs,
}

/// When a cluster has done what it was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// This many blocks were rewarded.
    Rewards(u64),
    /// The farm has all of its sectors.
    Plotted,
}

impl DevArgs {
    fn goal(&self) -> Option<Goal> {
        match self.rewards {
            Some(rewards) => Some(Goal::Rewards(rewards)),
            None => self.until_plotted.then_some(Goal::Plotted),
        }
    }

    fn pieces_in_sector(&self) -> u16 {
        /// Of the network.
        const RELEASE: u16 = 1000;
        if self.release_size {
            RELEASE
        } else {
            self.pieces_in_sector
        }
    }
}

/// Runs the development chain alone.
pub(crate) fn run_node(command: DevNodeCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let parameters = command.kzg.named(&rayon::ThreadPoolBuilder::new().build()?)?;
    let config = command.node.into_config(parameters)?;
    runtime.block_on(async {
        let cancel = crate::shutdown::token_on_signal()?;
        autonomys_dev_node::run(config, cancel).await.map_err(Into::into)
    })
}

/// Runs the cluster until enough rewards came in, something broke, or it is told to stop.
pub(crate) fn run(args: &DevArgs) -> Result<ExitCode> {
    let base = base_path(args)?;
    let _lock = lock(&base)?;
    let layout = Layout::new(args, base)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let starter = Starter::new()?;
    // Filled as processes start; whatever happens, dropping it ends them.
    let mut processes = Vec::new();
    let outcome = runtime.block_on(async {
        let cancel = crate::shutdown::token_on_signal()?;
        cluster_life(args, &layout, &starter, &mut processes, &cancel).await
    });
    stop(&mut processes);
    let finished = outcome?;
    if args.json {
        println!("{}", serde_json::to_string(&finished.summary)?);
    }
    Ok(if finished.complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Finished {
    summary: summary::Summary,
    /// All that was asked for came in, or nothing particular was asked for.
    complete: bool,
}

async fn cluster_life(
    args: &DevArgs,
    layout: &Layout,
    starter: &Starter,
    processes: &mut Vec<Process>,
    cancel: &CancellationToken,
) -> Result<Finished> {
    tracing::info!(
        "everything is in {}; logs in {}",
        layout.base().display(),
        layout.logs().display()
    );
    layout.prepare()?;
    for plan in layout.foundations() {
        processes.push(starter.start(plan)?);
        wait_until_ready(layout, processes, cancel).await?;
    }
    for plan in layout.roles() {
        processes.push(starter.start(plan)?);
    }
    let mut watch = watch::Watch::start(layout, args.goal()).await?;
    let mut progress = progress::Progress::start(args.rewards);
    let mut supervision = tokio::time::interval(SUPERVISION_INTERVAL);
    let started = Instant::now();
    let complete = loop {
        tokio::select! {
            () = cancel.cancelled() => break args.goal().is_none(),
            _ = supervision.tick() => supervise(processes, starter)?,
            state = watch.changed() => {
                progress.show(state?);
                if watch.has_enough() {
                    break true;
                }
            }
        }
    };
    progress.finish();
    let summary = summary::Summary::new(layout, processes, watch.state(), started.elapsed())?;
    match args.goal().filter(|_| complete) {
        Some(Goal::Rewards(rewards)) => {
            tracing::info!(rewards, "all rewards are in, stopping the cluster");
        }
        Some(Goal::Plotted) => {
            tracing::info!(
                sectors = args.sectors,
                "all sectors are plotted, stopping the cluster"
            );
        }
        None => {}
    }
    Ok(Finished { summary, complete })
}

fn base_path(args: &DevArgs) -> Result<PathBuf> {
    let base = match &args.base_path {
        Some(path) => path.clone(),
        None => dirs::data_dir()
            .context("no data directory is known for this user; give --base-path DIR")?
            .join("autonomys-farmer/dev"),
    };
    std::fs::create_dir_all(&base)
        .with_context(|| format!("cannot create the directory {}", base.display()))?;
    base.canonicalize()
        .with_context(|| format!("cannot find the directory {}", base.display()))
}

fn lock(base: &Path) -> Result<File> {
    let path = base.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "a development cluster already runs in {}; stop it, or give another --base-path",
                base.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Waits until the process started last answers.
async fn wait_until_ready(
    layout: &Layout,
    processes: &mut [Process],
    cancel: &CancellationToken,
) -> Result<()> {
    let Some(process) = processes.last_mut() else {
        return Ok(());
    };
    let started = Instant::now();
    let mut reminded = false;
    loop {
        if layout.answers(process.name()).await {
            return Ok(());
        }
        if let Some(status) = process.exited()? {
            bail!(
                "{} ended with {status}: {}",
                process.name(),
                last_line(&process.plan().log)
            );
        }
        if started.elapsed() > READY_WITHIN {
            bail!(
                "{} does not answer; its log says: {}",
                process.name(),
                last_line(&process.plan().log)
            );
        }
        if !reminded && started.elapsed() > REMIND_AFTER {
            reminded = true;
            tracing::info!(
                "{} is starting (a new chain archives its first segment, half a minute of computation)",
                process.name()
            );
        }
        tokio::select! {
            () = tokio::time::sleep(SUPERVISION_INTERVAL) => {}
            () = cancel.cancelled() => bail!("told to stop while {} was starting", process.name()),
        }
    }
}

/// Starts again what ended; a process that cannot even start is the end of the cluster.
fn supervise(processes: &mut [Process], starter: &Starter) -> Result<()> {
    for process in processes {
        let Some(status) = process.exited()? else { continue };
        let line = last_line(&process.plan().log);
        if process.running_for() < RESTARTABLE_AFTER {
            bail!("{} ended with {status}: {line}", process.name());
        }
        tracing::warn!(
            "{} ended with {status} ({line}); starting it again",
            process.name()
        );
        *process = starter.start(process.plan().clone())?;
    }
    Ok(())
}

/// Roles first, then the node and NATS, which they need to say goodbye.
fn stop(processes: &mut Vec<Process>) {
    let deadline = Instant::now() + STOP_WITHIN;
    let foundations = processes.len().min(Layout::FOUNDATIONS);
    for group in [processes.split_off(foundations), std::mem::take(processes)] {
        for process in group.iter().rev() {
            process.terminate();
        }
        for mut process in group {
            match process.wait_or_kill(deadline) {
                Ok(true) => {}
                Ok(false) => tracing::warn!("{} did not stop in time and was killed", process.name()),
                Err(error) => tracing::warn!(%error, "{} could not be waited for", process.name()),
            }
        }
    }
}

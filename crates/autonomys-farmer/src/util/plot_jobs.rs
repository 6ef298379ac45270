//! `util plot-jobs`: the plot jobs of a cluster by state; parked ones can be retried or cancelled.

use super::observer::look;
use super::{on_runtime, until_stopped};
use crate::args::nats::NatsArgs;
use crate::roles::plot_jobs_times;
use anyhow::{Result, bail};
use autonomys_cluster::plot_jobs::{JobId, JobRecord, JobState, PlotJobs};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct PlotJobsArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// One JSON line instead of a list
    #[arg(long)]
    json: bool,
    /// Give a parked job a fresh start; may be repeated
    #[arg(long, value_name = "JOB", conflicts_with_all = ["cancel", "json"])]
    retry: Vec<JobId>,
    /// Remove a parked job; its farm queues the sector anew, with the history as it is then; may be repeated
    #[arg(long, value_name = "JOB", conflicts_with = "json")]
    cancel: Vec<JobId>,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Shown {
    cluster: String,
    /// Jobs by state.
    counts: BTreeMap<&'static str, usize>,
    jobs: Vec<ShownJob>,
}

#[derive(Debug, Serialize)]
struct ShownJob {
    job: String,
    state: &'static str,
    /// Plot-server that has taken it, or holds its sector.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Plot-client whose farm it is for.
    client: String,
    /// Unix time in milliseconds since when it is in this state.
    since: u64,
    /// Times it was taken and did not become ready.
    attempts: u16,
    /// Times it was parked.
    parkings: u16,
    /// Why it is parked, or why its last attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &PlotJobsArgs) -> Result<ExitCode> {
    let shown = on_runtime(async |end| {
        let work = async {
            let cluster = look(&args.nats, "plot-jobs").await?;
            let jobs = PlotJobs::open(&cluster, plot_jobs_times()).await?;
            if args.retry.is_empty() && args.cancel.is_empty() {
                return Ok(Some(show(cluster.name().to_string(), jobs.list().await?)));
            }
            for id in &args.retry {
                let done = jobs.revive_parked(id).await?;
                settle(&jobs, id, done, "is handed out again").await?;
            }
            for id in &args.cancel {
                let done = jobs.cancel_parked(id).await?;
                settle(&jobs, id, done, "is removed; its farm queues the sector anew").await?;
            }
            Ok(None)
        };
        Box::pin(until_stopped(end, work)).await
    })?;
    match shown {
        Some(shown) if args.json => println!("{}", serde_json::to_string(&shown)?),
        Some(shown) => print!("{shown}"),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what was done, or why nothing was.
async fn settle(jobs: &PlotJobs, id: &JobId, done: bool, what: &str) -> Result<()> {
    if done {
        println!("{id} {what}");
        return Ok(());
    }
    match jobs.get(id).await? {
        Some(record) => bail!(
            "{id} is {}, not parked; only parked jobs can be retried or cancelled",
            record.state.name()
        ),
        None => bail!("there is no plot job {id}; util plot-jobs lists them"),
    }
}

fn show(cluster: String, mut records: Vec<JobRecord>) -> Shown {
    // Parked ones first: they are what an operator looks for.
    let rank = |state: &JobState| match state {
        JobState::Parked { .. } => 0,
        JobState::Taken { .. } => 1,
        JobState::Ready(_) => 2,
        JobState::Wanted => 3,
    };
    records.sort_by_key(|record| (rank(&record.state), record.since));
    let mut counts = BTreeMap::from(["wanted", "taken", "ready", "parked"].map(|state| (state, 0)));
    for record in &records {
        *counts.entry(record.state.name()).or_default() += 1;
    }
    Shown {
        cluster,
        counts,
        jobs: records.into_iter().map(ShownJob::from).collect(),
    }
}

impl From<JobRecord> for ShownJob {
    fn from(record: JobRecord) -> Self {
        let server = record.holder().map(|server| server.to_string());
        Self {
            job: record.job.id.to_string(),
            state: record.state.name(),
            server,
            client: record.job.client.to_string(),
            since: record.since,
            attempts: record.attempts,
            parkings: record.parkings,
            reason: match record.state {
                JobState::Parked { reason } => Some(reason),
                _ => record.last_failure,
            },
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| self.counts.get(state).copied().unwrap_or(0);
        writeln!(
            f,
            "cluster {}: {} wanted, {} taken, {} ready, {} parked",
            self.cluster,
            count("wanted"),
            count("taken"),
            count("ready"),
            count("parked")
        )?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as u64);
        for job in &self.jobs {
            // In seconds; clocks of machines differ by more than parts of one.
            let age = Duration::from_secs(now.saturating_sub(job.since) / 1000);
            write!(f, "{}: {} for {age:?}", job.job, job.state)?;
            if let Some(server) = &job.server {
                write!(f, " by {server}")?;
            }
            if job.attempts > 1 {
                write!(f, ", attempt {}", job.attempts)?;
            }
            if let Some(reason) = &job.reason {
                write!(f, ": {reason}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

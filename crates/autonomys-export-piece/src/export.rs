//! The whole run: look at the node, check the directory, make what is missing, say how it ended.

use crate::commit::Arithmetic;
use crate::error::{ExportError, FailedSegment, SegmentError};
use crate::exit::Exit;
use crate::node::Node;
use crate::options::Options;
use crate::output::Output;
use crate::plan::SegmentPlan;
use crate::progress::{Meter, Progress};
use crate::segment::Workshop;
use crate::survey::{self, Survey};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::segments::SegmentIndex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A file that is being written when the run is stopped may be finished within this.
const WRITES_WITHIN: Duration = Duration::from_secs(8);
/// Memory of one segment in work.
const SEGMENT_MEMORY_MIB: u32 = 650;

/// Runs until everything is exported, nothing more can be, or `cancel` is cancelled. Says on the log what went wrong.
pub async fn run(options: Options, cancel: CancellationToken) -> Exit {
    let follow = options.follow;
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        export = Export::begin(options) => match export {
            Err(error) => return report(&error),
            Ok(export) => {
                let exit = export.run(&cancel).await;
                if !cancel.is_cancelled() {
                    return exit;
                }
                None
            }
        },
    };
    match outcome {
        Some(exit) => exit,
        // A follower has no other end.
        None if follow => Exit::Done,
        None => Exit::Stopped,
    }
}

fn report(error: &ExportError) -> Exit {
    eprintln!("error: {error}");
    error.exit()
}

struct Export {
    options: Options,
    node: Arc<Node>,
    survey: Survey,
    work: Workshop,
    /// Segments in the directory that were checked in this run or made by it.
    done: BTreeSet<SegmentIndex>,
    failed: Vec<FailedSegment>,
    progress: Progress,
}

impl Export {
    /// Everything that must be right before the first segment.
    async fn begin(options: Options) -> Result<Self, ExportError> {
        check_range(&options)?;
        let (node, info) = Node::connect(&options.node_url, usize::from(options.connections))
            .await
            .map_err(ExportError::NoNode)?;
        let survey = Survey::begin(&node, &info).await?;
        let nature = node.chain_nature().await?;
        let (kzg, directory, genesis_hash) =
            (options.kzg.clone(), options.output.clone(), survey.genesis_hash);
        let (arithmetic, output, survey) = tokio::task::spawn_blocking(move || {
            let output = Output::open(&directory, genesis_hash)?;
            output.put_headers(&survey.headers)?;
            Ok::<_, ExportError>((Arithmetic::load(&kzg, &nature)?, output, survey))
        })
        .await??;
        let node = Arc::new(node);
        let meter = Arc::new(Meter::default());
        let mut this = Self {
            node: Arc::clone(&node),
            survey,
            work: Workshop {
                node,
                arithmetic: Arc::new(arithmetic),
                output: Arc::new(output),
                meter: Arc::clone(&meter),
                processors: Arc::new(Semaphore::new(1)),
                writes: TaskTracker::new(),
                keep_failed: options.keep_failed.clone(),
            },
            done: BTreeSet::new(),
            failed: Vec::new(),
            progress: Progress::new(meter, options.json),
            options,
        };
        this.check_range_exists()?;
        this.check_done().await?;
        this.check_before_first().await?;
        Ok(this)
    }

    fn range(&self) -> RangeInclusive<u64> {
        self.options.from_segment..=self.options.to_segment.unwrap_or(u64::MAX)
    }

    fn check_range_exists(&self) -> Result<(), ExportError> {
        let segments = self.survey.headers.len();
        let last = self.options.to_segment.unwrap_or(self.options.from_segment);
        if last < segments || self.stays() {
            return Ok(());
        }
        Err(ExportError::Range(format!(
            "the chain has {segments} segments so far, 0 to {}; segment {last} is not among them (--follow waits for it)",
            segments.saturating_sub(1)
        )))
    }

    /// Whether the run goes on when all segments of now are exported.
    fn stays(&self) -> bool {
        self.options.follow || self.survey.syncing
    }

    /// Checks what earlier runs left in the directory; what is damaged is made again.
    async fn check_done(&mut self) -> Result<(), ExportError> {
        let output = Arc::clone(&self.work.output);
        let found: Vec<_> = tokio::task::spawn_blocking(move || output.done())
            .await?
            .into_iter()
            .collect();
        let wanted = self.range();
        let found: Vec<_> = found
            .into_iter()
            .filter(|index| wanted.contains(&index.get()))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let all = self.options.verify;
        tracing::info!(
            segments = found.len(),
            "checking {} of every segment that is there",
            if all { "all pieces" } else { "a random piece" }
        );
        let mut last_line = Instant::now();
        for (number, segment_index) in found.iter().copied().enumerate() {
            let Some(plan) = SegmentPlan::of(&self.survey.headers, segment_index) else {
                tracing::warn!(segment = %segment_index, "the node does not know this segment; it is left alone");
                self.done.insert(segment_index);
                continue;
            };
            let (output, arithmetic) = (Arc::clone(&self.work.output), Arc::clone(&self.work.arithmetic));
            let check = move || output.check(&plan.header, all, &arithmetic);
            if tokio::task::spawn_blocking(check).await? {
                self.done.insert(segment_index);
            } else {
                tracing::warn!(segment = %segment_index, "the segment in the directory is damaged and will be made again");
            }
            if last_line.elapsed() >= self.progress.interval() {
                last_line = Instant::now();
                tracing::info!("checked {}/{} segments", number + 1, found.len());
            }
        }
        Ok(())
    }

    /// Is there room, and has the node the blocks?
    async fn check_before_first(&mut self) -> Result<(), ExportError> {
        let plans = self.survey.exportable(self.range(), &self.done);
        let output = Arc::clone(&self.work.output);
        let size = output.segment_size();
        tracing::info!(
            genesis_hash = %self.survey.genesis_hash,
            "the chain has {} segments; {} are done, {} to export, {:.2} MiB each and {:.2} GiB in all; up to {} MiB of memory",
            self.survey.headers.len(),
            self.done.len(),
            plans.len(),
            size as f64 / f64::from(1 << 20),
            (plans.len() as u64 * size) as f64 / f64::from(1 << 30),
            u32::from(self.options.concurrency) * SEGMENT_MEMORY_MIB,
        );
        let segments = plans.len();
        let space = tokio::task::spawn_blocking(move || output.check_space(segments)).await?;
        match space {
            Err(error) if self.options.force_space => tracing::warn!("going on all the same: {error}"),
            other => other?,
        }
        if self.survey.syncing {
            tracing::warn!(
                "the node is still syncing (block {}); segments follow as it gets their blocks",
                self.survey.best
            );
        }
        survey::probe(&self.node, &plans).await
    }

    /// Exports in rounds until there is nothing to wait for.
    async fn run(mut self, cancel: &CancellationToken) -> Exit {
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(()),
            outcome = self.rounds() => outcome,
        };
        self.work.writes.close();
        if tokio::time::timeout(WRITES_WITHIN, self.work.writes.wait())
            .await
            .is_err()
        {
            tracing::warn!("a segment could not be written in time and is left; the next run makes it again");
        }
        let done = self.work.output.done();
        let remaining = self.survey.exportable(self.range(), &done).len() as u64;
        self.progress.end(&self.failed, remaining);
        match outcome {
            Err(error) => report(&error),
            Ok(()) if self.failed.is_empty() => Exit::Done,
            Ok(()) => Exit::Failed,
        }
    }

    async fn rounds(&mut self) -> Result<(), ExportError> {
        loop {
            let mut except = self.done.clone();
            except.extend(self.failed.iter().map(|failed| failed.segment_index));
            let plans = self.survey.exportable(self.range(), &except);
            if !plans.is_empty() {
                self.round(plans).await?;
            } else if self.stays() {
                let pause = Duration::from_secs(u64::from(self.options.follow_interval));
                tokio::time::sleep(pause).await;
            } else {
                return Ok(());
            }
            if self.stays() {
                self.survey.update(&self.node).await?;
                let output = Arc::clone(&self.work.output);
                let headers = std::mem::take(&mut self.survey.headers);
                let (headers, stored) = tokio::task::spawn_blocking(move || {
                    let stored = output.put_headers(&headers);
                    (headers, stored)
                })
                .await?;
                self.survey.headers = headers;
                stored?;
            }
        }
    }

    /// Makes these segments, several at a time.
    async fn round(&mut self, plans: Vec<SegmentPlan>) -> Result<(), ExportError> {
        self.work.meter.add_total(plans.len());
        let mut waiting = plans.into_iter();
        let mut in_work = FuturesUnordered::new();
        let mut tick = tokio::time::interval(self.progress.interval());
        loop {
            while in_work.len() < usize::from(self.options.concurrency)
                && let Some(plan) = waiting.next()
            {
                let work = self.work.clone();
                let begin = Instant::now();
                in_work.push(async move { (plan, work.make(plan).await, begin.elapsed()) });
            }
            tokio::select! {
                ended = in_work.next() => match ended {
                    None => return Ok(()),
                    Some((plan, outcome, took)) => self.note(plan, outcome, took)?,
                },
                _ = tick.tick() => self.progress.show(),
            }
        }
    }

    fn note(
        &mut self,
        plan: SegmentPlan,
        outcome: Result<(), SegmentError>,
        took: Duration,
    ) -> Result<(), ExportError> {
        let segment_index = plan.segment_index();
        match outcome {
            Ok(()) => {
                self.done.insert(segment_index);
                self.work.meter.finished(true);
                self.progress.segment_done(segment_index, took);
            }
            Err(error) => {
                let error = error.ends_the_run()?;
                self.work.meter.finished(false);
                let failed = FailedSegment { segment_index, error };
                self.progress.segment_failed(&failed);
                self.failed.push(failed);
            }
        }
        Ok(())
    }
}

fn check_range(options: &Options) -> Result<(), ExportError> {
    match options.to_segment {
        Some(to) if to < options.from_segment => Err(ExportError::Range(format!(
            "--to-segment {to} is before --from-segment {}",
            options.from_segment
        ))),
        _ => Ok(()),
    }
}

//! One segment from its plan to its file.

use crate::assemble::Assembly;
use crate::commit::Arithmetic;
use crate::error::SegmentError;
use crate::fetch;
use crate::node::Node;
use crate::output::Output;
use crate::plan::SegmentPlan;
use crate::progress::{Meter, Stage};
use futures::{StreamExt, TryStreamExt};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use subspace_archiving::RawSegment;
use subspace_core_primitives::BlockNumber;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What all segments share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) node: Arc<Node>,
    pub(crate) arithmetic: Arc<Arithmetic>,
    pub(crate) output: Arc<Output>,
    pub(crate) meter: Arc<Meter>,
    /// One segment computes at a time, on all processors: so the next one is read meanwhile, and no time is lost by halves.
    pub(crate) processors: Arc<Semaphore>,
    /// Files that are being written; they are waited for when the run is stopped.
    pub(crate) writes: TaskTracker,
    pub(crate) keep_failed: Option<PathBuf>,
}

impl Workshop {
    /// Makes a segment and stores it. Can be dropped at any moment.
    pub(crate) async fn make(&self, plan: SegmentPlan) -> Result<(), SegmentError> {
        let mut hash_before: Option<Blake3Hash> = None;
        loop {
            let raw = self.fetch(plan).await?;
            let waiting = self.meter.enter(Stage::Waiting);
            let permit = Arc::clone(&self.processors).acquire_owned().await;
            drop(waiting);
            let work = self.clone();
            let (hash, pieces) = tokio::task::spawn_blocking(move || {
                // Held until the end even when nobody waits for it any more.
                let _permit = permit;
                let _computing = work.meter.enter(Stage::Computing);
                let hash = blake3_hash(&raw.bytes);
                // The same bytes a second time: the answer is known.
                if hash_before == Some(hash) {
                    return Ok((hash, None));
                }
                tracing::debug!(segment = %plan.segment_index(), "computing");
                let pieces = work.arithmetic.pieces(&plan, &raw)?;
                if pieces.is_none() {
                    work.keep(&raw);
                }
                Ok::<_, SegmentError>((hash, pieces))
            })
            .await??;
            match (pieces, hash_before) {
                (Some(pieces), _) => {
                    let work = self.clone();
                    let write = self.writes.spawn_blocking(move || {
                        let _writing = work.meter.enter(Stage::Writing);
                        tracing::debug!(segment = %plan.segment_index(), "writing");
                        work.output.put(plan.segment_index(), &pieces)
                    });
                    return Ok(write.await??);
                }
                (None, None) => {
                    tracing::warn!(
                        segment = %plan.segment_index(),
                        "the blocks make another segment than the chain's header says, reading them again"
                    );
                    hash_before = Some(hash);
                }
                (None, Some(before)) => {
                    let blocks = if before == hash {
                        "the same blocks came twice"
                    } else {
                        "other blocks came the second time"
                    };
                    return Err(SegmentError::WrongCommitment { blocks });
                }
            }
        }
    }

    /// The bytes of a segment, out of the blocks that the node gives.
    pub(crate) async fn fetch(&self, plan: SegmentPlan) -> Result<RawSegment, SegmentError> {
        let _fetching = self.meter.enter(Stage::Fetching);
        let numbers = plan.blocks();
        let last = *numbers.end();
        let mut assembly = self.read_into(Assembly::new(plan)?, numbers).await?;
        let (finished, raw) = finish(assembly).await?;
        if let Some(raw) = raw {
            return Ok(raw);
        }
        let behind = last.saturating_add(1);
        assembly = self.read_into(finished, behind..=behind).await?;
        finish(assembly).await?.1.ok_or(SegmentError::NotFull)
    }

    async fn read_into(
        &self,
        assembly: Assembly,
        numbers: RangeInclusive<BlockNumber>,
    ) -> Result<Assembly, SegmentError> {
        let links = fetch::links(&self.node, numbers).await?;
        fetch::blocks(&self.node, &self.meter, links)
            .boxed()
            .try_fold(assembly, |mut assembly, blocks| async {
                for block in blocks {
                    assembly.push(block)?;
                }
                Ok(assembly)
            })
            .await
    }

    fn keep(&self, raw: &RawSegment) {
        let Some(directory) = &self.keep_failed else {
            return;
        };
        let path = directory.join(format!("segment-{:010}.raw", raw.segment_index.get()));
        let kept = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, &raw.bytes));
        match kept {
            Ok(()) => {
                tracing::info!(path = %path.display(), "kept the bytes of a segment that is not what the header says")
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot keep the bytes of a segment")
            }
        }
    }
}

/// A copy of 124 MiB, off the asynchronous threads.
async fn finish(mut assembly: Assembly) -> Result<(Assembly, Option<RawSegment>), SegmentError> {
    tokio::task::spawn_blocking(move || {
        let raw = assembly.finish()?;
        Ok((assembly, raw))
    })
    .await?
}

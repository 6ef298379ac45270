//! What the operator sees: a bar on a terminal, plain lines in a log, JSON lines for scripts.

mod show;

pub use show::Progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a segment in work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Blocks are read.
    Fetching,
    /// It is whole and waits for the processors.
    Waiting,
    /// Pieces and commitments are computed.
    Computing,
    /// The file is written and synced.
    Writing,
}

/// Numbers of a run, counted by everybody at work.
#[derive(Debug, Default)]
pub struct Meter {
    stages: [AtomicUsize; 4],
    blocks: AtomicU64,
    bytes: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    total: AtomicU64,
}

/// A segment is in a stage as long as this lives.
#[derive(Debug)]
pub struct InStage {
    meter: Arc<Meter>,
    stage: Stage,
}

impl Drop for InStage {
    fn drop(&mut self) {
        self.meter.stages[self.stage as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Blocks read in this run.
    pub blocks: u64,
    /// Their archived bytes.
    pub bytes: u64,
    /// Segments made in this run.
    pub done: u64,
    /// Segments that could not be made.
    pub failed: u64,
    /// Segments to make in this run.
    pub total: u64,
    /// What everybody waits for: `fetch`, `compute` or `write`.
    pub bottleneck: &'static str,
}

impl Meter {
    /// A segment begins a stage.
    pub fn enter(self: &Arc<Self>, stage: Stage) -> InStage {
        self.stages[stage as usize].fetch_add(1, Ordering::Relaxed);
        InStage {
            meter: Arc::clone(self),
            stage,
        }
    }

    /// Blocks were read.
    pub fn fetched(&self, blocks: usize, bytes: usize) {
        self.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// There are more segments to make.
    pub fn add_total(&self, segments: usize) {
        self.total.fetch_add(segments as u64, Ordering::Relaxed);
    }

    /// A segment is done, or has failed.
    pub fn finished(&self, well: bool) {
        let count = if well { &self.done } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now.
    pub fn read(&self) -> Reading {
        let in_stage = |stage: Stage| self.stages[stage as usize].load(Ordering::Relaxed);
        // Who waits for the processors has blocks and no room: reading faster would not help.
        let bottleneck = if in_stage(Stage::Waiting) > 0 {
            "compute"
        } else if in_stage(Stage::Writing) > in_stage(Stage::Computing) + in_stage(Stage::Fetching) {
            "write"
        } else if in_stage(Stage::Fetching) > 0 {
            "fetch"
        } else {
            "compute"
        };
        Reading {
            blocks: self.blocks.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            bottleneck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_what_is_waited_for() {
        let meter = Arc::new(Meter::default());
        let fetching = meter.enter(Stage::Fetching);
        assert_eq!(meter.read().bottleneck, "fetch");
        let computing = meter.enter(Stage::Computing);
        assert_eq!(meter.read().bottleneck, "fetch");
        let waiting = meter.enter(Stage::Waiting);
        assert_eq!(meter.read().bottleneck, "compute");
        drop((fetching, computing, waiting));
        let _writing = meter.enter(Stage::Writing);
        assert_eq!(meter.read().bottleneck, "write");
    }
}

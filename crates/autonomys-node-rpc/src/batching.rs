//! How many blocks to ask a node for in one request: as many as give a reply of a good size, fewer where the node refuses them.

use crate::limits;
use std::sync::{Mutex, PoisonError};

/// Answers after which a number that was refused is tried again; doubled whenever the trial is refused as well.
const FIRST_PATIENCE: u32 = 16;
/// Most of them: where batches are disabled, one request in a thousand is spent on asking again.
const MAX_PATIENCE: u32 = 1024;

#[derive(Debug)]
struct State {
    /// Blocks of the next request by the size of replies alone.
    wanted: usize,
    /// Most blocks that the node may take.
    ceiling: usize,
    /// Answers since the ceiling was moved.
    answers: u32,
    patience: u32,
    /// The ceiling was raised and nothing of this size was answered yet.
    on_trial: bool,
}

/// The number of blocks in a request, adapted to what the node takes. Connections to one node share it.
#[derive(Debug)]
pub struct BatchSize(Mutex<State>);

impl Default for BatchSize {
    fn default() -> Self {
        Self(Mutex::new(State {
            wanted: limits::INITIAL_BLOCK_BATCH,
            ceiling: limits::MAX_BLOCK_BATCH,
            answers: 0,
            patience: FIRST_PATIENCE,
            on_trial: false,
        }))
    }
}

impl BatchSize {
    /// Blocks of the next request, at least 1.
    pub fn get(&self) -> usize {
        let state = self.lock();
        state.wanted.min(state.ceiling)
    }

    /// A request for `blocks` was answered with `text` bytes of JSON, about.
    pub(crate) fn answered(&self, blocks: usize, text: usize) {
        let state = &mut *self.lock();
        let per_block = (text / blocks.max(1)).max(1);
        let fitting = limits::BLOCK_BATCH_REPLY_SIZE / per_block;
        // Blocks grow without notice: a step up is a doubling at most.
        state.wanted = fitting
            .clamp(1, limits::MAX_BLOCK_BATCH)
            .min(blocks.max(state.wanted) * 2);
        if blocks >= state.ceiling {
            state.on_trial = false;
        }
        state.answers = state.answers.saturating_add(1);
        if state.ceiling < limits::MAX_BLOCK_BATCH
            && state.wanted > state.ceiling
            && state.answers >= state.patience
        {
            state.ceiling = (state.ceiling * 2).min(limits::MAX_BLOCK_BATCH);
            state.answers = 0;
            state.on_trial = true;
        }
    }

    /// A request for `blocks` was refused although one for fewer may be taken.
    pub(crate) fn refused(&self, blocks: usize) {
        let state = &mut *self.lock();
        state.ceiling = state.ceiling.min((blocks / 2).max(1));
        state.patience = if state.on_trial {
            (state.patience * 2).min(MAX_PATIENCE)
        } else {
            FIRST_PATIENCE.max(state.patience)
        };
        state.answers = 0;
        state.on_trial = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_close_to_the_size_aimed_at() {
        let size = BatchSize::default();
        assert_eq!(size.get(), limits::INITIAL_BLOCK_BATCH);
        for _ in 0..10 {
            size.answered(size.get(), size.get() * 2_000);
        }
        assert_eq!(size.get(), limits::MAX_BLOCK_BATCH);
        let large = limits::BLOCK_BATCH_REPLY_SIZE / 3;
        size.answered(size.get(), size.get() * large);
        assert_eq!(size.get(), 3);
        size.answered(3, 30_000_000);
        assert_eq!(size.get(), 1);
        size.answered(1, 2_000);
        assert_eq!(size.get(), 2);
    }

    #[test]
    fn what_is_refused_is_tried_again_less_and_less_often() {
        let size = BatchSize::default();
        // Batches are disabled: one block at a time works, more never.
        let mut refusals = 0;
        for _ in 0..10_000 {
            match size.get() {
                1 => size.answered(1, 2_000),
                more => {
                    refusals += 1;
                    size.refused(more);
                }
            }
        }
        assert!((6..25).contains(&refusals), "{refusals}");
        // Large blocks that are over: the old number comes back soon.
        let size = BatchSize::default();
        size.refused(32);
        assert_eq!(size.get(), 16);
        for _ in 0..2 * FIRST_PATIENCE {
            size.answered(size.get(), size.get() * 2_000);
        }
        assert!(size.get() > 32);
    }
}

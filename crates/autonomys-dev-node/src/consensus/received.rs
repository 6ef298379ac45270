//! Which solutions were submitted to this node, so that a test can compare it with what farms say they have sent.

use crate::rpc::development::ReceivedSolution;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::rpc::SolutionResponse;

/// Solutions that are remembered, 50 bytes each: more than tests look at, little enough to keep always.
const REMEMBERED: usize = 4096;

/// The newest submitted solutions, in order of arrival.
#[derive(Debug, Default)]
pub struct ReceivedSolutions {
    newest: Mutex<VecDeque<ReceivedSolution>>,
    /// All since the start.
    pub count: AtomicU64,
}

impl ReceivedSolutions {
    /// Notes one, with whether its sender was told that it was taken.
    pub fn add(&self, response: &SolutionResponse, taken: bool) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest.lock();
        if newest.len() == REMEMBERED {
            newest.pop_front();
        }
        newest.push_back(ReceivedSolution {
            slot: response.slot_number,
            public_key: response.solution.public_key,
            sector_index: response.solution.sector_index,
            piece_offset: response.solution.piece_offset,
            taken,
        });
    }

    /// Those of a slot and later ones.
    pub fn since(&self, slot: SlotNumber) -> Vec<ReceivedSolution> {
        let newest = self.newest.lock();
        newest
            .iter()
            .filter(|solution| solution.slot >= slot)
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::PublicKey;
    use subspace_core_primitives::solutions::Solution;

    #[test]
    fn the_newest_are_remembered() {
        let received = ReceivedSolutions::default();
        for slot_number in 0..REMEMBERED as u64 + 3 {
            let key = PublicKey([1; 32]);
            let solution = Solution::genesis_solution(key, key);
            let response = SolutionResponse {
                slot_number,
                solution,
            };
            received.add(&response, slot_number.is_multiple_of(2));
        }
        assert_eq!(received.count.load(Ordering::Relaxed), REMEMBERED as u64 + 3);
        let all = received.since(0);
        assert_eq!((all.len(), all[0].slot, all[0].taken), (REMEMBERED, 3, false));
        assert_eq!(received.since(REMEMBERED as u64 + 2).len(), 1);
    }
}

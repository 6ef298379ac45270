//! Mailboxes of slots: where solutions wait until the node builds on their slot.

use crate::parameters::BLOCK_AUTHORING_DELAY;
use std::collections::BTreeMap;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::solutions::Solution;

/// Solutions of a slot that are judged; later ones are dropped although their sender was told that they were taken.
pub const MAILBOX_CAPACITY: usize = 10;

/// A solution for a slot without a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolutionIgnored;

/// Mailboxes of the most recent slots.
#[derive(Debug, Default)]
pub struct Mailboxes {
    open: BTreeMap<SlotNumber, Vec<Solution>>,
}

impl Mailboxes {
    /// Opens the mailbox of a slot that was handed to a subscriber (again, when the slot was announced anew), and forgets all
    /// but those of the last slots.
    pub fn open(&mut self, slot: SlotNumber) {
        self.open.insert(slot, Vec::new());
        self.forget_before(slot.saturating_sub(BLOCK_AUTHORING_DELAY));
    }

    /// Puts a solution into its mailbox.
    ///
    /// # Errors
    /// [`SolutionIgnored`] when the slot has none: never announced, closed or forgotten.
    pub fn put(&mut self, slot: SlotNumber, solution: Solution) -> Result<(), SolutionIgnored> {
        let mailbox = self.open.get_mut(&slot).ok_or(SolutionIgnored)?;
        if mailbox.len() < MAILBOX_CAPACITY {
            mailbox.push(solution);
        } else {
            tracing::warn!(
                slot,
                "the mailbox is full, a solution was dropped although its sender was not told"
            );
        }
        Ok(())
    }

    /// Closes the mailbox of a slot and returns its solutions in order of arrival.
    pub fn close(&mut self, slot: SlotNumber) -> Vec<Solution> {
        self.open.remove(&slot).unwrap_or_default()
    }

    fn forget_before(&mut self, slot: SlotNumber) {
        self.open = self.open.split_off(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subspace_core_primitives::PublicKey;

    fn solution(sector_index: u16) -> Solution {
        let mut solution = Solution::genesis_solution(PublicKey([1; 32]), PublicKey([2; 32]));
        solution.sector_index = sector_index;
        solution
    }

    #[test]
    fn solutions_are_kept_in_order_up_to_the_capacity() {
        let mut mailboxes = Mailboxes::default();
        assert_eq!(mailboxes.put(7, solution(0)), Err(SolutionIgnored));
        mailboxes.open(7);
        for index in 0..MAILBOX_CAPACITY as u16 + 3 {
            assert_eq!(mailboxes.put(7, solution(index)), Ok(()));
        }
        let kept: Vec<_> = mailboxes
            .close(7)
            .iter()
            .map(|solution| solution.sector_index)
            .collect();
        assert_eq!(kept, (0..MAILBOX_CAPACITY as u16).collect::<Vec<_>>());
        assert_eq!(mailboxes.put(7, solution(0)), Err(SolutionIgnored));
    }

    #[test]
    fn only_the_last_slots_are_remembered() {
        let mut mailboxes = Mailboxes::default();
        for slot in 1..=10 {
            mailboxes.open(slot);
        }
        for slot in 1..=5 {
            assert_eq!(mailboxes.put(slot, solution(0)), Err(SolutionIgnored), "{slot}");
        }
        for slot in 6..=10 {
            assert_eq!(mailboxes.put(slot, solution(0)), Ok(()), "{slot}");
        }
        mailboxes.open(10);
        assert_eq!(mailboxes.close(10), []);
    }
}

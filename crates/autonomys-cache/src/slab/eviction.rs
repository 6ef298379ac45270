//! S3-FIFO: which item leaves when the store is full.
//!
//! New items enter a small queue; those read again there move to the main queue, the others leave first, and are remembered
//! for a while so that a quick return goes straight to main. One pass over the whole history therefore does not flush what is
//! read often. (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.)

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// The small queue holds one item of this many.
const SMALL_DIVISOR: usize = 10;

/// Reads beyond this do not count: more would let old favourites stay for too long.
const MAX_USES: u8 = 3;

#[derive(Debug, Clone, Copy)]
struct Meta {
    /// Which of several entries in the queues is the valid one.
    stamp: u64,
    uses: u8,
    in_main: bool,
    /// Leaves before all others, whatever its use; which of several entries in that queue is the valid one.
    released: Option<u64>,
}

/// The policy. Keys only; it does not know where items lie.
#[derive(Debug)]
pub(super) struct S3Fifo<K> {
    capacity: usize,
    members: HashMap<K, Meta>,
    small: VecDeque<(K, u64)>,
    main: VecDeque<(K, u64)>,
    small_live: usize,
    /// Items that leave first. An entry whose item was claimed back stays until it comes up.
    released: VecDeque<(K, u64)>,
    released_live: usize,
    ghosts: HashSet<K>,
    ghost_order: VecDeque<K>,
    next_stamp: u64,
}

impl<K: Copy + Eq + Hash> S3Fifo<K> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            members: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_live: 0,
            released: VecDeque::new(),
            released_live: 0,
            ghosts: HashSet::new(),
            ghost_order: VecDeque::new(),
            next_stamp: 0,
        }
    }

    /// An item was stored. A key that is there already keeps its place and counts as read; a released one is wanted again.
    pub(super) fn insert(&mut self, key: K) {
        if self.members.contains_key(&key) {
            self.claim(&key);
            self.touch(&key);
            return;
        }
        let in_main = self.ghosts.remove(&key);
        self.enqueue(key, in_main);
    }

    /// An item of an earlier run was found; it has no history, so it starts in main.
    pub(super) fn restore(&mut self, key: K) {
        if !self.members.contains_key(&key) {
            self.enqueue(key, true);
        }
    }

    fn enqueue(&mut self, key: K, in_main: bool) {
        self.next_stamp += 1;
        let stamp = self.next_stamp;
        self.members.insert(
            key,
            Meta {
                stamp,
                uses: 0,
                in_main,
                released: None,
            },
        );
        if in_main {
            self.main.push_back((key, stamp));
        } else {
            self.small.push_back((key, stamp));
            self.small_live += 1;
        }
        self.compact();
    }

    /// An item was read.
    pub(super) fn touch(&mut self, key: &K) {
        if let Some(meta) = self.members.get_mut(key) {
            meta.uses = (meta.uses + 1).min(MAX_USES);
        }
    }

    /// Marks an item that leaves before all others; `false` when there is none or it is marked already.
    pub(super) fn release(&mut self, key: &K) -> bool {
        let Some(meta) = self.members.get_mut(key).filter(|meta| meta.released.is_none()) else {
            return false;
        };
        self.next_stamp += 1;
        meta.released = Some(self.next_stamp);
        self.released_live += 1;
        self.released.push_back((*key, self.next_stamp));
        // Entries of claimed and removed items must not outnumber the others.
        if self.released.len() > 2 * self.released_live + 64 {
            let members = &self.members;
            self.released
                .retain(|(key, stamp)| members.get(key).is_some_and(|meta| meta.released == Some(*stamp)));
        }
        true
    }

    /// Takes the mark away.
    pub(super) fn claim(&mut self, key: &K) {
        if let Some(meta) = self.members.get_mut(key).filter(|meta| meta.released.is_some()) {
            meta.released = None;
            self.released_live -= 1;
        }
    }

    /// Marked items.
    pub(super) fn released(&self) -> usize {
        self.released_live
    }

    /// An item left for another reason.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(meta) = self.members.remove(key) {
            self.small_live -= usize::from(!meta.in_main);
            self.released_live -= usize::from(meta.released.is_some());
        }
    }

    /// Chooses the item that leaves, and forgets it; `None` when there is none.
    pub(super) fn evict(&mut self) -> Option<K> {
        while let Some((key, stamp)) = self.released.pop_front() {
            if self
                .members
                .get(&key)
                .is_some_and(|meta| meta.released == Some(stamp))
            {
                self.remove(&key);
                return Some(key);
            }
        }
        while !self.members.is_empty() {
            let main_live = self.members.len() - self.small_live;
            let from_small = self.small_live > self.capacity / SMALL_DIVISOR || main_live == 0;
            let victim = if from_small {
                self.evict_small()
            } else {
                self.evict_main()
            };
            if victim.is_some() {
                return victim;
            }
        }
        None
    }

    fn evict_small(&mut self) -> Option<K> {
        let (key, stamp) = self.small.pop_front()?;
        let meta = *self.members.get(&key).filter(|meta| meta.stamp == stamp)?;
        // No released item is left here: those went before.
        self.remove(&key);
        if meta.uses > 0 {
            self.enqueue(key, true);
            return None;
        }
        self.remember(key);
        Some(key)
    }

    fn evict_main(&mut self) -> Option<K> {
        let (key, stamp) = self.main.pop_front()?;
        let meta = self.members.get_mut(&key).filter(|meta| meta.stamp == stamp)?;
        if meta.uses > 0 {
            meta.uses -= 1;
            self.main.push_back((key, stamp));
            return None;
        }
        self.members.remove(&key);
        Some(key)
    }

    fn remember(&mut self, key: K) {
        if self.ghosts.insert(key) {
            self.ghost_order.push_back(key);
        }
        while self.ghost_order.len() > self.capacity {
            if let Some(old) = self.ghost_order.pop_front() {
                self.ghosts.remove(&old);
            }
        }
    }

    /// Entries of removed keys stay in the queues until they come up; this keeps them from outnumbering the living.
    fn compact(&mut self) {
        let members = &self.members;
        if self.small.len() + self.main.len() > 2 * members.len() + 64 {
            let alive = |(key, stamp): &(K, u64)| members.get(key).is_some_and(|meta| meta.stamp == *stamp);
            self.small.retain(alive);
            self.main.retain(alive);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_does_not_flush_what_is_read_often() {
        let mut policy = S3Fifo::new(100);
        for key in 0..50 {
            policy.insert(key);
            policy.touch(&key);
        }
        let mut left = HashSet::new();
        for key in 1000..3000 {
            if policy.members.len() >= 100 {
                left.insert(policy.evict().unwrap());
            }
            policy.insert(key);
        }
        assert!(
            (0..50).all(|key| !left.contains(&key)),
            "a scan evicted a favourite"
        );
        assert_eq!(policy.members.len(), 100);
    }

    #[test]
    fn released_items_leave_first_unless_they_are_claimed_back() {
        let mut policy = S3Fifo::new(10);
        (0..10).for_each(|key| policy.insert(key));
        for key in [7, 3, 9, 5] {
            policy.touch(&key);
            assert!(policy.release(&key) && !policy.release(&key));
        }
        assert!(!policy.release(&99));
        policy.claim(&3);
        policy.insert(9);
        policy.remove(&5);
        assert_eq!(policy.released(), 1);
        assert_eq!([policy.evict(), policy.evict()], [Some(7), Some(0)]);
        assert_eq!(policy.released(), 0);
        for _ in 0..1000 {
            policy.release(&3);
            policy.claim(&3);
        }
        assert!(policy.released.len() <= 66);
        let rest: HashSet<_> = std::iter::from_fn(|| policy.evict()).collect();
        assert_eq!(rest, [1, 2, 3, 4, 6, 8, 9].into());
    }

    #[test]
    fn a_quick_return_goes_to_main() {
        let mut policy = S3Fifo::new(10);
        (0..10).for_each(|key| policy.insert(key));
        assert_eq!(policy.evict(), Some(0));
        policy.insert(0);
        assert!(policy.members[&0].in_main);
    }

    #[test]
    fn removed_items_are_never_chosen_and_queues_stay_bounded() {
        let mut policy = S3Fifo::new(10);
        for round in 0..1000 {
            policy.insert(round % 7);
            policy.remove(&(round % 7));
        }
        assert!(policy.small.len() + policy.main.len() <= 66 && policy.ghost_order.len() <= 10);
        assert_eq!(policy.evict(), None);
        policy.restore(5);
        policy.touch(&5);
        assert_eq!(policy.evict(), Some(5));
        assert_eq!((policy.evict(), policy.small_live), (None, 0));
    }
}

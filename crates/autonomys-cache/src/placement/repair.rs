//! Spreads places over shards by exchanges: none of a member (or of a host) has more places in a shard than its number requires.
//!
//! If a group of owners has more places in shard s than the average demands, another shard t has fewer, and then some other group
//! has more in t than in s: exchanging one place each makes the first better and the other no worse. So the loop always ends, and
//! numbers of places stay what they were.

use super::NUM_SHARDS;
use super::transition::VACANT;

/// Rounds of corrections. They end by themselves, so this only bounds what a mistake in that argument could cost.
const MAX_ROUNDS: usize = 64;

struct Spread<'a> {
    owners: &'a mut [u16],
    positions: usize,
    group: &'a [usize],
}

/// Brings the places of every group in every shard between the whole numbers around their average. `group` is that of each owner;
/// exchanges take place with shards in `touched` as far as possible, whose places have moved anyhow.
pub(super) fn repair(owners: &mut [u16], positions: usize, group: &[usize], touched: &[usize]) {
    let groups = group.iter().map(|&one| one + 1).max().unwrap_or(0);
    let mut places = vec![0usize; groups];
    for &owner in owners.iter().filter(|&&owner| owner != VACANT) {
        places[group[usize::from(owner)]] += 1;
    }
    let mut spread = Spread {
        owners,
        positions,
        group,
    };
    // An exchange can leave a group that was wrong in one shard wrong in the other, so it may take several rounds. Every exchange
    // brings the group it is made for closer to its average and no other farther away, so they end.
    for _ in 0..MAX_ROUNDS {
        let wrong = spread.wrong(&places);
        if wrong.is_empty() {
            break;
        }
        for of_group in wrong.chunk_by(|a, b| a.0 == b.0) {
            spread.correct(of_group, places[of_group[0].0], touched);
        }
    }
}

impl Spread<'_> {
    /// Groups and the shards in which they have too many or too few places.
    fn wrong(&self, places: &[usize]) -> Vec<(usize, usize)> {
        // Groups with a place in every shard are few: at most as many as positions.
        let everywhere: Vec<usize> = (0..places.len())
            .filter(|&one| places[one] >= NUM_SHARDS)
            .collect();
        let mut wrong = Vec::new();
        for shard in 0..NUM_SHARDS {
            for position in 0..self.positions {
                let one = self.group_at(shard, position);
                let first = (0..position).all(|before| self.group_at(shard, before) != one);
                if first && self.count(shard, one) > places[one].div_ceil(NUM_SHARDS) {
                    wrong.push((one, shard));
                }
            }
            for &one in &everywhere {
                if self.count(shard, one) < places[one] / NUM_SHARDS {
                    wrong.push((one, shard));
                }
            }
        }
        wrong.sort_unstable();
        wrong
    }

    /// Corrects one group, which has `places` in all, in the given shards.
    fn correct(&mut self, of_group: &[(usize, usize)], places: usize, touched: &[usize]) {
        let (least, most) = (places / NUM_SHARDS, places.div_ceil(NUM_SHARDS));
        let mut partners = touched.iter().copied().chain(0..NUM_SHARDS);
        for &(one, shard) in of_group {
            loop {
                let count = self.count(shard, one);
                let found = if count > most {
                    partners
                        .find(|&other| self.count(other, one) + 2 <= count)
                        .map(|other| (shard, other))
                } else if count < least {
                    partners
                        .find(|&other| self.count(other, one) >= count + 2)
                        .map(|other| (other, shard))
                } else {
                    break;
                };
                match found {
                    Some((from, to)) => self.exchange(one, from, to),
                    None => break,
                }
            }
        }
    }

    fn owner(&self, shard: usize, position: usize) -> usize {
        usize::from(self.owners[shard * self.positions + position])
    }

    fn group_at(&self, shard: usize, position: usize) -> usize {
        self.group[self.owner(shard, position)]
    }

    /// Places of a group in a shard.
    fn count(&self, shard: usize, group: usize) -> usize {
        (0..self.positions)
            .filter(|&position| self.group_at(shard, position) == group)
            .count()
    }

    /// Places of an owner in a shard.
    fn mine(&self, shard: usize, owner: usize) -> usize {
        (0..self.positions)
            .filter(|&position| self.owner(shard, position) == owner)
            .count()
    }

    /// Gives a place of `group` in shard `from` for a place in shard `to` of another group that has more there than in `from`.
    fn exchange(&mut self, group: usize, from: usize, to: usize) {
        let spare = |spread: &Self, here, there, position| {
            let owner = spread.owner(here, position);
            spread.mine(here, owner) > spread.mine(there, owner)
        };
        let gives = (0..self.positions)
            .find(|&position| self.group_at(from, position) == group && spare(self, from, to, position));
        let takes = (0..self.positions).find(|&position| {
            let other = self.group_at(to, position);
            other != group
                && self.count(to, other) > self.count(from, other)
                && spare(self, to, from, position)
        });
        if let (Some(gives), Some(takes)) = (gives, takes) {
            self.owners
                .swap(from * self.positions + gives, to * self.positions + takes);
        }
    }
}

//! Vacant places go to the best draws.

use super::NUM_SHARDS;
use super::draw::shard_seed;
use super::transition::{VACANT, Work};

/// Members that pass the sieve for a shard on average: enough that one who may receive is nearly always among them.
const SIFTED: usize = 24;

/// Finds the members with the lowest costs without computing all costs: one multiplication instead of a logarithm.
struct Sieve {
    /// The open members and the draws from which on each passes.
    passes: Vec<(usize, u64)>,
    /// Who does not pass has a higher cost than this.
    surely: u64,
}

/// What is known about the shard in hand.
struct Shard {
    seed: u64,
    /// Members that passed the sieve, with their costs.
    sifted: Vec<(usize, u64)>,
    /// Places of every member, and of every host.
    mine: Vec<u32>,
    at_host: Vec<u32>,
}

impl Work<'_> {
    /// Gives every vacant place to the best draw among those who may receive; the shards that had one.
    pub(super) fn fill(&mut self) -> Vec<usize> {
        let count = self.candidates.len();
        let vacant = self.owners.iter().filter(|&&owner| owner == VACANT).count();
        let owed: u32 = (0..count)
            .map(|one| self.plan.owed[one].saturating_sub(self.held[one]))
            .sum();
        let mut free_choice = vacant.saturating_sub(owed as usize);
        let mut open: Vec<usize> = (0..count)
            .filter(|&one| self.held[one] < self.plan.most[one])
            .collect();
        let mut sieve = self.sieve(&open);
        let mut state = Shard {
            seed: 0,
            sifted: Vec::new(),
            mine: vec![0; count],
            at_host: vec![0; self.host_held.len()],
        };
        let mut touched = Vec::new();
        for shard in 0..NUM_SHARDS {
            if !self.shard(shard).contains(&VACANT) {
                continue;
            }
            touched.push(shard);
            if open.len() * 2 < sieve.passes.len() {
                sieve = self.sieve(&open);
            }
            self.enter(shard, &sieve, &mut state);
            for place in shard * self.positions..(shard + 1) * self.positions {
                if self.owners[place] != VACANT {
                    continue;
                }
                let chosen = self.choose(&open, free_choice > 0, sieve.surely, &state);
                let host = self.candidates[chosen].host;
                free_choice -= usize::from(free_choice > 0 && self.held[chosen] >= self.plan.owed[chosen]);
                self.owners[place] = chosen as u16;
                self.held[chosen] += 1;
                self.host_held[host] += 1;
                state.mine[chosen] += 1;
                state.at_host[host] += 1;
            }
            let mut closed = false;
            for &owner in self.shard(shard) {
                let one = usize::from(owner);
                state.mine[one] = 0;
                state.at_host[self.candidates[one].host] = 0;
                closed |= self.held[one] >= self.plan.most[one];
            }
            if closed {
                open.retain(|&one| self.held[one] < self.plan.most[one]);
            }
        }
        touched
    }

    fn sieve(&self, open: &[usize]) -> Sieve {
        let weight: u128 = open
            .iter()
            .map(|&one| u128::from(self.candidates[one].weight))
            .sum();
        let passes: Vec<(usize, u64)> = open
            .iter()
            .map(|&one| {
                let passing = (SIFTED as u128 * u128::from(self.candidates[one].weight)) << 64;
                let passing = u64::try_from(passing / weight.max(1)).unwrap_or(u64::MAX);
                (one, u64::MAX - passing)
            })
            .collect();
        let surely = passes
            .iter()
            .map(|&(one, from)| self.candidates[one].drawer.cost_of(from))
            .min()
            .unwrap_or(0);
        Sieve { passes, surely }
    }

    /// Prepares the choice for a shard.
    fn enter(&self, shard: usize, sieve: &Sieve, state: &mut Shard) {
        state.seed = shard_seed(shard);
        state.sifted.clear();
        for &(one, from) in &sieve.passes {
            let draw = self.candidates[one].drawer.draw(state.seed);
            if draw >= from {
                state
                    .sifted
                    .push((one, self.candidates[one].drawer.cost_of(draw)));
            }
        }
        for &owner in self.shard(shard).iter().filter(|&&owner| owner != VACANT) {
            state.mine[usize::from(owner)] += 1;
            state.at_host[self.candidates[usize::from(owner)].host] += 1;
        }
    }

    /// Who gets the next place of the shard.
    fn choose(&self, open: &[usize], free_choice: bool, surely: u64, state: &Shard) -> usize {
        let sifted = self.best(state.sifted.iter().copied(), free_choice, state);
        if let Some((0, cost, one)) = sifted
            && cost <= surely
        {
            return one;
        }
        let all = open
            .iter()
            .map(|&one| (one, self.candidates[one].drawer.cost(state.seed)));
        match self.best(all, free_choice, state) {
            Some((_, _, one)) => one,
            // Nobody is owed anything or may have more, which the plan's sums exclude; the table stays whole all the same.
            None => (0..self.held.len())
                .min_by_key(|&one| self.held[one])
                .unwrap_or(0),
        }
    }

    /// Class, cost and number of the best: a class is 0 for a member whose host has no place in the shard yet.
    fn best(
        &self,
        members: impl Iterator<Item = (usize, u64)>,
        free_choice: bool,
        state: &Shard,
    ) -> Option<(u32, u64, usize)> {
        let limit = if free_choice {
            &self.plan.most
        } else {
            &self.plan.owed
        };
        members
            .filter(|&(one, _)| self.held[one] < limit[one])
            .map(|(one, cost)| {
                let host = self.candidates[one].host;
                let twice = u32::from(state.mine[one] as usize >= self.most_in_shard);
                let host_full = u32::from(self.host_held[host] >= self.plan.host_most[host]);
                let class = twice << 24 | host_full << 16 | state.at_host[host] << 8 | state.mine[one];
                (class, cost, one)
            })
            .min()
    }
}

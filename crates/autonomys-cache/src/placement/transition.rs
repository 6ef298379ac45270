//! From the owners before to the owners after: places are released and filled as planned, by draw.

use super::NUM_SHARDS;
use super::draw::{Drawer, shard_seed};
use super::plan::{Plan, Situation, plan};
use super::repair::repair;
use super::shares::fair_shares;

/// A place that nobody owns.
pub(super) const VACANT: u16 = u16::MAX;

/// One member that takes part.
pub(super) struct Candidate {
    pub(super) drawer: Drawer,
    pub(super) weight: u64,
    pub(super) host: usize,
}

/// State of the table while it is made. Owners are numbers of candidates.
pub(super) struct Work<'a> {
    pub(super) candidates: &'a [Candidate],
    pub(super) positions: usize,
    /// Most places of a member in one shard.
    pub(super) most_in_shard: usize,
    pub(super) owners: Vec<u16>,
    pub(super) held: Vec<u32>,
    pub(super) host_held: Vec<u32>,
    pub(super) plan: Plan,
}

/// Fills the vacant places of `owners` and moves as few others as shares and hosts demand.
pub(super) fn settle(candidates: &[Candidate], positions: usize, owners: Vec<u16>) -> Vec<u16> {
    let hosts = candidates.iter().map(|one| one.host + 1).max().unwrap_or(0);
    let host: Vec<usize> = candidates.iter().map(|one| one.host).collect();
    let weights: Vec<u64> = candidates.iter().map(|one| one.weight).collect();
    let mut held = vec![0; candidates.len()];
    let mut host_held = vec![0; hosts];
    for &owner in owners.iter().filter(|&&owner| owner != VACANT) {
        held[usize::from(owner)] += 1;
        host_held[host[usize::from(owner)]] += 1;
    }
    let plan = plan(&Situation {
        fair: &fair_shares(&weights, positions),
        held: &held,
        host: &host,
        hosts,
        positions,
    });
    let mut work = Work {
        candidates,
        positions,
        most_in_shard: positions.div_ceil(candidates.len()),
        owners,
        held,
        host_held,
        plan,
    };
    work.release();
    let touched = work.fill();
    let mut owners = work.owners;
    // First a member's own places, then those of a host, whose repair keeps the members in order.
    let members: Vec<usize> = (0..candidates.len()).collect();
    repair(&mut owners, positions, &members, &touched);
    repair(&mut owners, positions, &host, &touched);
    owners
}

/// A place that may be released.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    class: u8,
    /// The draw of who would receive it against that of the owner; the lowest goes first.
    ratio: u64,
    place: u32,
}

impl Work<'_> {
    pub(super) fn shard(&self, shard: usize) -> &[u16] {
        &self.owners[shard * self.positions..(shard + 1) * self.positions]
    }

    /// Makes the planned number of places vacant, those that the receivers' draws favour.
    fn release(&mut self) {
        if self.plan.releases == 0 {
            return;
        }
        let receivers: Vec<usize> = (0..self.candidates.len())
            .filter(|&one| self.plan.most[one] > self.held[one])
            .collect();
        let is_receiver: Vec<bool> = (0..self.candidates.len())
            .map(|one| self.plan.most[one] > self.held[one])
            .collect();
        let mut offers = Vec::new();
        let mut room = vec![0; NUM_SHARDS];
        for (shard, room) in room.iter_mut().enumerate() {
            let owners = self.shard(shard);
            let taken = owners
                .iter()
                .filter(|&&owner| owner == VACANT || is_receiver[usize::from(owner)])
                .count();
            *room = (receivers.len() * self.most_in_shard).saturating_sub(taken);
            self.offers_of(shard, &receivers, &mut offers);
        }
        offers.sort_unstable();
        let must = |work: &Self, one: usize| work.held[one] > work.plan.keep_most[one];
        let musts: u32 = (0..self.candidates.len())
            .map(|one| self.held[one].saturating_sub(self.plan.keep_most[one]))
            .sum();
        let mut free_choice = self.plan.releases - musts.min(self.plan.releases);
        // At first no shard gives more places than receivers can own there; if that is not enough, repair sorts it out.
        for limited in [true, false] {
            for offer in &offers {
                let place = offer.place as usize;
                let shard = place / self.positions;
                let owner = usize::from(self.owners[place]);
                if self.owners[place] == VACANT || (limited && room[shard] == 0) {
                    continue;
                }
                if !must(self, owner) {
                    if free_choice == 0 || self.held[owner] <= self.plan.keep_least[owner] {
                        continue;
                    }
                    free_choice -= 1;
                }
                room[shard] = room[shard].saturating_sub(1);
                self.owners[place] = VACANT;
                self.held[owner] -= 1;
                self.host_held[self.candidates[owner].host] -= 1;
            }
        }
    }

    /// What the owners of a shard may release, and how gladly.
    fn offers_of(&self, shard: usize, receivers: &[usize], offers: &mut Vec<Offer>) {
        let owners = self.shard(shard);
        let occupied = |owner: &&u16| **owner != VACANT;
        let gives = |owner: u16| {
            owner != VACANT && self.held[usize::from(owner)] > self.plan.keep_least[usize::from(owner)]
        };
        if !owners.iter().any(|&owner| gives(owner)) {
            return;
        }
        let seed = shard_seed(shard);
        let mine = |one: usize| owners.iter().filter(|&&owner| usize::from(owner) == one).count();
        let best = receivers
            .iter()
            .filter(|&&one| mine(one) < self.most_in_shard)
            .map(|&one| (self.candidates[one].drawer.cost(seed), one))
            .min();
        let host_of = |owner: u16| self.candidates[usize::from(owner)].host;
        let at_host = |host| {
            owners
                .iter()
                .filter(occupied)
                .filter(|&&owner| host_of(owner) == host)
                .count()
        };
        for (position, &owner) in owners.iter().enumerate().filter(|(_, owner)| gives(**owner)) {
            let (class, ratio) = match best {
                None => (4, 0),
                Some((cost, receiver)) => {
                    let own = u128::from(self.candidates[usize::from(owner)].drawer.cost(seed).max(1));
                    let ratio = u64::try_from((u128::from(cost) << 32) / own).unwrap_or(u64::MAX);
                    let host = self.candidates[receiver].host;
                    let others = at_host(host) - usize::from(host_of(owner) == host);
                    let class = if mine(usize::from(owner)) > self.most_in_shard {
                        0
                    } else if others > 0 {
                        3
                    } else if at_host(host_of(owner)) > 1 {
                        1
                    } else {
                        2
                    };
                    (class, ratio)
                }
            };
            offers.push(Offer {
                class,
                ratio,
                place: (shard * self.positions + position) as u32,
            });
        }
    }
}

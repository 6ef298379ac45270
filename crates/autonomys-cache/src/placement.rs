//! Which member owns which item: weighted rendezvous hashing with bounded load, in integers only.
//!
//! A piece index falls on one of 65 536 virtual shards; for each shard and each position 0..R every member draws a number from
//! (shard, position, member), and the best by weight wins. The draws of a member do not depend on the others, so a member that
//! joins or leaves moves only what it wins or held. On top of the draw, in this order of importance:
//!
//! 1. an owner stands at one position of a shard only;
//! 2. nobody gets more than 1.05 times its fair share, so no disk fills before the others;
//! 3. the owners of a shard stand on different hosts as long as there are any.
//!
//! The table is a pure function of members and R: floating point, whose logarithms differ between systems, is not used, so all
//! processes of all versions with the same [`ALGORITHM`] agree on every bit.

mod logarithm;
#[cfg(test)]
mod tests;

use logarithm::negative_log2;
use std::collections::HashMap;
use std::fmt;
use subspace_core_primitives::pieces::PieceIndex;

/// Number of this algorithm; a shard map that names another is refused by name.
pub const ALGORITHM: u32 = 1;

/// Virtual shards: many enough that shares are even to a percent with hundreds of members.
pub const NUM_SHARDS: usize = 65_536;

/// Most members of a map. The table costs 65 536 x R draws for each member; far beyond this another algorithm would be due.
pub const MAX_MEMBERS: usize = 4096;

/// Most positions (replicas, or k+m shards of a piece).
pub const MAX_POSITIONS: usize = 32;

/// A load bound of 1.05 times the fair share.
const BOUND_NUMERATOR: u128 = 105;
const BOUND_DENOMINATOR: u128 = 100;

/// One member of a shard map.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its capacity in any unit that all members share; 0 takes part in nothing.
    pub weight: u64,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nobody can own anything.
    #[error("no member has a capacity above zero; start a cache or give it space")]
    NoMembers,
    /// The list is longer than the algorithm is meant for.
    #[error(
        "{found} members exceed the limit of {MAX_MEMBERS}; merge instances into fewer with more paths each"
    )]
    TooManyMembers {
        /// Members given.
        found: usize,
    },
    /// One id stands for two members.
    #[error("member {id} stands in the list twice")]
    DuplicateMember {
        /// The id.
        id: String,
    },
    /// No positions or too many.
    #[error("{found} owners per shard were asked for; 1 to {MAX_POSITIONS} are possible")]
    BadPositions {
        /// Positions asked for.
        found: usize,
    },
}

/// Number of a virtual shard, 0..=65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualShard(u16);

impl VirtualShard {
    /// The shard of a piece.
    pub fn of_piece(piece_index: PieceIndex) -> Self {
        Self((mix(piece_index.get()) >> 48) as u16)
    }

    /// All shards.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u16::MAX).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl From<u16> for VirtualShard {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for VirtualShard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Owners of every shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardTable {
    members: Vec<Member>,
    positions: usize,
    /// `positions` numbers of members for each shard.
    owners: Vec<u16>,
}

/// A member while the table is made.
struct Candidate {
    /// Its number in the list of members.
    number: u16,
    weight: u64,
    hash: u64,
    host: usize,
    fair: u128,
    bound: u128,
    load: u128,
    /// Its fair share is every shard, so it has to be an owner of each.
    everywhere: bool,
    /// Owner of the shard in hand.
    taken: bool,
}

impl ShardTable {
    /// Computes the table for these members, in any order, with `positions` owners per shard, or as many as there are members
    /// with a weight when those are fewer.
    ///
    /// # Errors
    ///
    /// When the list is empty, too long or has an id twice, or `positions` is 0 or above [`MAX_POSITIONS`].
    pub fn new(mut members: Vec<Member>, positions: usize) -> Result<Self, PlacementError> {
        if positions == 0 || positions > MAX_POSITIONS {
            return Err(PlacementError::BadPositions { found: positions });
        }
        if members.len() > MAX_MEMBERS {
            return Err(PlacementError::TooManyMembers { found: members.len() });
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(PlacementError::DuplicateMember {
                id: pair[0].id.clone(),
            });
        }
        let mut candidates = candidates(&members);
        if candidates.is_empty() {
            return Err(PlacementError::NoMembers);
        }
        let positions = positions.min(candidates.len());
        set_fair_shares(&mut candidates, positions);
        let mut owners = Vec::with_capacity(NUM_SHARDS * positions);
        for shard in VirtualShard::all() {
            assign(&mut candidates, shard, positions, &mut owners);
        }
        Ok(Self {
            members,
            positions,
            owners,
        })
    }

    /// All members, sorted by id, also those without weight.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Owners of each shard.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Owners of a shard by position: the readers' order for replicas, the shard number for split items.
    pub fn owners(&self, shard: VirtualShard) -> impl ExactSizeIterator<Item = &Member> {
        let first = usize::from(shard.get()) * self.positions;
        self.owners[first..first + self.positions]
            .iter()
            .map(|&number| &self.members[usize::from(number)])
    }

    /// The owner of part `part` of a piece on this shard. With fewer members than parts the owners take several each.
    pub fn owner(&self, shard: VirtualShard, part: u16) -> &Member {
        let position = usize::from(part) % self.positions;
        let number = self.owners[usize::from(shard.get()) * self.positions + position];
        &self.members[usize::from(number)]
    }

    /// Whether a member is an owner of a shard.
    pub fn is_owner(&self, shard: VirtualShard, id: &str) -> bool {
        self.owners(shard).any(|member| member.id == id)
    }
}

fn candidates(members: &[Member]) -> Vec<Candidate> {
    let mut hosts = HashMap::new();
    (0..)
        .zip(members)
        .filter(|(_, member)| member.weight > 0)
        .map(|(number, member)| {
            let next = hosts.len();
            let host = *hosts.entry(&member.host).or_insert(next);
            let hash = blake3::hash(member.id.as_bytes());
            let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
            Candidate {
                number,
                weight: member.weight,
                hash,
                host,
                fair: 0,
                bound: 0,
                load: 0,
                everywhere: false,
                taken: false,
            }
        })
        .collect()
}

/// Divides `positions` x 65 536 places by weight. Nobody can have more than all shards; what a heavy member cannot take goes to
/// the others by their weights.
fn set_fair_shares(candidates: &mut [Candidate], positions: usize) {
    let mut places = positions as u128;
    loop {
        let weight: u128 = candidates
            .iter()
            .filter(|one| !one.everywhere)
            .map(|one| u128::from(one.weight))
            .sum();
        let heavy = candidates
            .iter_mut()
            .filter(|one| !one.everywhere)
            .find(|one| places > 0 && u128::from(one.weight) * places >= weight);
        let Some(heavy) = heavy else {
            for one in candidates.iter_mut() {
                one.fair = match one.everywhere {
                    true => NUM_SHARDS as u128,
                    false => (NUM_SHARDS as u128 * places * u128::from(one.weight)).div_ceil(weight),
                };
                one.bound = (one.fair * BOUND_NUMERATOR)
                    .div_ceil(BOUND_DENOMINATOR)
                    .min(NUM_SHARDS as u128);
            }
            return;
        };
        heavy.everywhere = true;
        places -= 1;
    }
}

/// Chooses the owners of one shard, position by position.
fn assign(candidates: &mut [Candidate], shard: VirtualShard, positions: usize, owners: &mut Vec<u16>) {
    let mut hosts: Vec<usize> = Vec::with_capacity(positions);
    let mut due = candidates.iter().filter(|one| one.everywhere).count();
    for position in 0..positions {
        let seed = mix(u64::from(shard.get()) << 8 | position as u64);
        let only_due = due == positions - position;
        // Best of each class: a new host within the bound, any host within the bound, the least loaded.
        let mut best: [Option<(u64, usize)>; 2] = [None; 2];
        let mut least: Option<usize> = None;
        for (index, one) in candidates.iter().enumerate() {
            if one.taken || (only_due && !one.everywhere) {
                continue;
            }
            if least.is_none_or(|other| lighter(one, &candidates[other])) {
                least = Some(index);
            }
            if one.load >= one.bound {
                continue;
            }
            let cost = negative_log2(mix(seed ^ one.hash));
            let class = usize::from(hosts.contains(&one.host));
            if best[class].is_none_or(|(other_cost, other)| {
                beats(one.weight, cost, candidates[other].weight, other_cost)
            }) {
                best[class] = Some((cost, index));
            }
        }
        let chosen = best[0].or(best[1]).map(|(_, index)| index).or(least);
        let one = &mut candidates[chosen.expect("there are at least as many members as positions")];
        one.taken = true;
        one.load += 1;
        due -= usize::from(one.everywhere);
        hosts.push(one.host);
        owners.push(one.number);
    }
    candidates.iter_mut().for_each(|one| one.taken = false);
}

/// Rendezvous order: weight / -log2(draw), compared crosswise. Ties go to the earlier id.
fn beats(weight: u64, cost: u64, other_weight: u64, other_cost: u64) -> bool {
    u128::from(weight) * u128::from(other_cost) > u128::from(other_weight) * u128::from(cost)
}

fn lighter(one: &Candidate, other: &Candidate) -> bool {
    one.load * other.fair < other.load * one.fair
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

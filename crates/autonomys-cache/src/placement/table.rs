//! The table of owners.

use super::draw::Drawer;
use super::transition::{Candidate, VACANT, settle};
use super::{MAX_MEMBERS, MAX_NAME_BYTES, MAX_POSITIONS, Member, NUM_SHARDS, PlacementError, VirtualShard};
use std::collections::HashMap;

/// Owners of every shard by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardTable {
    pub(super) members: Vec<Member>,
    pub(super) positions: usize,
    /// `positions` numbers of members for each shard.
    pub(super) owners: Vec<u16>,
}

impl ShardTable {
    /// The first table for these members, in any order, with `positions` owners per shard: every member gets its fair share to
    /// within one place, where its draws are best. With fewer members than positions they own several positions of a shard each,
    /// as evenly as possible.
    ///
    /// # Errors
    ///
    /// When nobody has a weight, the list is too long, an id stands in it twice or is too long, or `positions` is 0 or above
    /// [`MAX_POSITIONS`].
    pub fn new(members: Vec<Member>, positions: usize) -> Result<Self, PlacementError> {
        let members = checked(members, positions)?;
        Self::settled(members, positions, vec![VACANT; NUM_SHARDS * positions])
    }

    /// The table that follows this one when members have come, gone or changed their weights or hosts. Newcomers get their fair
    /// share, places of members that are gone go to those with the least; beyond that only places move that would keep somebody
    /// above 1.05 or below 0.9 of its fair share, or two owners on one host without need. The same members give the same owners.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn next(&self, members: Vec<Member>, positions: usize) -> Result<Self, PlacementError> {
        let members = checked(members, positions)?;
        if members == self.members && positions == self.positions {
            // Settling again could still move a place that rounding has put above a host's limit.
            return Ok(self.clone());
        }
        let numbers: HashMap<&str, u16> = (0..)
            .zip(&members)
            .map(|(number, member)| (member.id.as_str(), number))
            .collect();
        let number_of: Vec<u16> = self
            .members
            .iter()
            .map(|member| numbers.get(member.id.as_str()).copied().unwrap_or(VACANT))
            .collect();
        let mut owners = vec![VACANT; NUM_SHARDS * positions];
        for (after, before) in owners
            .chunks_mut(positions)
            .zip(self.owners.chunks(self.positions))
        {
            for (after, &before) in after.iter_mut().zip(before) {
                *after = number_of[usize::from(before)];
            }
        }
        Self::settled(members, positions, owners)
    }

    /// Settles owners given as numbers of members.
    fn settled(members: Vec<Member>, positions: usize, mut owners: Vec<u16>) -> Result<Self, PlacementError> {
        let taking_part: Vec<u16> = (0..)
            .zip(&members)
            .filter(|(_, member)| member.weight > 0)
            .map(|(number, _)| number)
            .collect();
        let highest = members.iter().map(|member| member.weight).max().unwrap_or(0);
        if highest == 0 {
            return Err(PlacementError::NoMembers);
        }
        let mut hosts = HashMap::new();
        let mut candidate_of = vec![VACANT; members.len()];
        let mut candidates = Vec::with_capacity(taking_part.len());
        for (candidate, &number) in (0..).zip(&taking_part) {
            let member = &members[usize::from(number)];
            let next = hosts.len();
            candidate_of[usize::from(number)] = candidate;
            candidates.push(Candidate {
                drawer: Drawer::new(&member.id, member.weight, highest),
                weight: member.weight,
                host: *hosts.entry(member.host.as_str()).or_insert(next),
            });
        }
        for owner in owners.iter_mut().filter(|owner| **owner != VACANT) {
            *owner = candidate_of[usize::from(*owner)];
        }
        let mut owners = settle(&candidates, positions, owners);
        for owner in &mut owners {
            *owner = taking_part[usize::from(*owner)];
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

    /// Owners of a shard by position, as indexes into [`Self::members`].
    pub fn owner_numbers(&self, shard: VirtualShard) -> &[u16] {
        let first = usize::from(shard.get()) * self.positions;
        &self.owners[first..first + self.positions]
    }

    /// Owners of a shard by position: the readers' order for replicas, the number of the part for split items. A member stands
    /// there several times only when there are fewer members than positions.
    pub fn owners(&self, shard: VirtualShard) -> impl ExactSizeIterator<Item = &Member> {
        self.owner_numbers(shard)
            .iter()
            .map(|&number| &self.members[usize::from(number)])
    }

    /// The owner at a position of a shard, counted modulo [`Self::positions`].
    pub fn owner(&self, shard: VirtualShard, position: usize) -> &Member {
        &self.members[usize::from(self.owner_numbers(shard)[position % self.positions])]
    }

    /// Whether a member is an owner of a shard.
    pub fn is_owner(&self, shard: VirtualShard, id: &str) -> bool {
        self.owners(shard).any(|member| member.id == id)
    }

    /// Places of each member, in the order of [`Self::members`].
    pub fn loads(&self) -> Vec<u32> {
        let mut loads = vec![0; self.members.len()];
        self.owners
            .iter()
            .for_each(|&owner| loads[usize::from(owner)] += 1);
        loads
    }

    /// Places that have another owner in `other`, or none there.
    pub fn moved_places(&self, other: &Self) -> usize {
        let pairs = self
            .owners
            .chunks(self.positions)
            .zip(other.owners.chunks(other.positions));
        let kept: usize = pairs
            .map(|(mine, others)| {
                mine.iter()
                    .zip(others)
                    .filter(|&(&a, &b)| self.members[usize::from(a)].id == other.members[usize::from(b)].id)
                    .count()
            })
            .sum();
        NUM_SHARDS * self.positions - kept
    }
}

/// The members sorted by id, if they can have a table.
fn checked(mut members: Vec<Member>, positions: usize) -> Result<Vec<Member>, PlacementError> {
    if positions == 0 || positions > MAX_POSITIONS {
        return Err(PlacementError::BadPositions { found: positions });
    }
    if members.len() > MAX_MEMBERS {
        return Err(PlacementError::TooManyMembers { found: members.len() });
    }
    let longest = members.iter().map(|one| one.id.len().max(one.host.len())).max();
    if let Some(found) = longest.filter(|&found| found > MAX_NAME_BYTES) {
        return Err(PlacementError::LongName { found });
    }
    members.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(PlacementError::DuplicateMember {
            id: pair[0].id.clone(),
        });
    }
    Ok(members)
}

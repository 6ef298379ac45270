//! Who can give an item at the moment, in the order in which they are asked.

use crate::roles::context::peer;
use crate::roles::placement::Placement;
use crate::roles::store_items::key_of;
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::Role;
use autonomys_cluster::members::{Member, MembersSnapshot, RoleStatus};
use autonomys_transfer::{ItemKey, Peer, Source, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;

/// Parts asked for beyond what a split piece needs, so that the slowest owner does not count.
const SPARE: usize = 1;

/// Live members that give items.
pub(crate) struct Members {
    caches: BTreeMap<String, Giver>,
    full_piece_caches: Vec<(Arc<Member>, Giver)>,
    controllers: Vec<Giver>,
}

/// A member that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Giver(Arc<Peer>);

impl Giver {
    /// It, asked for this.
    pub(crate) fn source(&self, key: ItemKey) -> Source {
        Source {
            peer: Arc::clone(&self.0),
            key,
        }
    }
}

impl Members {
    /// Of a snapshot, without `own_id`.
    pub(crate) fn new(snapshot: &MembersSnapshot, own_id: Option<&str>) -> Self {
        let giver = |member: &Arc<Member>| {
            let peer = peer(member).filter(|peer| Some(peer.member.as_str()) != own_id)?;
            Some(Giver(Arc::new(peer)))
        };
        Self {
            caches: snapshot
                .role(Role::ShardedCache)
                .filter_map(|member| Some((member.id.to_string(), giver(member)?)))
                .collect(),
            full_piece_caches: snapshot
                .role(Role::FullPieceShardedCache)
                .filter_map(|member| Some((Arc::clone(member), giver(member)?)))
                .collect(),
            controllers: controllers(snapshot).iter().filter_map(giver).collect(),
        }
    }

    /// Controllers in the order in which they are asked.
    pub(crate) fn controllers(&self) -> impl Iterator<Item = &Giver> {
        self.controllers.iter()
    }

    /// Full-piece caches that have the piece, asked for `key`. Spread by the index itself, so that every reader begins with the
    /// same one for the same piece.
    pub(crate) fn holders(&self, index: PieceIndex, key: ItemKey) -> impl Iterator<Item = Source> + use<> {
        let mut holders: Vec<_> = self
            .full_piece_caches
            .iter()
            .filter(|(member, _)| holds(member, index))
            .map(|(_, giver)| giver.source(key))
            .collect();
        if !holders.is_empty() {
            let first = (u64::from(index) % holders.len() as u64) as usize;
            holders.rotate_left(first);
        }
        holders.into_iter()
    }

    /// The owners of a piece by all maps that count, newest first; each is asked for the part that it holds.
    pub(super) fn owners(&self, placement: Option<&Placement>, index: PieceIndex) -> Want {
        let Some(placement) = placement else {
            return whole(Vec::new());
        };
        let (coding, layout) = (placement.coding(), placement.layout());
        let mut asked = BTreeSet::new();
        let mut sources = Vec::new();
        for map in &placement.maps {
            for (part, owner) in map.owners(index) {
                if let Some(giver) = self.caches.get(&owner.id)
                    && asked.insert((owner.id.as_str(), part))
                {
                    sources.push(giver.source(part_item_key(coding, layout, index, part)));
                }
            }
        }
        let need = usize::from(coding.needed());
        Want {
            need,
            spare: if need > 1 { SPARE } else { 0 },
            sources,
        }
    }

    /// Sharded caches that hold one part of a piece by some map that counts.
    pub(crate) fn part_owners(&self, placement: &Placement, index: PieceIndex, part: u16) -> Vec<Source> {
        let key = part_item_key(placement.coding(), placement.layout(), index, part);
        let mut asked = BTreeSet::new();
        let mut sources = Vec::new();
        for map in &placement.maps {
            for (held, owner) in map.owners(index) {
                if held == part
                    && let Some(giver) = self.caches.get(&owner.id)
                    && asked.insert(owner.id.as_str())
                {
                    sources.push(giver.source(key));
                }
            }
        }
        sources
    }
}

/// One whole item from the first of these that has it.
pub(crate) fn whole(sources: Vec<Source>) -> Want {
    Want {
        need: 1,
        spare: 0,
        sources,
    }
}

/// Key of a whole piece, which is the same in every layout.
pub(super) fn piece_key(index: PieceIndex) -> ItemKey {
    ItemKey::piece(0, u64::from(index))
}

/// Key of a part on the data plane.
pub(crate) fn part_item_key(coding: ItemCoding, layout: u64, index: PieceIndex, part: u16) -> ItemKey {
    key_of(coding.key(index, part), layout)
}

/// Controllers in the order in which they are asked: those with a healthy node first, among them the leading one. A leader without
/// its node may still have the newest segment in memory; others without one have nothing to give.
pub(super) fn controllers(snapshot: &MembersSnapshot) -> Vec<Arc<Member>> {
    let mut controllers: Vec<_> = snapshot
        .role(Role::Controller)
        .filter_map(|member| match &member.status {
            RoleStatus::Controller(status) if status.healthy_nodes > 0 || status.leader => {
                Some(((status.healthy_nodes == 0, !status.leader), Arc::clone(member)))
            }
            _ => None,
        })
        .collect();
    controllers.sort_by_key(|(order, _)| *order);
    controllers.into_iter().map(|(_, member)| member).collect()
}

fn holds(member: &Member, index: PieceIndex) -> bool {
    matches!(&member.status, RoleStatus::FullPieceShardedCache(status) if status.holds(index.segment_index()))
}

//! Fetching pieces from whoever has them: owners among the sharded caches, full-piece caches, controllers.
//!
//! One tier after the other is asked for what is still missing. Within a tier the keys are grouped by member, members are asked side
//! by side, and what one of them does not deliver goes to the next tier. Bytes are checked against their hash on arrival.

use super::context::peer;
use autonomys_cache::placement::{self, ShardTable, VirtualShard};
use autonomys_cluster::Role;
use autonomys_cluster::members::{Member, MembersSnapshot, MembersView, RoleStatus};
use autonomys_transfer::{ItemKey, Pool, TransferError};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use tokio::time::Instant;

/// Pieces asked of one member in one request: 32 MiB in flight keep a 10 Gbit/s line busy.
const KEYS_PER_REQUEST: usize = 32;
/// Requests to all members of a tier at once; with the above, the bound on memory in flight.
const REQUESTS_IN_FLIGHT: usize = 8;
/// One request's time: 32 pieces at 1 MB/s, below which a member is of no use.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// A node answers pieces slowly, and the controller asks for each of them.
const CONTROLLER_DEADLINE: Duration = Duration::from_secs(60);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The sharded cache that owns the piece.
    Owners,
    /// Full-piece caches that have the segment.
    FullPieceCaches,
    /// Controllers, which ask their node: one after the other for what is still missing, the leading one first.
    Controllers,
}

/// The caches that a table was computed from, and the table.
type KeptTable = (Vec<placement::Member>, Arc<ShardTable>);

/// A member and what it is asked for.
type PieceRequest = (Arc<Member>, Vec<PieceIndex>);

/// Computes owners and fetches. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PieceFetcher {
    pool: Pool,
    members: MembersView,
    table: Arc<Mutex<Option<KeptTable>>>,
}

/// What came and what did not.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) pieces: BTreeMap<PieceIndex, Piece>,
    pub(crate) missing: BTreeSet<PieceIndex>,
}

impl PieceFetcher {
    pub(crate) fn new(pool: Pool, members: MembersView) -> Self {
        Self {
            pool,
            members,
            table: Arc::default(),
        }
    }

    /// Owners of all pieces among the live sharded caches; `None` without any.
    pub(crate) fn table(&self) -> Option<Arc<ShardTable>> {
        let caches = cache_members(&self.members.current());
        let mut kept = self.table.lock();
        if let Some((members, table)) = &*kept
            && *members == caches
        {
            return Some(Arc::clone(table));
        }
        let table = Arc::new(ShardTable::new(caches.clone(), 1).ok()?);
        *kept = Some((caches, Arc::clone(&table)));
        Some(table)
    }

    /// Fetches pieces, asking the tiers in their order.
    pub(crate) async fn fetch(
        &self,
        wanted: impl IntoIterator<Item = PieceIndex>,
        tiers: &[Tier],
    ) -> Fetched {
        let mut fetched = Fetched {
            pieces: BTreeMap::new(),
            missing: wanted.into_iter().collect(),
        };
        for tier in tiers {
            if fetched.missing.is_empty() {
                break;
            }
            if *tier == Tier::Controllers {
                for controller in controllers(&self.members.current()) {
                    let requests = in_chunks(&controller, fetched.missing.iter().copied().collect());
                    self.ask_all(requests, CONTROLLER_DEADLINE, &mut fetched).await;
                }
            } else {
                let requests = self.requests(*tier, &fetched.missing);
                self.ask_all(requests, REQUEST_DEADLINE, &mut fetched).await;
            }
        }
        fetched
    }

    async fn ask_all(&self, requests: Vec<PieceRequest>, within: Duration, fetched: &mut Fetched) {
        let mut answers = stream::iter(requests)
            .map(|(member, indexes)| self.ask(member, indexes, within))
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        while let Some(pieces) = answers.next().await {
            for (index, piece) in pieces {
                fetched.missing.remove(&index);
                fetched.pieces.insert(index, piece);
            }
        }
    }

    /// Whom to ask for what.
    fn requests(&self, tier: Tier, wanted: &BTreeSet<PieceIndex>) -> Vec<PieceRequest> {
        let snapshot = self.members.current();
        let mut by_member: BTreeMap<String, (Arc<Member>, Vec<PieceIndex>)> = BTreeMap::new();
        let mut assign = |member: &Arc<Member>, index| {
            let entry = by_member.entry(member.id.to_string());
            entry
                .or_insert_with(|| (Arc::clone(member), Vec::new()))
                .1
                .push(index);
        };
        match tier {
            Tier::Owners => {
                let Some(table) = self.table() else {
                    return Vec::new();
                };
                let live: BTreeMap<_, _> = snapshot
                    .role(Role::ShardedCache)
                    .map(|member| (member.id.to_string(), member))
                    .collect();
                for &index in wanted {
                    let owner = table.owner(VirtualShard::of_piece(index), 0);
                    if let Some(member) = live.get(&owner.id) {
                        assign(member, index);
                    }
                }
            }
            Tier::FullPieceCaches => {
                for &index in wanted {
                    let holders: Vec<_> = snapshot
                        .role(Role::FullPieceShardedCache)
                        .filter(|m| holds(m, index))
                        .collect();
                    if !holders.is_empty() {
                        // Spread by the index itself, so that every reader asks the same one for the same piece.
                        assign(holders[(u64::from(index) % holders.len() as u64) as usize], index);
                    }
                }
            }
            // Asked one after the other.
            Tier::Controllers => {}
        }
        by_member
            .into_values()
            .flat_map(|(member, indexes)| in_chunks(&member, indexes))
            .collect()
    }

    /// Asks one member; what goes wrong with it is logged and leaves pieces missing.
    async fn ask(
        &self,
        member: Arc<Member>,
        indexes: Vec<PieceIndex>,
        within: Duration,
    ) -> Vec<(PieceIndex, Piece)> {
        let mut pieces = Vec::with_capacity(indexes.len());
        if let Err(error) = self.ask_into(&member, &indexes, within, &mut pieces).await {
            tracing::debug!(member = %member.id, %error, "a member did not give all pieces");
        }
        pieces
    }

    async fn ask_into(
        &self,
        member: &Arc<Member>,
        indexes: &[PieceIndex],
        within: Duration,
        pieces: &mut Vec<(PieceIndex, Piece)>,
    ) -> Result<(), TransferError> {
        let Some(peer) = peer(member) else { return Ok(()) };
        let keys = indexes
            .iter()
            .map(|&index| ItemKey::piece(EPOCH, u64::from(index)))
            .collect();
        let mut items = self.pool.get(&peer, keys, Instant::now() + within).await?;
        while let Some(item) = items.next().await {
            match item {
                Ok((key, Some(bytes))) => match Piece::from_bytes(bytes) {
                    Ok(piece) => pieces.push((PieceIndex::from(key.piece_index), piece)),
                    Err(error) => {
                        tracing::warn!(member = %member.id, %error, "a member gave something that is no piece")
                    }
                },
                Ok((_, None)) => {}
                Err(error @ TransferError::CorruptItem { .. }) => {
                    tracing::warn!(member = %member.id, %error, "a piece was damaged")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Requests to one member, each within the limit.
fn in_chunks(member: &Arc<Member>, indexes: Vec<PieceIndex>) -> Vec<PieceRequest> {
    indexes
        .chunks(KEYS_PER_REQUEST)
        .map(|chunk| (Arc::clone(member), chunk.to_vec()))
        .collect()
}

/// Controllers in the order in which they are asked: those with a healthy node first, among them the leading one. A leader without
/// its node may still have the newest segment in memory; others without one have nothing to give.
fn controllers(snapshot: &MembersSnapshot) -> Vec<Arc<Member>> {
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

/// Cache epoch of all items until re-initialisation exists.
pub(crate) const EPOCH: u64 = 0;

/// Live sharded caches in the form that placement takes.
pub(crate) fn cache_members(snapshot: &MembersSnapshot) -> Vec<placement::Member> {
    snapshot
        .role(Role::ShardedCache)
        .filter(|member| !member.data_plane_addresses.is_empty())
        .map(|member| placement::Member {
            id: member.id.to_string(),
            host: member.host.clone(),
            weight: member.capacity,
        })
        .collect()
}

fn holds(member: &Member, index: PieceIndex) -> bool {
    matches!(&member.status, RoleStatus::FullPieceShardedCache(status) if status.holds(index.segment_index()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::InstanceId;

    #[test]
    fn controllers_with_a_node_are_asked_first_and_those_that_can_give_nothing_not_at_all() {
        let mut snapshot = MembersSnapshot::default();
        let mut controller = |host: &str, healthy_nodes, leader| {
            let mut member = Member::new(InstanceId::generate(Role::Controller), host, "1");
            if let RoleStatus::Controller(status) = &mut member.status {
                (status.healthy_nodes, status.leader) = (healthy_nodes, leader);
            }
            snapshot.members.insert(member.id, Arc::new(member));
        };
        controller("leader without a node", 0, true);
        controller("without a node", 0, false);
        controller("with a node", 1, false);
        let hosts = |snapshot: &MembersSnapshot| -> Vec<String> {
            controllers(snapshot)
                .iter()
                .map(|member| member.host.clone())
                .collect()
        };
        assert_eq!(hosts(&snapshot), ["with a node", "leader without a node"]);
        assert_eq!(hosts(&MembersSnapshot::default()), [""; 0]);
    }
}

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
    /// Controllers, which ask their node; the leading one first.
    Controllers,
}

/// The caches that a table was computed from, and the table.
type KeptTable = (Vec<placement::Member>, Arc<ShardTable>);

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
            let requests = self.requests(*tier, &fetched.missing);
            let deadline = if *tier == Tier::Controllers {
                CONTROLLER_DEADLINE
            } else {
                REQUEST_DEADLINE
            };
            let mut answers = stream::iter(requests)
                .map(|(member, indexes)| self.ask(member, indexes, deadline))
                .buffer_unordered(REQUESTS_IN_FLIGHT);
            while let Some(pieces) = answers.next().await {
                for (index, piece) in pieces {
                    fetched.missing.remove(&index);
                    fetched.pieces.insert(index, piece);
                }
            }
        }
        fetched
    }

    /// Whom to ask for what.
    fn requests(&self, tier: Tier, wanted: &BTreeSet<PieceIndex>) -> Vec<(Arc<Member>, Vec<PieceIndex>)> {
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
            Tier::Controllers => {
                let leads =
                    |member: &&Arc<Member>| matches!(&member.status, RoleStatus::Controller(s) if s.leader);
                let leader = snapshot.role(Role::Controller).find(leads);
                if let Some(member) = leader.or_else(|| snapshot.role(Role::Controller).next()) {
                    wanted.iter().for_each(|&index| assign(member, index));
                }
            }
        }
        by_member
            .into_values()
            .flat_map(|(member, indexes)| {
                let chunks: Vec<_> = indexes
                    .chunks(KEYS_PER_REQUEST)
                    .map(<[PieceIndex]>::to_vec)
                    .collect();
                chunks.into_iter().map(move |chunk| (Arc::clone(&member), chunk))
            })
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

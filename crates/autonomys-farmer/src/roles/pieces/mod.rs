//! The read path of every role and utility: pieces from whoever has them.
//!
//! One tier after the other is asked for what is still missing: the owners among the sharded caches, by the present shard map and
//! by those before it while items move; full-piece caches; controllers. Within a tier the pool asks several members side by side,
//! one more than a split piece needs, and the next one when somebody is late. Bytes are checked against their hash on arrival.

mod sources;
#[cfg(test)]
mod tests;

pub(crate) use sources::{Members, whole};

use super::placement::{self, Placement, PlacementReceiver};
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::Cluster;
use autonomys_cluster::members::MembersView;
use autonomys_cluster::store::StoreError;
use autonomys_transfer::limits::MAX_ITEM_LEN;
use autonomys_transfer::{
    FetchOptions, Fetched as FetchedItems, ItemKey, Outcome, Pool, TransferError, Want,
};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One source's time for one piece, queue included: below 1 MB/s a member is of no use.
pub(crate) const ITEM_DEADLINE: Duration = Duration::from_secs(20);
/// A node answers pieces slowly, and the controller asks for each of them.
pub(crate) const CONTROLLER_ITEM_DEADLINE: Duration = Duration::from_secs(60);
/// A call's time in a tier: this, and a second for each piece, in which every line delivers one.
const TIER_DEADLINE: Duration = Duration::from_secs(60);
/// Pieces put together at once; each takes a thread for a fraction of a millisecond.
const DECODED_AT_ONCE: usize = 4;
/// Pieces that wait for their reader, besides what the pool holds.
const READY: usize = 8;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The sharded caches that own the piece or its parts.
    Owners,
    /// Full-piece caches that have the segment.
    FullPieceCaches,
    /// Controllers, which ask their node: one after the other for what is still missing, the leading one first.
    Controllers,
}

/// Knows who has what, and fetches. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PieceFetcher {
    pool: Pool,
    members: MembersView,
    placement: PlacementReceiver,
    /// Never asked: this process itself.
    own_id: Option<String>,
}

/// One piece that was asked for.
#[derive(Debug)]
pub(crate) struct FetchedPiece {
    pub(crate) index: PieceIndex,
    /// `None`: nobody who was asked has it.
    pub(crate) piece: Option<Piece>,
    /// From the first question for it to the whole piece, or to the end of the last tier.
    pub(crate) took: Duration,
    /// Bytes by the member that gave them, also those that came too late to be needed.
    pub(crate) from: Vec<(String, u64)>,
    /// Where the piece came from in the end.
    pub(crate) tier: Option<Tier>,
}

/// What came and what did not.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) pieces: BTreeMap<PieceIndex, Piece>,
    pub(crate) missing: BTreeSet<PieceIndex>,
}

/// A piece that has not come yet.
#[derive(Debug, Default)]
struct Pending {
    took: Duration,
    from: Vec<(String, u64)>,
}

impl PieceFetcher {
    /// A fetcher that follows the cluster's shard map by itself.
    ///
    /// # Errors
    /// [`StoreError`] when the map cannot be followed.
    pub(crate) async fn start(
        cluster: &Cluster,
        pool: Pool,
        members: MembersView,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            pool,
            members,
            placement: placement::follow(cluster).await?,
            own_id: None,
        })
    }

    /// The same, never asking this member: the process itself.
    pub(crate) fn without(mut self, own_id: String) -> Self {
        self.own_id = Some(own_id);
        self
    }

    /// The shard maps as they change.
    pub(crate) fn placement(&self) -> PlacementReceiver {
        self.placement.clone()
    }

    /// How the cluster's caches store items now, with the number that keys of items carry; `None` before there is a shard map.
    pub(crate) fn coding(&self) -> Option<(ItemCoding, u64)> {
        let placement = self.placement.borrow();
        placement
            .as_ref()
            .map(|placement| (placement.coding(), placement.layout()))
    }

    /// Waits until the shard map is known; `false` when it is not after `within`.
    pub(crate) async fn ready(&self, within: Duration) -> bool {
        let mut placement = self.placement.clone();
        let known = placement.wait_for(Option::is_some);
        matches!(tokio::time::timeout(within, known).await, Ok(Ok(_)))
    }

    /// Fetches pieces, asking the tiers in their order.
    pub(crate) async fn fetch(
        &self,
        wanted: impl IntoIterator<Item = PieceIndex>,
        tiers: &[Tier],
    ) -> Fetched {
        let mut fetched = Fetched::default();
        let wanted: BTreeSet<_> = wanted.into_iter().collect();
        let mut pieces = self.fetch_stream(wanted.into_iter().collect(), tiers);
        while let Some(FetchedPiece { index, piece, .. }) = pieces.next().await {
            match piece {
                Some(piece) => drop(fetched.pieces.insert(index, piece)),
                None => drop(fetched.missing.insert(index)),
            }
        }
        fetched
    }

    /// Fetches pieces one by one as they come, each index once, asking the tiers in their order. Dropping the stream ends the
    /// work. Memory: what the pool has in flight (a stated bound) and a few pieces.
    pub(crate) fn fetch_stream(
        &self,
        wanted: Vec<PieceIndex>,
        tiers: &[Tier],
    ) -> BoxStream<'static, FetchedPiece> {
        let (sender, receiver) = mpsc::channel(READY);
        let (this, tiers) = (self.clone(), tiers.to_vec());
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = this.run(wanted, &tiers, sender) => {}
                () = closed.closed() => {}
            }
        });
        stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        })
        .boxed()
    }

    async fn run(&self, wanted: Vec<PieceIndex>, tiers: &[Tier], sender: mpsc::Sender<FetchedPiece>) {
        let mut pending: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|index| (index, Pending::default()))
            .collect();
        for &tier in tiers {
            // Who is asked in one go, and the next ones for what is still missing.
            let mut round = 0;
            while !pending.is_empty() {
                let Some(wants) = self.wants(tier, tiers, round, &pending) else {
                    break;
                };
                let before = self
                    .placement
                    .borrow()
                    .as_ref()
                    .map(|maps| maps.current().map.version);
                self.ask(tier, wants, &mut pending, &sender).await;
                round += 1;
                // Owners are asked again only when others own the items by now.
                let after = self
                    .placement
                    .borrow()
                    .as_ref()
                    .map(|maps| maps.current().map.version);
                if tier == Tier::FullPieceCaches || (tier == Tier::Owners && after == before) {
                    break;
                }
            }
        }
        for (index, Pending { took, from }) in pending {
            let missing = FetchedPiece {
                index,
                piece: None,
                took,
                from,
                tier: None,
            };
            if sender.send(missing).await.is_err() {
                return;
            }
        }
    }

    /// What to ask for in a round of a tier, `None` when nobody is left to be asked.
    fn wants(
        &self,
        tier: Tier,
        tiers: &[Tier],
        round: usize,
        pending: &BTreeMap<PieceIndex, Pending>,
    ) -> Option<Vec<(PieceIndex, Want)>> {
        let members = Members::new(&self.members.current(), self.own_id.as_deref());
        let placement: Option<Arc<Placement>> = self.placement.borrow().clone();
        // A second time only in case the map has changed, a third time never.
        if round > 1 && tier != Tier::Controllers {
            return None;
        }
        let controller = match tier {
            Tier::Controllers => Some(members.controllers().nth(round)?),
            _ => None,
        };
        let wants = pending.keys().map(|&index| {
            let want = match (tier, controller) {
                (Tier::Owners, _) => {
                    let mut want = members.owners(placement.as_deref(), index);
                    // Whole pieces are the same everywhere: whoever is late can be outrun by a full-piece cache.
                    if want.need == 1 && !want.sources.is_empty() && tiers.contains(&Tier::FullPieceCaches) {
                        want.sources
                            .extend(members.holders(index, sources::piece_key(index)));
                    }
                    want
                }
                (_, Some(controller)) => sources::whole(vec![controller.source(sources::piece_key(index))]),
                (_, None) => sources::whole(members.holders(index, sources::piece_key(index)).collect()),
            };
            (index, want)
        });
        let wants: Vec<_> = wants
            .filter(|(_, want)| want.sources.len() >= want.need)
            .collect();
        Some(wants).filter(|wants| !wants.is_empty())
    }

    /// Asks, and gives on what came.
    async fn ask(
        &self,
        tier: Tier,
        wants: Vec<(PieceIndex, Want)>,
        pending: &mut BTreeMap<PieceIndex, Pending>,
        sender: &mpsc::Sender<FetchedPiece>,
    ) {
        let coding = self.coding().map_or(ItemCoding::PIECE, |(coding, _)| coding);
        let split = tier == Tier::Owners && wants.iter().any(|(_, want)| want.need > 1);
        let item_len = if split {
            coding.item_len(PIECE_SIZE)
        } else {
            MAX_ITEM_LEN
        };
        let (indexes, wants): (Vec<_>, Vec<_>) = wants.into_iter().unzip();
        let options = FetchOptions {
            item_deadline: match tier {
                Tier::Controllers => CONTROLLER_ITEM_DEADLINE,
                _ => ITEM_DEADLINE,
            },
            item_len,
            ..FetchOptions::until(Instant::now() + TIER_DEADLINE + Duration::from_secs(wants.len() as u64))
        };
        let mut answers = self
            .pool
            .fetch(wants, options)
            .map(|fetched| put_together(fetched, coding))
            .buffer_unordered(DECODED_AT_ONCE);
        while let Some((fetched, piece)) = answers.next().await {
            let index = indexes[fetched.want];
            let Some(state) = pending.get_mut(&index) else {
                continue;
            };
            note(index, &fetched, state);
            if piece.is_some()
                && let Some(Pending { took, from }) = pending.remove(&index)
            {
                let done = FetchedPiece {
                    index,
                    piece,
                    took,
                    from,
                    tier: Some(tier),
                };
                if sender.send(done).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Fetches items by their keys, each from its own sources in their order; what comes is given to `take`.
    pub(crate) async fn fetch_items<F: Future<Output = ()>>(
        &self,
        wants: Vec<Want>,
        item_len: usize,
        item_deadline: Duration,
        take: impl Fn(ItemKey, bytes::Bytes) -> F,
    ) {
        let options = FetchOptions {
            item_deadline,
            item_len,
            ..FetchOptions::until(Instant::now() + TIER_DEADLINE + Duration::from_secs(wants.len() as u64))
        };
        let mut answers = self.pool.fetch(wants, options);
        while let Some(fetched) = answers.next().await {
            for (key, bytes) in fetched.items {
                take(key, bytes).await;
            }
        }
    }

    /// Whom to ask now.
    pub(crate) fn members(&self) -> Members {
        Members::new(&self.members.current(), self.own_id.as_deref())
    }
}

/// Remembers who gave what, and says in the log who failed.
fn note(index: PieceIndex, fetched: &FetchedItems, pending: &mut Pending) {
    let mut took = Duration::ZERO;
    for asked in &fetched.asked {
        if asked.bytes > 0 {
            pending.from.push((asked.peer.member.clone(), asked.bytes as u64));
            took = took.max(asked.latency);
        }
        match &asked.outcome {
            Outcome::Failed(error @ TransferError::CorruptItem { .. }) => {
                tracing::warn!(member = asked.peer.member, %error, "an item was damaged");
            }
            Outcome::Failed(error) => {
                tracing::debug!(member = asked.peer.member, piece = %index, %error, "a member did not give an item");
            }
            Outcome::Delivered | Outcome::Missing | Outcome::NotNeeded => {}
        }
    }
    pending.took += took;
}

/// The piece of a complete answer. Split ones are put together off the runtime.
async fn put_together(mut fetched: FetchedItems, coding: ItemCoding) -> (FetchedItems, Option<Piece>) {
    let items = std::mem::take(&mut fetched.items);
    if !fetched.complete {
        return (fetched, None);
    }
    let piece = match <[_; 1]>::try_from(items) {
        Ok([(_, bytes)]) => ready(Some(bytes)).await,
        Err(items) => {
            let parts: Vec<_> = items.into_iter().map(|(key, bytes)| (key.shard, bytes)).collect();
            let decode = move || coding.decode(PIECE_SIZE, &parts);
            match tokio::task::spawn_blocking(decode).await {
                Ok(Ok(piece)) => Some(piece),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the parts of a piece do not give the piece");
                    None
                }
                Err(_) => None,
            }
        }
    };
    let piece = piece.and_then(|bytes| {
        Piece::from_bytes(bytes)
            .inspect_err(|error| tracing::warn!(%error, "a member gave something that is no piece"))
            .ok()
    });
    (fetched, piece)
}

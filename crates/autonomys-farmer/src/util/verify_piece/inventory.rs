//! What every cache says it holds, and reading it from exactly that cache.

use super::judge::ItemCopy;
use crate::roles::store_items::item_key;
use crate::util::observer::Observer;
use anyhow::{Context, Result, bail};
use autonomys_cache::{CacheKey, ItemKind};
use autonomys_cluster::members::Member;
use autonomys_cluster::messages::{CacheInventory, CacheItem};
use autonomys_cluster::{Cluster, InstanceId, Role};
use autonomys_transfer::{Peer, Pool, TransferError};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::PieceIndex;
use tokio::time::Instant;

/// Items asked of one cache in one request: as many as a batch of pieces has of one cache, at most 64 MiB.
const KEYS_PER_REQUEST: usize = 64;
/// Time of one request: 64 MiB at 1 MB/s, below which a cache is of no use.
const READ_WITHIN: Duration = Duration::from_secs(64);
/// A connection that breaks is tried this often; then the command ends instead of calling everything of that cache bad.
const ATTEMPTS: usize = 3;

/// A cache and how its items are asked for.
pub(super) struct Holder {
    pub(super) instance: InstanceId,
    peer: Peer,
    /// Number that the data plane's keys of its items carry.
    pub(super) layout: u64,
    /// Items that it lists.
    pub(super) items: u64,
}

/// An item and the number of the cache that lists it.
pub(super) type Listed = (CacheItem, u16);

/// All caches and all their items.
pub(super) struct Inventory {
    pub(super) holders: Vec<Holder>,
    /// Ordered by piece; 16 bytes an item.
    items: Vec<Listed>,
}

impl Inventory {
    /// Asks every live cache.
    pub(super) async fn collect(observer: &Observer) -> Result<Self> {
        let snapshot = observer.members.current();
        let caches = [Role::ShardedCache, Role::FullPieceShardedCache]
            .into_iter()
            .flat_map(|role| snapshot.role(role).cloned().collect::<Vec<_>>());
        let mut this = Self {
            holders: Vec::new(),
            items: Vec::new(),
        };
        for member in caches {
            this.add(observer, &member).await?;
        }
        this.items.sort_unstable();
        Ok(this)
    }

    async fn add(&mut self, observer: &Observer, member: &Arc<Member>) -> Result<()> {
        let Some(peer) = observer.peer(member.id) else {
            // It has just started and serves nothing yet.
            return Ok(());
        };
        let number =
            u16::try_from(self.holders.len()).context("there are more caches than this release can check")?;
        let (layout, items) = observer.items_of(member.id).await?;
        self.holders.push(Holder {
            instance: member.id,
            peer,
            layout,
            items: items.len() as u64,
        });
        self.items.extend(items.into_iter().map(|item| (item, number)));
        Ok(())
    }

    /// Items in all.
    pub(super) fn len(&self) -> u64 {
        self.items.len() as u64
    }

    /// The items piece by piece, `pieces` different pieces at a time.
    pub(super) fn batches(&self, pieces: usize) -> impl Iterator<Item = &[Listed]> {
        let mut rest = &self.items[..];
        std::iter::from_fn(move || {
            let mut different = 0;
            let mut last = None;
            let end = rest
                .iter()
                .position(|(item, _)| {
                    if last.replace(item.piece_index) != Some(item.piece_index) {
                        different += 1;
                    }
                    different > pieces
                })
                .unwrap_or(rest.len());
            let (batch, behind) = rest.split_at(end);
            rest = behind;
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// Reads items from the caches that list them, in the given order.
    ///
    /// # Errors
    /// When a cache cannot be reached at all, or lists something that this release does not know.
    pub(super) async fn read(&self, pool: &Pool, listed: &[Listed]) -> Result<Vec<ItemCopy>> {
        let mut of_holder: HashMap<u16, Vec<CacheItem>> = HashMap::new();
        for (item, holder) in listed {
            of_holder.entry(*holder).or_default().push(*item);
        }
        let requests = of_holder.into_iter().flat_map(|(holder, items)| {
            items
                .chunks(KEYS_PER_REQUEST)
                .map(|chunk| (holder, chunk.to_vec()))
                .collect::<Vec<_>>()
        });
        let answers: Vec<_> = stream::iter(requests)
            .map(|(number, items)| async move {
                let bytes = self.holders[usize::from(number)].read(pool, items).await?;
                anyhow::Ok((number, bytes))
            })
            .buffer_unordered(self.holders.len().max(1))
            .try_collect()
            .await?;
        let (mut found, mut damaged) = (HashMap::new(), HashSet::new());
        for (number, given) in answers {
            found.extend(
                given
                    .found
                    .into_iter()
                    .map(|(item, bytes)| ((item, number), bytes)),
            );
            damaged.extend(given.damaged.into_iter().map(|item| (item, number)));
        }
        listed
            .iter()
            .map(|one| {
                Ok(ItemCopy {
                    key: cache_key(one.0)?,
                    bytes: found.remove(one),
                    damaged: damaged.contains(one),
                })
            })
            .collect()
    }
}

/// What a cache gave of what it was asked for; the rest it does not have.
struct Given {
    found: Vec<(CacheItem, Bytes)>,
    /// They came with other bytes than their sums say.
    damaged: Vec<CacheItem>,
}

/// The last name that can stand before an item in a listing; `None` for the first of all.
fn before(item: CacheItem) -> Option<CacheItem> {
    let CacheItem {
        piece_index,
        kind,
        shard,
    } = item;
    match (piece_index, kind, shard) {
        (_, _, 1..) => Some(CacheItem {
            shard: shard - 1,
            ..item
        }),
        (_, 1.., 0) => Some(CacheItem {
            kind: kind - 1,
            shard: u16::MAX,
            ..item
        }),
        (1.., 0, 0) => Some(CacheItem {
            piece_index: piece_index - 1,
            kind: u8::MAX,
            shard: u16::MAX,
        }),
        (0, 0, 0) => None,
    }
}

/// The key of the stores.
pub(super) fn cache_key(item: CacheItem) -> Result<CacheKey> {
    let kind = ItemKind::from_number(item.kind).with_context(|| {
        format!(
            "a cache lists an item of the unknown kind {}; update this program",
            item.kind
        )
    })?;
    Ok(CacheKey {
        kind,
        piece_index: PieceIndex::from(item.piece_index),
        shard: item.shard,
    })
}

impl Holder {
    /// Whether the cache lists an item at this moment.
    pub(super) async fn lists(&self, cluster: &Cluster, item: CacheItem) -> Result<bool> {
        let request = CacheInventory {
            after: before(item),
            limit: 1,
        };
        let page = cluster.request(self.instance, &request).await?;
        Ok(page.items.first() == Some(&item))
    }

    /// What the cache gives of the items.
    async fn read(&self, pool: &Pool, items: Vec<CacheItem>) -> Result<Given> {
        let mut found = Vec::with_capacity(items.len());
        let mut left = items;
        for attempt in 1.. {
            match self.ask(pool, &mut left, &mut found).await {
                Ok(()) => break,
                Err(error) if attempt < ATTEMPTS => {
                    tracing::warn!(cache = %self.instance, %error, "a read broke off, trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => bail!(
                    "{} cannot be read from: {error}; check that it runs and that {} can be reached from here",
                    self.instance,
                    self.peer.address
                ),
            }
        }
        Ok(Given { found, damaged: left })
    }

    /// Asks for what is left, and takes what has been answered out of it.
    async fn ask(
        &self,
        pool: &Pool,
        left: &mut Vec<CacheItem>,
        found: &mut Vec<(CacheItem, Bytes)>,
    ) -> Result<(), TransferError> {
        if left.is_empty() {
            return Ok(());
        }
        let keys = left
            .iter()
            .filter_map(|item| item_key(*item, self.layout))
            .collect();
        let mut answers = pool.get(&self.peer, keys, Instant::now() + READ_WITHIN).await?;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((key, bytes)) => {
                    let item = CacheItem {
                        piece_index: key.piece_index,
                        kind: key.kind as u8,
                        shard: key.shard,
                    };
                    left.retain(|wanted| *wanted != item);
                    found.extend(bytes.map(|bytes| (item, bytes)));
                }
                // It stays among what is left.
                Err(error @ TransferError::CorruptItem { .. }) => {
                    tracing::warn!(cache = %self.instance, %error, "an item was damaged on its way");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_asked_for_by_the_name_before_it() {
        let item = |piece_index, kind, shard| CacheItem {
            piece_index,
            kind,
            shard,
        };
        let sorted = [
            item(0, 0, 0),
            item(0, 0, 1),
            item(0, 1, 0),
            item(0, 3, 0),
            item(0, 3, 5),
            item(1, 0, 0),
            item(9, 1, 0),
        ];
        assert_eq!(before(sorted[0]), None);
        for pair in sorted.windows(2) {
            let name = before(pair[1]).unwrap();
            assert!(pair[0] <= name && name < pair[1], "{name:?} before {:?}", pair[1]);
        }
    }

    #[test]
    fn batches_never_split_a_piece() {
        let item = |piece_index, shard| {
            let item = CacheItem {
                piece_index,
                kind: 3,
                shard,
            };
            (item, 0)
        };
        let items: Vec<_> = (0..5)
            .flat_map(|piece| (0..6).map(move |shard| item(piece, shard)))
            .collect();
        let inventory = Inventory {
            holders: Vec::new(),
            items,
        };
        let sizes = |pieces| inventory.batches(pieces).map(<[Listed]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(2), [12, 12, 6]);
        assert_eq!(sizes(5), [30]);
        assert_eq!(sizes(1), [6; 5]);
        let all: Vec<_> = inventory.batches(2).flatten().copied().collect();
        assert_eq!(all, inventory.items);
    }
}

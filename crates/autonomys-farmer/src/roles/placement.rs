//! Who owns which items: the cluster's shard maps and their tables, followed for as long as somebody looks.

use autonomys_cache::coding::ItemCoding;
use autonomys_cache::placement::{Member, ShardTable, VirtualShard};
use autonomys_cluster::Cluster;
use autonomys_cluster::shard_map::{ShardMap, ShardMapStore, ShardMaps, TableHash};
use autonomys_cluster::store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::PieceIndex;
use tokio::sync::watch;

/// Pause before a table that could not be read is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// One version of the shard map, usable.
#[derive(Debug)]
pub(crate) struct PlacedMap {
    pub(crate) map: ShardMap,
    pub(crate) coding: ItemCoding,
    pub(crate) table: ShardTable,
}

impl PlacedMap {
    /// Owners of a piece with the part that each of them holds, in the readers' order.
    pub(crate) fn owners(&self, piece_index: PieceIndex) -> impl Iterator<Item = (u16, &Member)> {
        let owners = self.table.owners(VirtualShard::of_piece(piece_index));
        owners
            .enumerate()
            .map(|(position, member)| (self.coding.part_at(position), member))
    }
}

/// The maps that count at a moment, newest first; never empty, and all of one item type.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) maps: Vec<Arc<PlacedMap>>,
}

/// Follows the placement; `None` until there is a map.
pub(crate) type PlacementReceiver = watch::Receiver<Option<Arc<Placement>>>;

impl Placement {
    /// The map in use.
    pub(crate) fn current(&self) -> &PlacedMap {
        &self.maps[0]
    }

    /// How items are stored now.
    pub(crate) fn coding(&self) -> ItemCoding {
        self.current().coding
    }

    /// Number that keys of items carry on the data plane.
    pub(crate) fn layout(&self) -> u64 {
        self.current().map.layout
    }
}

/// Follows the shard map of the cluster; ends when all receivers are dropped.
///
/// # Errors
/// [`StoreError`] when the buckets cannot be opened.
pub(crate) async fn follow(cluster: &Cluster) -> Result<PlacementReceiver, StoreError> {
    let store = ShardMapStore::open(cluster).await?;
    let (sender, receiver) = watch::channel(None);
    let mut maps = store.watch();
    tokio::spawn(async move {
        loop {
            let latest = maps.borrow_and_update().clone();
            // The server may have lost the map: what is known stays right until there is another.
            if let Some(latest) = latest {
                let known = sender.borrow().clone();
                let placed = tokio::select! {
                    placed = place(&store, &latest, known.as_deref()) => placed,
                    () = sender.closed() => return,
                };
                match placed {
                    Ok(placement) => drop(sender.send_replace(Some(Arc::new(placement)))),
                    Err(error) => {
                        tracing::debug!("a shard map cannot be used yet, trying again: {error:#}");
                        tokio::select! {
                            () = tokio::time::sleep(RETRY_PAUSE) => continue,
                            () = sender.closed() => return,
                        }
                    }
                }
            }
            tokio::select! {
                changed = maps.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    });
    Ok(receiver)
}

/// Loads the tables that are not known yet.
async fn place(
    store: &ShardMapStore,
    maps: &ShardMaps,
    known: Option<&Placement>,
) -> anyhow::Result<Placement> {
    let mut placed = Vec::with_capacity(1 + maps.previous.len());
    for map in maps.all() {
        // Items of another layout are other bytes under other keys.
        if map.layout != maps.current.layout {
            continue;
        }
        let kept = known.and_then(|known| known.maps.iter().find(|placed| placed.map == *map));
        placed.push(match kept {
            Some(kept) => Arc::clone(kept),
            None => Arc::new(load(store, map).await?),
        });
    }
    Ok(Placement { maps: placed })
}

async fn load(store: &ShardMapStore, map: &ShardMap) -> anyhow::Result<PlacedMap> {
    let bytes = store.table(map).await?;
    let expected = map.table;
    let table = tokio::task::spawn_blocking(move || {
        anyhow::ensure!(
            table_hash(&bytes) == expected,
            "the stored table has another hash"
        );
        Ok(ShardTable::from_bytes(&bytes)?)
    })
    .await??;
    Ok(PlacedMap {
        map: map.clone(),
        coding: map.item_type.parse()?,
        table,
    })
}

/// The hash that names a table.
pub(crate) fn table_hash(bytes: &[u8]) -> TableHash {
    *blake3::hash(bytes).as_bytes()
}

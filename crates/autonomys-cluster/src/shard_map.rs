//! The shard map: which cache members with which weights share the items out.
//!
//! Only this list is stored; the table of shards is a pure function of it that every process computes for itself. The
//! leader writes it, everybody follows it. The version before is kept, because readers ask its owners as well.

use crate::cluster::Cluster;
use crate::codec::Message;
use crate::ids::InstanceId;
use crate::store::{Bucket, BucketConfig, Entry, StoreError, WatchEvent};
use parity_scale_codec::{Decode, Encode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const BUCKET: BucketConfig = BucketConfig {
    name: "shard_map",
    description: "Members and weights from which the owners of cache shards are computed",
    // One record of at most 1 MiB and the one it replaces.
    max_bytes: 8 * 1024 * 1024,
    max_age: Duration::ZERO,
};

const KEY: &str = "current";

/// A cache that owns shards.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMember {
    /// The cache.
    pub instance: InstanceId,
    /// Its machine, over which copies are spread.
    pub host: String,
    /// Its share, in bytes of capacity.
    pub weight: u64,
}

/// One version of the shard map.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMap {
    /// Counts up by one.
    pub version: u64,
    /// Number of the placement algorithm; who does not know it must not guess.
    pub algorithm: u16,
    /// Owners, in the order of their ids.
    pub members: Vec<ShardMember>,
}

/// The map in use and the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMaps {
    /// In use.
    pub current: ShardMap,
    /// Asked as well while items move.
    pub previous: Option<ShardMap>,
}

impl Message for ShardMaps {
    const NAME: &'static str = "shard map";
    const VERSION: u8 = 1;
    // About 5 000 members in each of the two maps.
    const MAX_SIZE: usize = 1024 * 1024;
}

/// The cluster's shard map. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShardMapStore {
    bucket: Bucket<ShardMaps>,
}

impl ShardMapStore {
    /// Opens it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        Ok(Self {
            bucket: Bucket::open(cluster, &BUCKET).await?,
        })
    }

    /// The maps now; `None` before the first was published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self) -> Result<Option<ShardMaps>, StoreError> {
        Ok(self.bucket.get(KEY).await?.map(|entry| entry.value))
    }

    /// Publishes the successor of map `replaces` (0: of none) and returns what is in use then: the new map, or the one
    /// that somebody else published first.
    ///
    /// The version is given here; members are put in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish(
        &self,
        replaces: u64,
        algorithm: u16,
        mut members: Vec<ShardMember>,
    ) -> Result<ShardMaps, StoreError> {
        members.sort_by_key(|member| member.instance);
        loop {
            let existing = self.bucket.get(KEY).await?;
            let (revision, previous) = match existing {
                None => (0, None),
                Some(Entry { value, .. }) if value.current.version != replaces => return Ok(value),
                Some(Entry { value, revision, .. }) => (revision, Some(value.current)),
            };
            let version = previous.as_ref().map_or(0, |map| map.version) + 1;
            let maps = ShardMaps {
                current: ShardMap {
                    version,
                    algorithm,
                    members: members.clone(),
                },
                previous,
            };
            if self.bucket.update(KEY, &maps, revision).await?.is_some() {
                return Ok(maps);
            }
        }
    }

    /// The maps as they change; `None` until the first is known. Ends when the receiver is dropped.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<ShardMaps>>> {
        let (sender, receiver) = watch::channel(None);
        let mut events = self.bucket.watch(vec![KEY.to_owned()]);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = events.next_event() => event,
                };
                match event {
                    Some(WatchEvent::Put(entry)) => drop(sender.send_replace(Some(Arc::new(entry.value)))),
                    Some(_) => {}
                    None => return,
                }
            }
        });
        receiver
    }
}

//! The shard map: which caches share the items out, and the table of who owns which shard.
//!
//! The leader computes each table from the one before, so that little moves, and everybody uses the stored one. The record
//! `current` says which tables count; a table lies beside it, in chunks under its hash, in a bucket of its own. Earlier maps
//! stay in the record, and their tables with them, until every owner has what the newest map gives it.

use crate::cluster::Cluster;
use crate::codec::Message;
use crate::ids::InstanceId;
use crate::store::{Bucket, BucketConfig, Created, Entry, StoreError, WatchEvent};
use parity_scale_codec::{Decode, Encode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

const MAPS: BucketConfig = BucketConfig {
    name: "shard_map",
    description: "Which caches share the items out, in which versions",
    // One record of at most 1 MiB and the one it replaces.
    max_bytes: 8 * 1024 * 1024,
    max_age: Duration::ZERO,
};

const TABLES: BucketConfig = BucketConfig {
    name: "shard_tables",
    description: "Owners of cache shards, by the hash of the table",
    // A table takes 128 KiB a position and there are up to 32: room for a dozen of the largest.
    max_bytes: 64 * 1024 * 1024,
    max_age: Duration::ZERO,
};

const KEY: &str = "current";
/// Bytes of a table in one record: a quarter of the smallest `max_payload` that works.
const CHUNK: usize = 512 * 1024;
/// Longest table: 32 positions of 65 536 shards with two bytes each, and 4096 members with names.
const MAX_TABLE: usize = 6 * 1024 * 1024;

/// Hash of a table's bytes, which names it.
pub type TableHash = [u8; 32];

/// A cache that owns shards.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMember {
    /// The cache.
    pub instance: InstanceId,
    /// Its machine, over which copies are spread.
    pub host: String,
    /// Its share, in items of capacity.
    pub weight: u64,
}

/// One version of the shard map.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMap {
    /// Counts up by one.
    pub version: u64,
    /// Cache epoch that it was made for.
    pub epoch: u64,
    /// Number that the data plane's keys carry for items of this map.
    pub layout: u64,
    /// Item type, which says how many owners a shard has.
    pub item_type: String,
    /// Owners, in the order of their ids.
    pub members: Vec<ShardMember>,
    /// Names the table.
    pub table: TableHash,
    /// Bytes of the table.
    pub table_len: u32,
}

/// The map in use and those before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardMaps {
    /// In use.
    pub current: ShardMap,
    /// Asked as well while items move, newest first; empty once every owner has its share of the current map.
    pub previous: Vec<ShardMap>,
}

impl ShardMaps {
    /// All maps, newest first.
    pub fn all(&self) -> impl Iterator<Item = &ShardMap> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

impl Message for ShardMaps {
    const NAME: &'static str = "shard map";
    const VERSION: u8 = 2;
    // About 2 000 members in each of four maps.
    const MAX_SIZE: usize = 1024 * 1024;
}

/// A part of a table.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Chunk(Vec<u8>);

impl Message for Chunk {
    const NAME: &'static str = "chunk of a shard table";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = CHUNK + 16;
}

/// Why a table cannot be had.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum TableError {
    /// JetStream.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chunk is not there (any more), or is another one.
    #[error("the table of shard map {version} is not complete; the leading controller writes it again")]
    Incomplete {
        /// Version of the map.
        version: u64,
    },
    /// Longer than tables may be.
    #[error("a shard table of {size} bytes is beyond the limit of {MAX_TABLE} bytes")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

/// The cluster's shard map. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShardMapStore {
    maps: Bucket<ShardMaps>,
    tables: Bucket<Chunk>,
}

impl ShardMapStore {
    /// Opens it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        Ok(Self {
            maps: Bucket::open(cluster, &MAPS).await?,
            tables: Bucket::open(cluster, &TABLES).await?,
        })
    }

    /// The maps now, with the revision that a change of them has to name; `None` before the first was published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self) -> Result<Option<(ShardMaps, u64)>, StoreError> {
        let entry = self.maps.get(KEY).await?;
        Ok(entry.map(|Entry { value, revision, .. }| (value, revision)))
    }

    /// Stores a table under its hash `hash`; doing it again is harmless.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_table(&self, hash: TableHash, bytes: &[u8]) -> Result<(), TableError> {
        if bytes.len() > MAX_TABLE {
            return Err(TableError::TooLarge { size: bytes.len() });
        }
        for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
            let (key, chunk) = (chunk_key(hash, number), Chunk(chunk.to_vec()));
            match self.tables.create(&key, &chunk).await? {
                Created::Existing(entry) if entry.value != chunk => {
                    self.tables.update(&key, &chunk, entry.revision).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes of a map's table, of the announced length; whoever reads them compares the hash.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn table(&self, map: &ShardMap) -> Result<Vec<u8>, TableError> {
        let length = map.table_len as usize;
        if length > MAX_TABLE {
            return Err(TableError::TooLarge { size: length });
        }
        let incomplete = || TableError::Incomplete { version: map.version };
        let mut bytes = Vec::with_capacity(length);
        for number in 0..length.div_ceil(CHUNK) {
            let chunk = self.tables.get(&chunk_key(map.table, number)).await?;
            bytes.extend(chunk.ok_or_else(incomplete)?.value.0);
        }
        if bytes.len() == length {
            Ok(bytes)
        } else {
            Err(incomplete())
        }
    }

    /// Replaces the maps of `revision` (0: none), whose tables have to be stored before; returns the new revision, or
    /// `None` when somebody else was faster.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was written is then unknown.
    pub async fn replace(&self, maps: &ShardMaps, revision: u64) -> Result<Option<u64>, StoreError> {
        self.maps.update(KEY, maps, revision).await
    }

    /// Removes the tables that none of these maps needs; returns how many records went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_other_tables(&self, maps: &ShardMaps) -> Result<usize, StoreError> {
        let needed: BTreeSet<String> = maps.all().map(|map| table_key(map.table)).collect();
        let mut removed = 0;
        for entry in self.tables.entries(&[">".to_owned()]).await? {
            let table = entry.key.split('.').next().unwrap_or_default();
            if !needed.contains(table) && self.tables.delete(&entry.key, entry.revision).await? {
                removed += 1;
            }
        }
        // Nobody watches tables, so the markers of removals serve nobody.
        self.tables
            .forget_removals(&[">".to_owned()], Duration::ZERO)
            .await?;
        Ok(removed)
    }

    /// The maps as they change; `None` until the first is known, and while the server has lost them. Ends when the receiver
    /// is dropped.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<ShardMaps>>> {
        let (sender, receiver) = watch::channel(None);
        let mut events = self.maps.watch(vec![KEY.to_owned()]);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = events.next_event() => event,
                };
                match event {
                    Some(WatchEvent::Put(entry)) => drop(sender.send_replace(Some(Arc::new(entry.value)))),
                    Some(WatchEvent::Removed(_)) => drop(sender.send_replace(None)),
                    Some(WatchEvent::Synced) => {}
                    None => return,
                }
            }
        });
        receiver
    }
}

fn table_key(hash: TableHash) -> String {
    hex::encode(hash)
}

fn chunk_key(hash: TableHash, number: usize) -> String {
    format!("{}.{number}", table_key(hash))
}

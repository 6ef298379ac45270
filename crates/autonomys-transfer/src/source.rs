//! What a role gives the server to serve from; every part refuses by default.

use crate::error::Refusal;
use crate::key::{ItemKey, SectorKey};
use crate::range::Served;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use std::sync::Arc;

/// Bytes of an item with their BLAKE3 hash. A store that keeps the hash passes it on, so that a bit that flips anywhere between
/// the store's disk and the reader is noticed.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    bytes: Bytes,
    hash: [u8; 32],
}

impl Item {
    /// Hashes the bytes: a whole piece is work for a blocking thread.
    pub fn new(bytes: Bytes) -> Self {
        let hash = *blake3::hash(&bytes).as_bytes();
        Self { bytes, hash }
    }

    /// Takes the hash that the store kept with the bytes; the reader checks it.
    pub fn with_hash(bytes: Bytes, hash: [u8; 32]) -> Self {
        Self { bytes, hash }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their BLAKE3 hash.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Item({} bytes)", self.bytes.len())
    }
}

/// Where items come from.
pub trait ItemSource: Send + Sync + 'static {
    /// Items of these distinct keys in any order, `None` for those not held; keys that the stream leaves out count as missing.
    /// The stream is polled only when there is room for the next item, so it should read lazily and off the async runtime.
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)>;

    /// The same for a connection that can send ranges of files: a store gives them where it knows an item's CRC32C, and need not
    /// read the items then. Connections with TLS use [`get`](Self::get).
    fn serve(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Served>)> {
        let items = self.get(keys);
        items.map(|(key, item)| (key, item.map(Served::Item))).boxed()
    }

    /// A reader got this item damaged, or says so. A store that gives ranges of files looks for itself, and drops the item only
    /// if it really is bad. One report of a connection is looked into at a time.
    fn damaged(&self, _key: ItemKey) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether this member serves items at all.
    fn is_served(&self) -> bool {
        true
    }
}

/// Where items go.
pub trait ItemSink: Send + Sync + 'static {
    /// Stores one item whose hash has been checked.
    fn put(&self, key: ItemKey, item: Item) -> BoxFuture<'static, Result<(), Refusal>>;
}

/// One sector opened for reading.
pub trait OpenSector: Send + Sync + 'static {
    /// Bytes of the sector.
    fn len(&self) -> u64;

    /// Whether the sector has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `length` bytes from `offset`; the server asks only inside [`len`](Self::len) and at most one chunk at a time.
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'static, Result<Bytes, Refusal>>;
}

/// Where finished sectors come from.
pub trait SectorSource: Send + Sync + 'static {
    /// Opens a sector for one request.
    fn open(&self, key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>>;

    /// The plot-client has the sector durably; it may be deleted here. Said again after a lost answer, so an unknown sector is
    /// a success.
    fn acknowledge(&self, key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>>;
}

/// Refuses everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotServed;

impl ItemSource for NotServed {
    fn get(&self, _keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        stream::empty().boxed()
    }

    fn is_served(&self) -> bool {
        false
    }
}

impl ItemSink for NotServed {
    fn put(&self, _key: ItemKey, _item: Item) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async { Err(Refusal::not_served("writes of items")) })
    }
}

impl SectorSource for NotServed {
    fn open(&self, _key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>> {
        Box::pin(async { Err(Refusal::not_served("sectors")) })
    }

    fn acknowledge(&self, _key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async { Err(Refusal::not_served("sectors")) })
    }
}

/// All that a member serves. `Default` refuses everything; set what the role has.
#[derive(Clone)]
pub struct Handlers {
    /// Answers `Get`.
    pub items: Arc<dyn ItemSource>,
    /// Answers `Put`.
    pub sink: Arc<dyn ItemSink>,
    /// Answers `GetSector` and `Ack`.
    pub sectors: Arc<dyn SectorSource>,
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            items: Arc::new(NotServed),
            sink: Arc::new(NotServed),
            sectors: Arc::new(NotServed),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handlers(..)")
    }
}

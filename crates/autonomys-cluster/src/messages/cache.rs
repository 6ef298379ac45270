//! What is asked of one cache: what it holds, and to fetch items anew.

use super::{DirectRequest, Request};
use crate::codec::Message;
use parity_scale_codec::{Decode, Encode};
use std::time::Duration;

/// A cache answers from its index; the first page of a large one is sorted, which takes seconds.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(30);
/// A repair waits for other caches or for the node, and is cut off by the cache before this.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(120);

/// Name of one item of a cache, whatever the epoch. Ordered by piece, then by kind and shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CacheItem {
    /// The piece.
    pub piece_index: u64,
    /// Number of the kind, as on the data plane: 1 piece, 2 split-piece, 3 split-parity-piece.
    pub kind: u8,
    /// Number of the shard; 0 for whole pieces.
    pub shard: u16,
}

/// "Which items do you hold?", page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct CacheInventory {
    /// Last item of the page before; `None` asks for the first page.
    pub after: Option<CacheItem>,
    /// Most items wanted, up to [`Self::MAX_ITEMS`].
    pub limit: u32,
}

impl CacheInventory {
    /// Longest page: 11 bytes an item, so a page stays far below the server's largest message.
    pub const MAX_ITEMS: u32 = 16_384;
}

impl Message for CacheInventory {
    const NAME: &'static str = "cache-inventory";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 64;
}

impl Request for CacheInventory {
    type Response = InventoryReply;
    const TIMEOUT: Duration = INVENTORY_TIMEOUT;
}

impl DirectRequest for CacheInventory {}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InventoryReply {
    /// Cache epoch that the cache works in.
    pub epoch: u64,
    /// Number that the data plane's keys of these items carry.
    pub layout: u64,
    /// Items in ascending order.
    pub items: Vec<CacheItem>,
    /// Whether there are more after these.
    pub more: bool,
}

impl Message for InventoryReply {
    const NAME: &'static str = "cache-inventory reply";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 64 + 11 * CacheInventory::MAX_ITEMS as usize;
}

/// "Drop these items, they are bad, and fetch them anew."
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CacheRepair {
    /// The items; at most [`Self::MAX_ITEMS`].
    pub items: Vec<CacheItem>,
}

impl CacheRepair {
    /// Most items of one request: 64 MiB of pieces, which a cache fetches within the request's time.
    pub const MAX_ITEMS: usize = 64;
}

impl Message for CacheRepair {
    const NAME: &'static str = "cache-repair";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 64 + 11 * Self::MAX_ITEMS;
}

impl Request for CacheRepair {
    type Response = RepairReply;
    const TIMEOUT: Duration = REPAIR_TIMEOUT;
}

impl DirectRequest for CacheRepair {}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RepairReply {
    /// Those of the items that were fetched anew, in the order of the request; the others are not held any more, or, in a
    /// full-piece cache, still as they were.
    pub repaired: Vec<CacheItem>,
}

impl Message for RepairReply {
    const NAME: &'static str = "cache-repair reply";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 64 + 11 * CacheRepair::MAX_ITEMS;
}

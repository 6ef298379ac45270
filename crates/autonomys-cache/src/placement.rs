//! Which member owns which item: a table of owners that is made once and then only changed where members come, go or change.
//!
//! A piece index falls on one of 65 536 virtual shards; the table names the owner at each position (replica, or part of a split
//! piece) of every shard. The first table is weighted rendezvous hashing with exact shares. Each later one is made from the one
//! before it, so that what moves is what a newcomer gets, a leaver held, or a changed weight demands, and nothing else. History
//! therefore decides, and the table itself, not the list of members, is what a cluster has to agree on: the leading controller
//! makes it and stores [`ShardTable::to_bytes`]. In this order of importance:
//!
//! 1. an owner stands at one position of a shard only, as long as there are enough members;
//! 2. nobody gets more than 1.05 times its fair share, so no disk fills before the others;
//! 3. the owners of a shard stand on different hosts, except where a host holds so much of the weight that it must own more;
//! 4. who owned a place keeps it, and newcomers prefer the places that their draw favours, so that a member that comes back
//!    mostly gets what it had.
//!
//! Integers only: whoever computes a table from the same input gets the same bits.

mod bytes;
mod draw;
mod fill;
mod logarithm;
mod plan;
mod repair;
mod shares;
mod table;
#[cfg(test)]
mod tests;
mod transition;

pub use bytes::MAX_TABLE_BYTES;
pub use table::ShardTable;

use draw::mix16;
use std::fmt;
use subspace_core_primitives::pieces::PieceIndex;

/// Number of this algorithm; a table that names another is refused by name. It pins the shard of a piece and the form of the
/// table, not how tables are made: that may improve without a new number.
pub const ALGORITHM: u32 = 2;

/// Virtual shards: with 1000 members each owns 65 of them, so that one more or less is 1.5 in a hundred.
pub const NUM_SHARDS: usize = 65_536;

/// Most members of a table: below 16 shards each, whole shards no longer keep the bound of 1.05.
pub const MAX_MEMBERS: usize = 4096;

/// Most positions (replicas, or k+m shards of a piece).
pub const MAX_POSITIONS: usize = 32;

/// Longest id or host of a member in bytes; ids of instances have some 40.
pub const MAX_NAME_BYTES: usize = 255;

/// One member of a shard table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its capacity in any unit that all members share; 0 takes part in nothing.
    pub weight: u64,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nobody can own anything.
    #[error("no member has a capacity above zero; start a cache or give it space")]
    NoMembers,
    /// The list is longer than the algorithm is meant for.
    #[error(
        "{found} members exceed the limit of {MAX_MEMBERS}; merge instances into fewer with more paths each"
    )]
    TooManyMembers {
        /// Members given.
        found: usize,
    },
    /// One id stands for two members.
    #[error("member {id} stands in the list twice")]
    DuplicateMember {
        /// The id.
        id: String,
    },
    /// An id or a host beyond the limit.
    #[error("the id or host of a member has {found} bytes, more than {MAX_NAME_BYTES}")]
    LongName {
        /// Bytes of it.
        found: usize,
    },
    /// No positions or too many.
    #[error("{found} owners per shard were asked for; 1 to {MAX_POSITIONS} are possible")]
    BadPositions {
        /// Positions asked for.
        found: usize,
    },
    /// Bytes that are no table.
    #[error("these bytes are no shard table: {reason}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// A table of another version of the program.
    #[error(
        "the shard table has format {version} and algorithm {algorithm}, this program knows format {known_version} and algorithm \
         {ALGORITHM}; run the same version everywhere",
        known_version = bytes::VERSION
    )]
    Unsupported {
        /// Format found.
        version: u32,
        /// Algorithm found.
        algorithm: u32,
    },
}

/// Number of a virtual shard, 0..=65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualShard(u16);

impl VirtualShard {
    /// The shard of a piece: the low 16 bits of its index, permuted. Any 65 536 pieces in a row fall on every shard once, so
    /// shares of pieces are shares of shards, and those of a segment on 256 different ones. The permutation keeps neighbours
    /// in history from being neighbours in the table, whose last shards have fewer members to choose from when it is made.
    pub fn of_piece(piece_index: PieceIndex) -> Self {
        Self(mix16(piece_index.get() as u16))
    }

    /// All shards.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u16::MAX).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl From<u16> for VirtualShard {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for VirtualShard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

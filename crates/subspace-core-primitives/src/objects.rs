//! Places of objects in blocks and in the archived history.

use crate::hashes::Blake3Hash;
use crate::pieces::PieceIndex;
use parity_scale_codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Place of an object in a block.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockObject {
    /// Hash of the object.
    pub hash: Blake3Hash,
    /// Offset in the encoded block, in bytes.
    pub offset: u32,
}

/// Objects of a block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BlockObjectMapping {
    /// The only version.
    #[codec(index = 0)]
    V0 {
        /// Objects in block order.
        objects: Vec<BlockObject>,
    },
}

impl Default for BlockObjectMapping {
    fn default() -> Self {
        Self::V0 { objects: Vec::new() }
    }
}

impl BlockObjectMapping {
    /// The objects of any version.
    pub fn objects(&self) -> &[BlockObject] {
        let Self::V0 { objects } = self;
        objects
    }
}

/// Place of an object in the archived history; in JSON an array `[hash, piece index, offset]`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(
    from = "(Blake3Hash, PieceIndex, u32)",
    into = "(Blake3Hash, PieceIndex, u32)"
)]
pub struct GlobalObject {
    /// Hash of the object.
    pub hash: Blake3Hash,
    /// Source piece in which the object starts.
    pub piece_index: PieceIndex,
    /// Offset in the raw record (31 bytes a chunk) of that piece, in bytes.
    pub offset: u32,
}

impl From<(Blake3Hash, PieceIndex, u32)> for GlobalObject {
    fn from((hash, piece_index, offset): (Blake3Hash, PieceIndex, u32)) -> Self {
        Self {
            hash,
            piece_index,
            offset,
        }
    }
}

impl From<GlobalObject> for (Blake3Hash, PieceIndex, u32) {
    fn from(object: GlobalObject) -> Self {
        (object.hash, object.piece_index, object.offset)
    }
}

/// Objects of a part of the archived history.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GlobalObjectMapping {
    /// The only version.
    #[codec(index = 0)]
    V0 {
        /// Objects in history order.
        objects: Vec<GlobalObject>,
    },
}

impl Default for GlobalObjectMapping {
    fn default() -> Self {
        Self::V0 { objects: Vec::new() }
    }
}

impl GlobalObjectMapping {
    /// The objects of any version.
    pub fn objects(&self) -> &[GlobalObject] {
        let Self::V0 { objects } = self;
        objects
    }
}

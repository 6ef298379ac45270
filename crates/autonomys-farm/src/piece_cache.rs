//! Elements of the official farmer's piece cache: `piece_cache.bin`, and the unplotted tail of `plot.bin`.

use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash_list};
use subspace_core_primitives::pieces::{Piece, PieceIndex};

/// Name of the file in the farm directory.
pub const FILE_NAME: &str = "piece_cache.bin";
/// Bytes of one element: piece index, piece, checksum over both.
pub const ELEMENT_SIZE: usize = INDEX_SIZE + Piece::SIZE + CHECKSUM_SIZE;

const INDEX_SIZE: usize = 8;
const CHECKSUM_SIZE: usize = 32;

/// A piece with its place in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPiece {
    /// Index in the history of the chain.
    pub piece_index: PieceIndex,
    /// The piece.
    pub piece: Piece,
    /// BLAKE3 of index and piece, as stored.
    pub checksum: Blake3Hash,
}

/// Encodes one element.
pub fn encode_element(piece_index: PieceIndex, piece: &Piece) -> Vec<u8> {
    let index = u64::from(piece_index).to_le_bytes();
    let checksum = blake3_hash_list(&[&index, piece.as_ref()]);
    let mut element = Vec::with_capacity(ELEMENT_SIZE);
    element.extend_from_slice(&index);
    element.extend_from_slice(piece.as_ref());
    element.extend_from_slice(checksum.as_ref());
    element
}

/// Decodes one element of exactly [`ELEMENT_SIZE`] bytes; `None` when it is empty (all zero) or its checksum is wrong, which is
/// what plotted-over elements of the plot's tail look like.
pub fn decode_element(element: &[u8]) -> Option<CachedPiece> {
    if element.len() != ELEMENT_SIZE {
        return None;
    }
    let (content, checksum) = element.split_at(INDEX_SIZE + Piece::SIZE);
    let found = blake3_hash_list(&[content]);
    if AsRef::<[u8]>::as_ref(&found) != checksum {
        return None;
    }
    let (index, piece) = content.split_at(INDEX_SIZE);
    let piece_index = PieceIndex::from(u64::from_le_bytes(index.try_into().ok()?));
    let piece = Piece::from_bytes(bytes::Bytes::copy_from_slice(piece)).ok()?;
    Some(CachedPiece {
        piece_index,
        piece,
        checksum: found,
    })
}

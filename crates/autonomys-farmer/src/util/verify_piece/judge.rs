//! Which copies of items are what the chain has committed to.
//!
//! A whole piece is checked by itself. Shards are checked against the piece they belong to: it is put together from any of them,
//! checked, and encoded again, so that every data and parity shard is compared byte for byte.

use crate::util::chain_rules::ChainRules;
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::{CacheKey, ItemKind};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex};

/// Choices of shards that are tried for one piece before it is fetched from elsewhere: all of 4 out of 6, with room for replicas.
const MAX_CHOICES: usize = 64;

/// One item as one cache gave it.
#[derive(Debug, Clone)]
pub(super) struct ItemCopy {
    pub(super) key: CacheKey,
    /// `None` when the cache lists it and did not give it.
    pub(super) bytes: Option<Bytes>,
    /// It came with other bytes than the cache's own sums say.
    pub(super) damaged: bool,
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The cache has lost or damaged it.
    NotGiven,
    /// It is no piece, or not the one that the chain has.
    WrongPiece,
    /// The shard differs from that of the right piece.
    WrongShard,
    /// Not enough sound shards are left, and nobody else has the piece.
    Unverifiable,
    /// The chain has no such segment.
    UnknownSegment,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotGiven => "listed, but damaged or lost on disk",
            Self::WrongPiece => "not the piece that the chain has",
            Self::WrongShard => "not the shard of the piece that the chain has",
            Self::Unverifiable => "cannot be checked: too few sound shards, and nobody has the whole piece",
            Self::UnknownSegment => "of a segment that the chain does not have",
        })
    }
}

/// What judging needs to know. Cheap to clone.
#[derive(Clone)]
pub(super) struct Judge {
    pub(super) rules: ChainRules,
    /// The cluster's item type.
    pub(super) coding: ItemCoding,
}

impl Judge {
    /// The right pieces that follow from the copies, for all of them whose piece can be told. Blocking and heavy.
    pub(super) fn right_pieces(&self, copies: &[ItemCopy]) -> BTreeMap<PieceIndex, Piece> {
        let mut right = BTreeMap::new();
        let whole = copies
            .iter()
            .filter(|copy| copy.key.kind == ItemKind::Piece)
            .filter_map(|copy| Some((copy.key.piece_index, copy.bytes.clone()?)));
        self.keep_right(whole, &mut right);
        let mut shards: BTreeMap<PieceIndex, Vec<(u16, Bytes)>> = BTreeMap::new();
        for copy in copies {
            let ItemCopy {
                key,
                bytes: Some(bytes),
                ..
            } = copy
            else {
                continue;
            };
            if key.kind != ItemKind::Piece && !right.contains_key(&key.piece_index) {
                shards
                    .entry(key.piece_index)
                    .or_default()
                    .push((key.shard, bytes.clone()));
            }
        }
        // Nearly always the first choice is right, and all of them are checked together.
        let first = shards.iter().filter_map(|(index, shards)| {
            Some((*index, self.assembled(shards, self.choices(shards).next()?)?))
        });
        self.keep_right(first.collect::<Vec<_>>(), &mut right);
        for (index, shards) in &shards {
            for choice in self.choices(shards).skip(1) {
                if right.contains_key(index) {
                    break;
                }
                let candidate = self.assembled(shards, choice).map(|bytes| (*index, bytes));
                self.keep_right(candidate, &mut right);
            }
        }
        right
    }

    /// Checks pieces that came from elsewhere and adds those that are right.
    pub(super) fn keep_right(
        &self,
        candidates: impl IntoIterator<Item = (PieceIndex, Bytes)>,
        right: &mut BTreeMap<PieceIndex, Piece>,
    ) {
        // Copies of one piece are mostly the same bytes.
        let mut seen = BTreeSet::new();
        let pieces: Vec<_> = candidates
            .into_iter()
            .filter_map(|(index, bytes)| Some((index, Piece::from_bytes(bytes).ok()?)))
            .filter(|(index, piece)| seen.insert((*index, blake3_hash(piece.as_ref()))))
            .collect();
        let wrong = self.rules.wrong(&pieces);
        for (number, (index, piece)) in pieces.into_iter().enumerate() {
            if wrong.binary_search(&number).is_err() {
                right.insert(index, piece);
            }
        }
    }

    /// What is wrong with each copy, in their order, given the right pieces. Blocking.
    pub(super) fn faults(
        &self,
        copies: &[ItemCopy],
        right: &BTreeMap<PieceIndex, Piece>,
    ) -> Vec<Option<Fault>> {
        let mut encoded: BTreeMap<PieceIndex, Vec<Bytes>> = BTreeMap::new();
        copies
            .iter()
            .map(|copy| {
                let index = copy.key.piece_index;
                if !self.rules.knows(index.segment_index()) {
                    return Some(Fault::UnknownSegment);
                }
                let Some(bytes) = &copy.bytes else {
                    return Some(Fault::NotGiven);
                };
                let piece = right.get(&index);
                if copy.key.kind == ItemKind::Piece {
                    let same = piece.is_some_and(|piece| piece.as_ref() == &bytes[..]);
                    return (!same).then_some(Fault::WrongPiece);
                }
                let Some(piece) = piece else {
                    return Some(Fault::Unverifiable);
                };
                let shards = encoded
                    .entry(index)
                    // A piece always has shards of the cluster's own item type; without any, none of the copies is right.
                    .or_insert_with(|| self.coding.encode(piece.as_ref()).unwrap_or_default());
                let same = shards.get(usize::from(copy.key.shard)) == Some(bytes);
                (!same).then_some(Fault::WrongShard)
            })
            .collect()
    }

    fn assembled(&self, shards: &[(u16, Bytes)], choice: Vec<usize>) -> Option<Bytes> {
        let chosen: Vec<_> = choice.into_iter().map(|number| shards[number].clone()).collect();
        self.coding.decode(PIECE_SIZE, &chosen).ok()
    }

    /// Positions of as many shards with different numbers as a piece needs, in all ways up to a bound.
    fn choices(&self, shards: &[(u16, Bytes)]) -> impl Iterator<Item = Vec<usize>> + use<> {
        let needed = usize::from(self.coding.needed());
        let numbers: Vec<u16> = shards.iter().map(|(number, _)| *number).collect();
        combinations(numbers, needed).take(MAX_CHOICES)
    }
}

/// Ascending positions of `needed` different numbers, in lexicographic order.
fn combinations(numbers: Vec<u16>, needed: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut stack: Vec<usize> = Vec::new();
    let mut next = 0;
    std::iter::from_fn(move || {
        loop {
            if stack.len() == needed && needed > 0 {
                let found = stack.clone();
                next = stack.pop()? + 1;
                return Some(found);
            }
            // Behind `next` there must be enough left to complete the choice.
            if next + (needed - stack.len()) > numbers.len() || needed == 0 {
                next = stack.pop()? + 1;
                continue;
            }
            if !stack.iter().any(|&chosen| numbers[chosen] == numbers[next]) {
                stack.push(next);
            }
            next += 1;
        }
    })
}

#[cfg(test)]
mod tests;

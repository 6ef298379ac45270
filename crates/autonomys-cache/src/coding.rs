//! How a piece becomes items and comes back: whole, split into k data shards, or k data and m parity shards (Reed-Solomon).
//!
//! The coding is systematic: data shards are plain slices of the piece, so a reader that gets all of them only puts them together.
//! A shard's length is that of the piece divided by k, rounded up to an even number of bytes (the code works on 16-bit words); the
//! last ones are padded with zeros. Parity is of `reed-solomon-simd`; a test pins its bytes, because they lie in stores.

mod codec;
#[cfg(test)]
mod tests;

use crate::item::{CacheKey, ItemKind};
use crate::placement::MAX_POSITIONS;
use std::fmt;
use std::str::FromStr;
use subspace_core_primitives::pieces::PieceIndex;

/// Data shards of `split-piece` and `split-parity-piece` when none are given.
pub const DEFAULT_DATA: u16 = 4;

/// Parity shards of `split-parity-piece` when none are given.
pub const DEFAULT_PARITY: u16 = 2;

/// Longest text that is parsed as an item type; the longest sensible one has 24 bytes.
const MAX_TEXT: usize = 64;

/// What the caches of a cluster hold: item kind, shards and replicas. Its text is what `--cache-item-type` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemCoding {
    kind: ItemKind,
    data: u16,
    parity: u16,
    replicas: u8,
}

/// Why something cannot be coded or decoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CodingError {
    /// A text that names no item type.
    #[error(
        "{text:?} is no item type; use piece, split-piece:K or split-parity-piece:K+M, for instance split-parity-piece:4+2, and \
         *R behind it for R replicas"
    )]
    UnknownType {
        /// The text, shortened.
        text: String,
    },
    /// Numbers that no coding can have.
    #[error(
        "an item type with {data} data shards, {parity} parity shards and {replicas} replicas is impossible: {reason}"
    )]
    BadShape {
        /// Data shards.
        data: u16,
        /// Parity shards.
        parity: u16,
        /// Replicas.
        replicas: u8,
        /// What is wrong.
        reason: &'static str,
    },
    /// A piece without bytes.
    #[error("a piece without bytes cannot be coded")]
    EmptyPiece,
    /// Fewer different parts than the piece needs.
    #[error("{found} parts of the piece are there but {needed} are needed")]
    TooFewParts {
        /// Different parts given.
        found: usize,
        /// Parts needed.
        needed: usize,
    },
    /// A part number that the coding does not have.
    #[error("part {part} does not exist: there are parts 0 to {last}")]
    NoSuchPart {
        /// The number.
        part: u16,
        /// Highest possible number.
        last: u16,
    },
    /// One part was given twice.
    #[error("part {part} was given twice")]
    DuplicatePart {
        /// Its number.
        part: u16,
    },
    /// A part of the wrong length.
    #[error("part {part} has {found} bytes but must have {expected}")]
    WrongLength {
        /// Its number.
        part: u16,
        /// Bytes given.
        found: usize,
        /// Bytes of every part.
        expected: usize,
    },
    /// The library refused, which the checks before should make impossible.
    #[error("Reed-Solomon coding failed: {0}")]
    ReedSolomon(#[from] reed_solomon_simd::Error),
}

impl ItemCoding {
    /// Whole pieces, each once.
    pub const PIECE: Self = Self {
        kind: ItemKind::Piece,
        data: 1,
        parity: 0,
        replicas: 1,
    };

    /// A coding of this shape: `data` shards of which all are needed, or any `data` of `data + parity` with parity; each of them
    /// `replicas` times.
    ///
    /// # Errors
    ///
    /// [`CodingError::BadShape`] when the numbers do not fit the kind or give more than [`MAX_POSITIONS`] owners.
    pub fn new(kind: ItemKind, data: u16, parity: u16, replicas: u8) -> Result<Self, CodingError> {
        let bad = |reason| {
            Err(CodingError::BadShape {
                data,
                parity,
                replicas,
                reason,
            })
        };
        match kind {
            ItemKind::Piece if data != 1 || parity != 0 => return bad("a whole piece has one part"),
            ItemKind::SplitPiece if data < 2 || parity != 0 => {
                return bad("split-piece needs 2 data shards or more and has no parity");
            }
            ItemKind::SplitParityPiece if data < 2 || parity == 0 => {
                return bad("split-parity-piece needs 2 data shards and 1 parity shard or more");
            }
            _ => {}
        }
        if replicas == 0 {
            return bad("there must be one replica or more");
        }
        let positions = (usize::from(data) + usize::from(parity)) * usize::from(replicas);
        if positions > MAX_POSITIONS {
            return bad("shards times replicas may not exceed 32");
        }
        Ok(Self {
            kind,
            data,
            parity,
            replicas,
        })
    }

    /// Kind of the items.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// Data shards, k; 1 for whole pieces.
    pub fn data(&self) -> u16 {
        self.data
    }

    /// Parity shards, m; 0 without parity.
    pub fn parity(&self) -> u16 {
        self.parity
    }

    /// Copies of every part.
    pub fn replicas(&self) -> u8 {
        self.replicas
    }

    /// Different parts of a piece: 1, k, or k+m.
    pub fn parts(&self) -> u16 {
        self.data + self.parity
    }

    /// How many different parts give the piece back: k, any of them with parity.
    pub fn needed(&self) -> u16 {
        self.data
    }

    /// Owners of a virtual shard: parts times replicas.
    pub fn positions(&self) -> usize {
        usize::from(self.parts()) * usize::from(self.replicas)
    }

    /// The part that the owner at a position of a virtual shard holds.
    pub fn part_at(&self, position: usize) -> u16 {
        (position % usize::from(self.parts())) as u16
    }

    /// Bytes of every part of a piece of `piece_len` bytes.
    pub fn item_len(&self, piece_len: usize) -> usize {
        match self.kind {
            ItemKind::Piece => piece_len,
            ItemKind::SplitPiece | ItemKind::SplitParityPiece => {
                piece_len.div_ceil(usize::from(self.data)).next_multiple_of(2)
            }
        }
    }

    /// Key of a part of a piece.
    pub fn key(&self, piece_index: PieceIndex, part: u16) -> CacheKey {
        CacheKey {
            kind: self.kind,
            piece_index,
            shard: part,
        }
    }
}

impl fmt::Display for ItemCoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ItemKind::Piece => formatter.write_str("piece")?,
            ItemKind::SplitPiece => write!(formatter, "split-piece:{}", self.data)?,
            ItemKind::SplitParityPiece => {
                write!(formatter, "split-parity-piece:{}+{}", self.data, self.parity)?;
            }
        }
        if self.replicas > 1 {
            write!(formatter, "*{}", self.replicas)?;
        }
        Ok(())
    }
}

impl FromStr for ItemCoding {
    type Err = CodingError;

    fn from_str(text: &str) -> Result<Self, CodingError> {
        let unknown = || CodingError::UnknownType {
            text: text.chars().take(MAX_TEXT).collect(),
        };
        if text.len() > MAX_TEXT {
            return Err(unknown());
        }
        let number = |digits: &str| -> Result<u16, CodingError> {
            // `parse` alone would take a plus sign.
            match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits.parse().map_err(|_| unknown()),
                false => Err(unknown()),
            }
        };
        let (shape, replicas) = match text.split_once('*') {
            Some((shape, replicas)) => (shape, u8::try_from(number(replicas)?).map_err(|_| unknown())?),
            None => (text, 1),
        };
        let (name, counts) = match shape.split_once(':') {
            Some((name, counts)) => (name, Some(counts)),
            None => (shape, None),
        };
        let (kind, data, parity) = match (name, counts) {
            ("piece", None) => (ItemKind::Piece, 1, 0),
            ("split-piece", None) => (ItemKind::SplitPiece, DEFAULT_DATA, 0),
            ("split-piece", Some(counts)) => (ItemKind::SplitPiece, number(counts)?, 0),
            ("split-parity-piece", None) => (ItemKind::SplitParityPiece, DEFAULT_DATA, DEFAULT_PARITY),
            ("split-parity-piece", Some(counts)) => {
                let (data, parity) = counts.split_once('+').ok_or_else(unknown)?;
                (ItemKind::SplitParityPiece, number(data)?, number(parity)?)
            }
            _ => return Err(unknown()),
        };
        Self::new(kind, data, parity, replicas)
    }
}

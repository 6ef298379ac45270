//! A piece: record, record commitment and record witness in one shared buffer.

use super::{PIECE_SIZE, RECORD_SIZE, RecordCommitment, RecordWitness, ScalarBytes};
use crate::hashes::{Blake3Hash, blake3_hash};
use crate::hexadecimal;
use bytes::Bytes;
use parity_scale_codec::{Compact, Decode, Encode, Error, Input, Output};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A buffer that is not the size of a piece.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a piece has exactly {PIECE_SIZE} bytes, got {0}")]
pub struct PieceSizeError(
    /// Size of the buffer that was given.
    pub usize,
);

/// A piece of the archived history, always [`Piece::SIZE`] bytes: 32 768 chunks of 32 bytes (the record), the record
/// commitment and the record witness, 48 bytes each.
///
/// Clones share the buffer. SCALE: byte vector with its compact length; JSON: one hex string.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Piece(Bytes);

impl Piece {
    /// Size in bytes.
    pub const SIZE: usize = PIECE_SIZE;

    /// Takes over a buffer of exactly [`Self::SIZE`] bytes without copying.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, PieceSizeError> {
        if bytes.len() == Self::SIZE {
            Ok(Self(bytes))
        } else {
            Err(PieceSizeError(bytes.len()))
        }
    }

    /// Copies the parts together; `record` must have 1 048 576 bytes.
    pub fn from_parts(
        record: &[u8],
        commitment: &RecordCommitment,
        witness: &RecordWitness,
    ) -> Result<Self, PieceSizeError> {
        let size = record.len() + RecordCommitment::SIZE + RecordWitness::SIZE;
        if size != Self::SIZE {
            return Err(PieceSizeError(size));
        }
        Ok(Self(
            [record, commitment.as_ref(), witness.as_ref()].concat().into(),
        ))
    }

    /// The chunks of the record: 32 768 of 32 bytes.
    pub fn record_chunks(&self) -> &[[u8; ScalarBytes::FULL_BYTES]] {
        self.record_bytes().as_chunks().0
    }

    /// The record as 1 048 576 bytes.
    pub fn record_bytes(&self) -> &[u8] {
        &self.0[..RECORD_SIZE]
    }

    /// The record commitment as stored in the piece (not checked).
    pub fn commitment(&self) -> RecordCommitment {
        let bytes = &self.0[RECORD_SIZE..][..RecordCommitment::SIZE];
        RecordCommitment(bytes.try_into().expect("the slice has the size of a commitment"))
    }

    /// The record witness as stored in the piece (not checked).
    pub fn witness(&self) -> RecordWitness {
        let bytes = &self.0[RECORD_SIZE + RecordCommitment::SIZE..];
        RecordWitness(bytes.try_into().expect("the slice has the size of a witness"))
    }

    /// BLAKE3 of the whole piece.
    pub fn hash(&self) -> Blake3Hash {
        blake3_hash(&self.0)
    }

    /// The shared buffer.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The shared buffer.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Piece {
    type Error = PieceSizeError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, PieceSizeError> {
        Self::from_bytes(bytes.into())
    }
}

impl TryFrom<&[u8]> for Piece {
    type Error = PieceSizeError;

    fn try_from(bytes: &[u8]) -> Result<Self, PieceSizeError> {
        if bytes.len() == Self::SIZE {
            Ok(Self(Bytes::copy_from_slice(bytes)))
        } else {
            Err(PieceSizeError(bytes.len()))
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Piece(commitment {})", self.commitment())
    }
}

impl Encode for Piece {
    fn size_hint(&self) -> usize {
        size_of::<u32>() + Self::SIZE
    }

    fn encode_to<O: Output + ?Sized>(&self, destination: &mut O) {
        Compact(Self::SIZE as u32).encode_to(destination);
        destination.write(&self.0);
    }
}

impl Decode for Piece {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        // The length is checked before anything is allocated.
        let length = Compact::<u32>::decode(input)?.0;
        if length as usize != Self::SIZE {
            return Err(Error::from(
                "a piece has exactly 1048672 bytes, the length prefix says otherwise",
            ));
        }
        let mut bytes = vec![0; Self::SIZE];
        input.read(&mut bytes)?;
        Ok(Self(bytes.into()))
    }
}

impl Serialize for Piece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hexadecimal::encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(PieceVisitor)
        } else {
            deserializer.deserialize_bytes(PieceVisitor)
        }
    }
}

struct PieceVisitor;

impl Visitor<'_> for PieceVisitor {
    type Value = Piece;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a piece as {} hexadecimal digits without 0x prefix",
            2 * Piece::SIZE
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Piece, E> {
        if text.len() != 2 * Piece::SIZE {
            return Err(E::invalid_length(text.len(), &self));
        }
        let bytes = hexadecimal::decode(text).map_err(E::custom)?;
        Piece::try_from(bytes).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Piece, E> {
        Piece::try_from(bytes).map_err(E::custom)
    }
}

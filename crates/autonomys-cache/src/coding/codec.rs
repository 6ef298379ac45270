//! Bytes of a piece to parts and back.

use super::{CodingError, ItemCoding};
use crate::item::ItemKind;
use bytes::{Bytes, BytesMut};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

impl ItemCoding {
    /// All parts of a piece, in order of their numbers: data shards, then parity shards.
    ///
    /// # Errors
    ///
    /// [`CodingError::EmptyPiece`].
    pub fn encode(&self, piece: &[u8]) -> Result<Vec<Bytes>, CodingError> {
        if piece.is_empty() {
            return Err(CodingError::EmptyPiece);
        }
        let length = self.item_len(piece.len());
        let data = usize::from(self.data);
        let mut padded = BytesMut::with_capacity(length * data);
        padded.extend_from_slice(piece);
        padded.resize(length * data, 0);
        let padded = padded.freeze();
        let mut parts: Vec<_> = (0..data)
            .map(|part| padded.slice(part * length..(part + 1) * length))
            .collect();
        if self.parity > 0 {
            parts.extend(self.parity_of(&parts, length)?);
        }
        Ok(parts)
    }

    fn parity_of(&self, data: &[Bytes], length: usize) -> Result<Vec<Bytes>, CodingError> {
        let mut encoder = ReedSolomonEncoder::new(data.len(), usize::from(self.parity), length)?;
        for part in data {
            encoder.add_original_shard(part)?;
        }
        let encoded = encoder.encode()?;
        Ok(encoded.recovery_iter().map(Bytes::copy_from_slice).collect())
    }

    /// The piece of `piece_len` bytes from any [`needed`](Self::needed) of its parts; more may be given. Bytes are not checked
    /// here: whoever fetched the parts has compared their hashes.
    ///
    /// # Errors
    ///
    /// When parts are too few, too long or short, given twice, or have numbers that do not exist.
    pub fn decode(&self, piece_len: usize, parts: &[(u16, Bytes)]) -> Result<Bytes, CodingError> {
        let slots = self.sort(piece_len, parts)?;
        if self.kind == ItemKind::Piece {
            return Ok(slots.into_iter().flatten().next().unwrap_or_default());
        }
        let data = self.data_shards(piece_len, &slots)?;
        let mut piece = BytesMut::with_capacity(self.item_len(piece_len) * data.len());
        data.iter().for_each(|part| piece.extend_from_slice(part));
        piece.truncate(piece_len);
        Ok(piece.freeze())
    }

    /// The parts with the numbers `wanted`, from any [`needed`](Self::needed) others of a piece of `piece_len` bytes: what an
    /// owner does that lost its part.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`], also for a wanted number that does not exist.
    pub fn rebuild(
        &self,
        piece_len: usize,
        parts: &[(u16, Bytes)],
        wanted: &[u16],
    ) -> Result<Vec<Bytes>, CodingError> {
        for &part in wanted {
            self.check_number(part)?;
        }
        let mut slots = self.sort(piece_len, parts)?;
        if wanted.iter().any(|&part| slots[usize::from(part)].is_none()) {
            let mut whole = self.data_shards(piece_len, &slots)?;
            let (data, length) = (usize::from(self.data), self.item_len(piece_len));
            if wanted.iter().any(|&part| usize::from(part) >= data) {
                whole.extend(self.parity_of(&whole, length)?);
            }
            for (slot, part) in slots.iter_mut().zip(whole) {
                slot.get_or_insert(part);
            }
        }
        Ok(wanted
            .iter()
            .filter_map(|&part| slots[usize::from(part)].clone())
            .collect())
    }

    fn check_number(&self, part: u16) -> Result<(), CodingError> {
        match part < self.parts() {
            true => Ok(()),
            false => Err(CodingError::NoSuchPart {
                part,
                last: self.parts() - 1,
            }),
        }
    }

    /// The parts by number, checked.
    fn sort(&self, piece_len: usize, parts: &[(u16, Bytes)]) -> Result<Vec<Option<Bytes>>, CodingError> {
        if piece_len == 0 {
            return Err(CodingError::EmptyPiece);
        }
        let expected = self.item_len(piece_len);
        let mut slots = vec![None; usize::from(self.parts())];
        for (part, bytes) in parts {
            self.check_number(*part)?;
            if bytes.len() != expected {
                return Err(CodingError::WrongLength {
                    part: *part,
                    found: bytes.len(),
                    expected,
                });
            }
            if slots[usize::from(*part)].replace(bytes.clone()).is_some() {
                return Err(CodingError::DuplicatePart { part: *part });
            }
        }
        let (found, needed) = (parts.len(), usize::from(self.needed()));
        match found < needed {
            true => Err(CodingError::TooFewParts { found, needed }),
            false => Ok(slots),
        }
    }

    /// All data shards, those that are missing decoded from the others.
    fn data_shards(&self, piece_len: usize, slots: &[Option<Bytes>]) -> Result<Vec<Bytes>, CodingError> {
        let data = usize::from(self.data);
        let (originals, recovery) = slots.split_at(data);
        if let Some(all) = originals.iter().cloned().collect::<Option<Vec<_>>>() {
            return Ok(all);
        }
        let mut decoder = ReedSolomonDecoder::new(data, usize::from(self.parity), self.item_len(piece_len))?;
        for (index, part) in originals.iter().enumerate() {
            if let Some(part) = part {
                decoder.add_original_shard(index, part)?;
            }
        }
        for (index, part) in recovery.iter().enumerate() {
            if let Some(part) = part {
                decoder.add_recovery_shard(index, part)?;
            }
        }
        let mut shards = originals.to_vec();
        for (index, bytes) in decoder.decode()?.restored_original_iter() {
            shards[index] = Some(Bytes::copy_from_slice(bytes));
        }
        // The decoder has restored every missing one, or failed above.
        Ok(shards.into_iter().flatten().collect())
    }
}

//! What a sector keeps about each record besides its chunks.

use super::RECORD_METADATA_SIZE;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{Piece, RecordCommitment, RecordWitness};

/// Commitment and witness of a record, and the checksum of the piece it came in. 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Commitment of the record.
    pub commitment: RecordCommitment,
    /// Witness of the commitment in its segment.
    pub witness: RecordWitness,
    /// BLAKE3 of the whole piece.
    pub piece_checksum: Blake3Hash,
}

impl RecordMetadata {
    /// Metadata of a piece (hashes it).
    pub fn of_piece(piece: &Piece) -> Self {
        Self {
            commitment: piece.commitment(),
            witness: piece.witness(),
            piece_checksum: piece.hash(),
        }
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8; RECORD_METADATA_SIZE]) -> Self {
        let mut commitment = [0; 48];
        let mut witness = [0; 48];
        let mut piece_checksum = [0; 32];
        commitment.copy_from_slice(&bytes[..48]);
        witness.copy_from_slice(&bytes[48..96]);
        piece_checksum.copy_from_slice(&bytes[96..]);
        Self {
            commitment: RecordCommitment::from(commitment),
            witness: RecordWitness::from(witness),
            piece_checksum: Blake3Hash::from(piece_checksum),
        }
    }

    /// The stored form: commitment, witness, checksum.
    pub fn to_bytes(&self) -> [u8; RECORD_METADATA_SIZE] {
        let mut bytes = [0; RECORD_METADATA_SIZE];
        bytes[..48].copy_from_slice(self.commitment.as_ref());
        bytes[48..96].copy_from_slice(self.witness.as_ref());
        bytes[96..].copy_from_slice(self.piece_checksum.as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_round_trips() {
        let bytes: [u8; RECORD_METADATA_SIZE] = std::array::from_fn(|index| index as u8);
        let metadata = RecordMetadata::from_bytes(&bytes);
        assert_eq!(metadata.to_bytes(), bytes);
        assert_eq!(metadata.witness.as_ref()[0], 48);
        assert_eq!(metadata.piece_checksum.as_ref()[0], 96);
    }
}

//! What a prover answers.

use parity_scale_codec::{Decode, Encode, Error, Input, Output};
use subspace_core_primitives::pieces::{ChunkWitness, ScalarBytes};
use subspace_core_primitives::pos::PosProof;

/// The part of a solution that takes the heavy work, 241 bytes in SCALE: version 0, then the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofPart {
    /// The winning chunk, decoded.
    pub chunk: ScalarBytes,
    /// Witness of the chunk in its record.
    pub chunk_witness: ChunkWitness,
    /// Proof of space that masks the chunk.
    pub proof_of_space: PosProof,
}

impl ProofPart {
    /// Bytes in SCALE.
    pub const ENCODED_SIZE: usize = 1 + ScalarBytes::SIZE + ChunkWitness::SIZE + PosProof::SIZE;
}

impl Encode for ProofPart {
    fn size_hint(&self) -> usize {
        Self::ENCODED_SIZE
    }

    fn encode_to<T: Output + ?Sized>(&self, output: &mut T) {
        output.push_byte(0);
        (self.chunk, self.chunk_witness, self.proof_of_space).encode_to(output);
    }
}

impl Decode for ProofPart {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let version = input.read_byte()?;
        if version != 0 {
            return Err(
                Error::from("only version 0 of a proof is known, update the farmer")
                    .chain(format!("proof has version {version}")),
            );
        }
        let (chunk, chunk_witness, proof_of_space) = Decode::decode(input)?;
        Ok(Self {
            chunk,
            chunk_witness,
            proof_of_space,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_round_trips() {
        let part = ProofPart {
            chunk: ScalarBytes::from([1; 32]),
            chunk_witness: ChunkWitness::from([2; 48]),
            proof_of_space: PosProof::from([3; 160]),
        };
        let mut bytes = part.encode();
        assert_eq!(bytes.len(), ProofPart::ENCODED_SIZE);
        assert_eq!(ProofPart::decode(&mut bytes.as_slice()), Ok(part));
        assert!(ProofPart::decode(&mut &bytes[..240]).is_err());
        bytes[0] = 1;
        let error = ProofPart::decode(&mut bytes.as_slice()).unwrap_err();
        assert!(error.to_string().contains("version 1"), "{error}");
    }
}

//! A trivial proof of space for development chains: proofs cost one hash instead of a table.

use crate::{PosTable, ProofOfSpace, ProofOfSpaceKind};
use rayon::ThreadPool;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// Proof of space without space, never valid on a real network.
///
/// With `q = blake3(challenge_index as u32 LE)` there is no proof when `q`, read as a 256-bit little-endian number, is
/// divisible by three; otherwise the proof is the seed followed by four times `q`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FastTestProofOfSpace;

struct FastTestTable {
    seed: PosSeed,
}

fn prove(seed: &PosSeed, challenge_index: u32) -> Option<PosProof> {
    let quality = *blake3::hash(&challenge_index.to_le_bytes()).as_bytes();
    // 256 = 1 (mod 3), so the number and the sum of its bytes leave the same remainder.
    let byte_sum: u32 = quality.iter().map(|&byte| u32::from(byte)).sum();
    if byte_sum.is_multiple_of(3) {
        return None;
    }
    let mut proof = [0; 160];
    let seed: &[u8; 32] = seed;
    proof[..32].copy_from_slice(seed);
    for part in proof[32..].chunks_exact_mut(32) {
        part.copy_from_slice(&quality);
    }
    Some(PosProof::from(proof))
}

impl PosTable for FastTestTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        prove(&self.seed, challenge_index)
    }
}

impl ProofOfSpace for FastTestProofOfSpace {
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        Box::new(FastTestTable { seed: *seed })
    }

    fn create_table_parallel(&self, seed: &PosSeed, _pool: &ThreadPool) -> Box<dyn PosTable> {
        self.create_table(seed)
    }

    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        prove(seed, challenge_index).as_ref() == Some(proof)
    }

    fn kind(&self) -> ProofOfSpaceKind {
        ProofOfSpaceKind::FastTest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_exist_unless_the_hash_is_divisible_by_three() {
        let seed = PosSeed::from([7; 32]);
        let table = FastTestProofOfSpace.create_table(&seed);
        let mut found = 0;
        for index in 0..3000_u32 {
            let quality = *blake3::hash(&index.to_le_bytes()).as_bytes();
            // Long division in base 256 from the most significant (last) byte.
            let remainder = quality
                .iter()
                .rev()
                .fold(0, |remainder, &byte| (remainder * 256 + u32::from(byte)) % 3);
            let proof = table.find_proof(index);
            assert_eq!(proof.is_none(), remainder == 0, "index {index}");
            if let Some(proof) = proof {
                found += 1;
                let bytes: [u8; 160] = *proof;
                assert_eq!(bytes[..32], [7; 32]);
                assert!(bytes[32..].chunks(32).all(|part| part == quality));
                assert!(FastTestProofOfSpace.is_proof_valid(&seed, index, &proof));
                assert!(!FastTestProofOfSpace.is_proof_valid(&PosSeed::from([8; 32]), index, &proof));
                let mut damaged = bytes;
                damaged[159] ^= 1;
                assert!(!FastTestProofOfSpace.is_proof_valid(&seed, index, &PosProof::from(damaged)));
            }
        }
        assert!((1800..2200).contains(&found), "{found}");
    }
}

//! The genesis block, a function of the chain's seed text.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use subspace_archiving::encoding::{BlockHeader, SignedBlock};

/// BLAKE2b with 32 bytes of output, the hash of the chain's own structures.
pub fn blake2b_256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Root over extrinsics: BLAKE2b-256 of the SCALE vector. A stand-in for the trie root of the public chain, which nothing
/// that farms or archives looks into.
pub fn extrinsics_root(extrinsics: &[Vec<u8>]) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    hasher.update((extrinsics.len() as u64).to_le_bytes());
    for extrinsic in extrinsics {
        hasher.update(extrinsic);
    }
    hasher.finalize().into()
}

/// Block 0 of the chain with this seed text: no digest, no extrinsics, no justifications. Its state root also seeds the
/// stretching of the block to one whole segment.
pub fn genesis_block(seed: &str) -> SignedBlock {
    SignedBlock {
        header: BlockHeader {
            parent_hash: [0; 32],
            number: 0,
            state_root: blake2b_256(&[b"autonomys development chain", seed.as_bytes()]),
            extrinsics_root: extrinsics_root(&[]),
            digest_items: Vec::new(),
        },
        extrinsics: Vec::new(),
        justifications: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_text_decides() {
        let block = genesis_block("a");
        assert_eq!(block, genesis_block("a"));
        assert_ne!(block.header.hash(), genesis_block("b").header.hash());
        assert_eq!(block.encode().len(), 100);
        assert_eq!(block.header.parent_hash, [0; 32]);
    }
}

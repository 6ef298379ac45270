//! Chia-derived proof of space with K = 20: tables, proofs and their verification.
//!
//! [`ProofOfSpace`] is the interface the rest of the farmer uses: it makes a [`PosTable`] for a seed and verifies proofs.
//! [`ChiaProofOfSpace`] is what the network uses; [`FastTestProofOfSpace`] is a trivial stand-in for development chains.
//! The rules are described in `docs/protocol/proof-of-space.md`.

mod bucket;
mod builder;
mod chains;
mod chia;
mod compression;
mod compute;
mod constants;
mod entry;
mod f1;
#[cfg(test)]
mod golden_vectors;
mod kernel;
mod kind;
mod lanes;
mod matching;
mod memory;
mod proof_hashes;
mod shim;
mod simd;
mod table;
mod unbounded;
mod verify;

pub use chia::ChiaProofOfSpace;
pub use kind::{ParseProofOfSpaceKindError, ProofOfSpaceKind, proof_of_space};
pub use shim::FastTestProofOfSpace;
pub use simd::{ParseSimdLevelError, SIMD_ENVIRONMENT_VARIABLE, SimdLevel};

use rayon::ThreadPool;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// All proofs of one seed, ready to be looked up.
pub trait PosTable: Send + Sync {
    /// The proof for `challenge_index`, `None` when the seed has none.
    ///
    /// In the protocol `challenge_index` is an s-bucket, `0..65536`. A table may leave out entries that no s-bucket refers
    /// to, so other indexes may be answered with `None` although a proof exists.
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof>;

    /// Calls `each` with the position in `challenge_indexes` and [`PosProof::hash`] of every proof that exists, in order.
    ///
    /// Costs far less than finding and hashing the proofs one at a time.
    fn for_each_proof_hash(&self, challenge_indexes: &[u32], each: &mut dyn FnMut(usize, &[u8; 32])) {
        for (position, &challenge_index) in challenge_indexes.iter().enumerate() {
            if let Some(proof) = self.find_proof(challenge_index) {
                each(position, &proof.hash());
            }
        }
    }
}

/// A proof of space: how tables are made and proofs verified.
pub trait ProofOfSpace: Send + Sync {
    /// Makes the table of `seed` on the calling thread only, for plotting with one record a thread.
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable>;

    /// Makes the same table with all threads of `pool`, for proving and reading, where latency counts.
    fn create_table_parallel(&self, seed: &PosSeed, pool: &ThreadPool) -> Box<dyn PosTable>;

    /// Whether `proof` is a proof for `challenge_index` under `seed`.
    ///
    /// More proofs are valid than a table yields, see `docs/protocol/proof-of-space.md`.
    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool;

    /// Which proof of space this is.
    fn kind(&self) -> ProofOfSpaceKind;
}

//! The proof of space of the network.

use crate::unbounded::UnboundedTable;
use crate::{PosTable, ProofOfSpace, ProofOfSpaceKind, verify};
use rayon::ThreadPool;
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// Chia-derived proof of space with K = 20.
#[derive(Debug, Default)]
pub struct ChiaProofOfSpace {}

impl ChiaProofOfSpace {
    /// With the fastest code this processor supports.
    pub fn new() -> Self {
        Self {}
    }
}

impl ProofOfSpace for ChiaProofOfSpace {
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        Box::new(UnboundedTable::create(seed))
    }

    fn create_table_parallel(&self, seed: &PosSeed, _pool: &ThreadPool) -> Box<dyn PosTable> {
        self.create_table(seed)
    }

    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        verify::is_proof_valid(seed, challenge_index, proof)
    }

    fn kind(&self) -> ProofOfSpaceKind {
        ProofOfSpaceKind::Chia
    }
}

//! Proofs of space for the tests: the synthetic one of `sector_sparse.json`, and one that keeps the tables it made.

use rayon::ThreadPool;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use subspace_core_primitives::pos::{PosProof, PosSeed};
use subspace_farmer_components::sector::NUM_S_BUCKETS;
use subspace_proof_of_space::{PosTable, ProofOfSpace, ProofOfSpaceKind};

/// A proof for every fourth challenge index, so that there are not enough of them.
pub(crate) struct SparseProofOfSpace;

struct SparseTable(PosSeed);

fn sparse_proof(seed: &PosSeed, challenge_index: u32) -> Option<PosProof> {
    if challenge_index % 4 != u32::from(seed[0] % 4) {
        return None;
    }
    let mut proof = [0; 160];
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(seed.as_ref())
        .update(&challenge_index.to_le_bytes());
    hasher.finalize_xof().fill(&mut proof);
    Some(PosProof::from(proof))
}

impl PosTable for SparseTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        sparse_proof(&self.0, challenge_index)
    }
}

impl ProofOfSpace for SparseProofOfSpace {
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        Box::new(SparseTable(*seed))
    }

    fn create_table_parallel(&self, seed: &PosSeed, _pool: &ThreadPool) -> Box<dyn PosTable> {
        self.create_table(seed)
    }

    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        sparse_proof(seed, challenge_index).as_ref() == Some(proof)
    }

    fn kind(&self) -> ProofOfSpaceKind {
        ProofOfSpaceKind::FastTest
    }
}

type Proofs = Arc<[Option<PosProof>]>;

/// Another proof of space whose tables are made once for the seeds named at the start (10 MB each).
pub(crate) struct KeepingProofOfSpace {
    inner: Arc<dyn ProofOfSpace>,
    keep: HashSet<[u8; 32]>,
    kept: Mutex<HashMap<[u8; 32], Proofs>>,
}

struct KeptTable(Proofs);

impl PosTable for KeptTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        *self.0.get(challenge_index as usize)?
    }
}

impl KeepingProofOfSpace {
    pub(crate) fn new(inner: Arc<dyn ProofOfSpace>, keep: HashSet<[u8; 32]>) -> Self {
        Self {
            inner,
            keep,
            kept: Mutex::default(),
        }
    }

    fn table(&self, seed: &PosSeed, make: impl FnOnce() -> Box<dyn PosTable>) -> Box<dyn PosTable> {
        if !self.keep.contains(&seed.0) {
            return make();
        }
        if let Some(proofs) = self.kept.lock().unwrap().get(&seed.0) {
            return Box::new(KeptTable(Arc::clone(proofs)));
        }
        let table = make();
        let proofs: Proofs = (0..NUM_S_BUCKETS as u32)
            .map(|index| table.find_proof(index))
            .collect();
        self.kept.lock().unwrap().insert(seed.0, Arc::clone(&proofs));
        Box::new(KeptTable(proofs))
    }
}

impl ProofOfSpace for KeepingProofOfSpace {
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        self.table(seed, || self.inner.create_table(seed))
    }

    fn create_table_parallel(&self, seed: &PosSeed, pool: &ThreadPool) -> Box<dyn PosTable> {
        self.table(seed, || self.inner.create_table_parallel(seed, pool))
    }

    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        self.inner.is_proof_valid(seed, challenge_index, proof)
    }

    fn kind(&self) -> ProofOfSpaceKind {
        self.inner.kind()
    }
}

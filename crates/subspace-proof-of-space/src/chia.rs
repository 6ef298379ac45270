//! The proof of space of the network.

use crate::bucket::{BUCKET_LIMIT, BucketTooFull};
use crate::builder::{Plan, Workspace, build};
use crate::kernel::{Kernel, Portable};
use crate::simd::SimdLevel;
use crate::table::{PackedTable, TableMemory};
use crate::unbounded::UnboundedTable;
use crate::{PosTable, ProofOfSpace, ProofOfSpaceKind};
use rayon::ThreadPool;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use subspace_core_primitives::pos::{PosProof, PosSeed};

/// Chia-derived proof of space with K = 20.
///
/// A table takes about 25 MB and another 35 MB while it is being made. Both are kept for the next table, at most one set of each
/// for every core of the machine.
pub struct ChiaProofOfSpace {
    level: SimdLevel,
    bucket_limit: usize,
    idle_workspaces: Pool<Workspace>,
    idle_tables: Arc<Pool<TableMemory>>,
}

/// Evaluates an expression with the kernel of a level.
macro_rules! with_kernel {
    ($level:expr, $kernel:ident => $expression:expr) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 if let Some($kernel) = crate::lanes::Avx512::detect() => $expression,
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 if let Some($kernel) = crate::lanes::Avx2::detect() => $expression,
            _ => {
                let $kernel = Portable;
                $expression
            }
        }
    };
}

/// Things to be used again, at most one for every core.
struct Pool<T> {
    idle: Mutex<Vec<T>>,
    limit: usize,
}

impl<T> Pool<T> {
    fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            limit: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// One that suits.
    fn take(&self, suits: impl Fn(&T) -> bool) -> Option<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let index = idle.iter().position(suits)?;
        Some(idle.swap_remove(index))
    }

    fn give_back(&self, thing: T) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.limit {
            idle.push(thing);
        }
    }
}

/// A table that leaves its memory to the next one.
struct PooledTable {
    table: PackedTable,
    level: SimdLevel,
    idle_tables: Arc<Pool<TableMemory>>,
}

impl PosTable for PooledTable {
    fn find_proof(&self, challenge_index: u32) -> Option<PosProof> {
        self.table.find_proof(challenge_index)
    }

    fn for_each_proof_hash(&self, challenge_indexes: &[u32], each: &mut dyn FnMut(usize, &[u8; 32])) {
        with_kernel!(self.level, kernel => self.table.for_each_proof_hash(kernel, challenge_indexes, each));
    }
}

impl Drop for PooledTable {
    fn drop(&mut self) {
        self.idle_tables.give_back(self.table.take_memory());
    }
}

impl ChiaProofOfSpace {
    /// With the fastest code this processor supports, unless the environment variable `AUTONOMYS_SIMD` names another one that
    /// it supports (`portable`, `avx2`, `avx512`).
    pub fn new() -> Self {
        Self::with_limits(SimdLevel::from_environment(), BUCKET_LIMIT)
    }

    /// With code for `level`; `None` when this processor does not support it. All levels give identical results.
    pub fn with_simd_level(level: SimdLevel) -> Option<Self> {
        level
            .is_supported()
            .then(|| Self::with_limits(level, BUCKET_LIMIT))
    }

    fn with_limits(level: SimdLevel, bucket_limit: usize) -> Self {
        Self {
            level,
            bucket_limit,
            idle_workspaces: Pool::new(),
            idle_tables: Arc::new(Pool::new()),
        }
    }

    /// What tables are made with.
    pub fn simd_level(&self) -> SimdLevel {
        self.level
    }

    /// Like [`ProofOfSpace::create_table`], but the table answers **every** challenge index, not only those of s-buckets. It
    /// takes 8 MB more and somewhat longer; the protocol needs no such table.
    pub fn create_full_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        self.create(seed, None, true)
    }

    fn create(&self, seed: &PosSeed, pool: Option<&ThreadPool>, full: bool) -> Box<dyn PosTable> {
        match self.create_packed(seed, pool, full) {
            Ok(table) => Box::new(PooledTable {
                table,
                level: self.level,
                idle_tables: Arc::clone(&self.idle_tables),
            }),
            Err(BucketTooFull) => Box::new(UnboundedTable::create(seed)),
        }
    }

    fn create_packed(
        &self,
        seed: &PosSeed,
        pool: Option<&ThreadPool>,
        full: bool,
    ) -> Result<PackedTable, BucketTooFull> {
        let threads = pool.map_or(1, ThreadPool::current_num_threads);
        let mut workspace = self
            .idle_workspaces
            .take(|workspace| workspace.suits(threads))
            .unwrap_or_else(|| Workspace::new(threads));
        workspace.table_memory = self.idle_tables.take(|_| true).unwrap_or_default();
        let plan = Plan {
            pool,
            bucket_limit: self.bucket_limit,
            full,
        };
        let observe = |_, _: &[_]| {};
        let table = with_kernel!(self.level, kernel => build(kernel, seed, &mut workspace, &plan, observe));
        self.idle_workspaces.give_back(workspace);
        table
    }
}

impl Default for ChiaProofOfSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ChiaProofOfSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChiaProofOfSpace")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl ProofOfSpace for ChiaProofOfSpace {
    fn create_table(&self, seed: &PosSeed) -> Box<dyn PosTable> {
        self.create(seed, None, false)
    }

    fn create_table_parallel(&self, seed: &PosSeed, pool: &ThreadPool) -> Box<dyn PosTable> {
        self.create(seed, Some(pool), false)
    }

    fn is_proof_valid(&self, seed: &PosSeed, challenge_index: u32, proof: &PosProof) -> bool {
        with_kernel!(self.level, kernel => kernel.is_proof_valid(seed, challenge_index, proof))
    }

    fn kind(&self) -> ProofOfSpaceKind {
        ProofOfSpaceKind::Chia
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::tests::pool;

    #[test]
    fn seeds_with_too_full_buckets_get_the_same_proofs() {
        let seed = PosSeed::from([9; 32]);
        let level = SimdLevel::best();
        let fast = ChiaProofOfSpace::with_limits(level, BUCKET_LIMIT);
        // Every seed has buckets with more than 300 entries.
        let limited = ChiaProofOfSpace::with_limits(level, 300);
        assert!(limited.create_packed(&seed, None, false).is_err());
        let threads = pool(2);
        assert!(limited.create_packed(&seed, Some(&threads), false).is_err());
        let table = limited.create_table(&seed);

        let full = fast.create_full_table(&seed);
        let parallel = fast.create_table_parallel(&seed, &threads);
        let mut found = 0;
        for s_bucket in 0..1 << 16 {
            let proof = full.find_proof(s_bucket);
            assert_eq!(table.find_proof(s_bucket), proof, "s-bucket {s_bucket}");
            assert_eq!(parallel.find_proof(s_bucket), proof, "s-bucket {s_bucket}");
            found += usize::from(proof.is_some());
        }
        assert!(found > 32_768, "{found}");
        for index in (0..100_000_u32).map(|index| index.wrapping_mul(0x9e37_79b9)) {
            assert_eq!(table.find_proof(index), full.find_proof(index), "index {index}");
        }
    }

    #[test]
    fn memory_is_reused_and_its_amount_is_limited() {
        let proof_of_space = ChiaProofOfSpace::new();
        let idle = |expected| {
            assert_eq!(
                proof_of_space.idle_workspaces.idle.lock().unwrap().len(),
                expected
            );
            assert_eq!(proof_of_space.idle_tables.idle.lock().unwrap().len(), expected);
        };
        let proofs =
            |table: Box<dyn PosTable>| (0..1000).map(|s_bucket| table.find_proof(s_bucket)).collect();
        let seed = PosSeed::from([5; 32]);
        let first: Vec<_> = proofs(proof_of_space.create_table(&seed));
        // A table of another seed in between, so that nothing right is left over.
        proof_of_space.create_table(&PosSeed::from([6; 32]));
        assert_eq!(proofs(proof_of_space.create_table(&seed)), first);
        assert!(first.iter().flatten().count() > 400);
        idle(1);
        let limit = proof_of_space.idle_tables.limit;
        for _ in 0..limit + 3 {
            proof_of_space.idle_workspaces.give_back(Workspace::new(1));
            proof_of_space.idle_tables.give_back(TableMemory::default());
        }
        idle(limit);
    }
}

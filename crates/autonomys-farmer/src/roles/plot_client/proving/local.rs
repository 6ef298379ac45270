//! Proofs on this machine: one at a time, since each uses all threads.

use crate::args::kzg::precompute;
use crate::roles::chain::Arithmetic;
use autonomys_cluster::journal::MissReason;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::pos::PosSeed;
use subspace_farmer_components::proving::{ProofPart, ProofRequest, prove_with_table};
use subspace_proof_of_space::PosTable;
use tokio::sync::OwnedMutexGuard;

/// What a proof takes before one was made here.
const FIRST_GUESS: Duration = Duration::from_millis(1500);

/// Makes proofs; cheap to clone.
#[derive(Clone)]
pub(super) struct LocalProver {
    arithmetic: Arithmetic,
    pool: Arc<rayon::ThreadPool>,
    /// Held while a proof is made.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What the last proof took, without the wait for the turn.
    last: Arc<Mutex<Option<Duration>>>,
}

/// A proof that has begun: its table is made, the record's chunks may still be on their way.
pub(super) struct Begun {
    table: Box<dyn PosTable>,
    took: Duration,
    turn: OwnedMutexGuard<()>,
}

impl LocalProver {
    pub(super) fn new(arithmetic: Arithmetic, pool: Arc<rayon::ThreadPool>) -> Self {
        Self {
            arithmetic,
            pool,
            turn: Arc::default(),
            last: Arc::default(),
        }
    }

    /// Has the tables of the KZG parameters made or loaded, in the background: without them a proof takes several times as long.
    pub(super) fn warm_up(&self) {
        let this = self.clone();
        tokio::task::spawn_blocking(move || precompute(&this.arithmetic.kzg, &this.pool));
    }

    /// What a proof takes here.
    pub(super) fn estimate(&self) -> Duration {
        self.last.lock().unwrap_or(FIRST_GUESS)
    }

    /// Waits for the turn, until `finish_by` at most, and makes the table, for which nothing has to be read.
    pub(super) async fn begin(&self, seed: PosSeed, finish_by: Instant) -> Result<Begun, MissReason> {
        let waiting = Arc::clone(&self.turn).lock_owned();
        let Ok(turn) = tokio::time::timeout_at(finish_by.into(), waiting).await else {
            return Err(MissReason::NoTimeLeft);
        };
        let this = self.clone();
        let table = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let table = this
                .arithmetic
                .proof_of_space
                .create_table_parallel(&seed, &this.pool);
            Begun {
                table,
                took: started.elapsed(),
                turn,
            }
        });
        table
            .await
            .map_err(|error| MissReason::proof_failed(format!("the table: {error}")))
    }

    /// Makes the proof once the chunks are here.
    pub(super) async fn finish(
        &self,
        begun: Begun,
        request: Arc<ProofRequest>,
    ) -> Result<ProofPart, MissReason> {
        let this = self.clone();
        let proof = tokio::task::spawn_blocking(move || {
            let Begun { table, took, turn } = begun;
            let started = Instant::now();
            let Arithmetic {
                kzg, erasure_coding, ..
            } = &this.arithmetic;
            let proof = prove_with_table(&request, table, kzg, erasure_coding, &this.pool);
            *this.last.lock() = Some(took + started.elapsed());
            drop(turn);
            proof
        });
        proof
            .await
            .map_err(|error| MissReason::proof_failed(format!("proving crashed: {error}")))?
            .map_err(MissReason::proof_failed)
    }
}

//! From a winning chunk to a solution: by a proof-server, or here when none answers in time.

use super::Shared;
use crate::args::reward_address::RewardAddress;
use anyhow::{Context, Result, bail};
use autonomys_cluster::messages::ProofRequest as ProofMessage;
use autonomys_cluster::{Cluster, RequestError};
use autonomys_farm::{Farm, WinningSector};
use parity_scale_codec::{DecodeAll, Encode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::solutions::Solution;
use subspace_farmer_components::proving::{ProofPart, ProofRequest, ProvableCandidate, prove};
use tokio::sync::Mutex;

/// Time that is kept for sending the solution.
const SUBMIT_RESERVE: Duration = Duration::from_millis(200);
/// Time that is kept for proving here when no proof-server answers; a first guess, replaced by what the last proof took.
const LOCAL_PROOF_RESERVE: Duration = Duration::from_millis(1500);

/// Makes proofs.
pub(super) struct Prover {
    cluster: Cluster,
    shared: Arc<Shared>,
    /// What the last local proof took; held while one is made, since each uses all threads.
    local: Arc<Mutex<Duration>>,
}

impl Prover {
    pub(super) fn new(cluster: Cluster, shared: Arc<Shared>) -> Self {
        Self {
            cluster,
            shared,
            local: Arc::new(Mutex::new(LOCAL_PROOF_RESERVE)),
        }
    }

    /// The solution for one winning chunk, or why there is none in time.
    pub(super) async fn solution(
        &self,
        farm: &Arc<Farm>,
        sector: &Arc<WinningSector>,
        candidate: &ProvableCandidate,
        reward_address: RewardAddress,
        deadline: Instant,
    ) -> Result<Solution> {
        let kind = self.shared.arithmetic.proof_of_space.kind();
        let input = {
            let (farm, sector, candidate) = (Arc::clone(farm), Arc::clone(sector), *candidate);
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || {
                farm.read_proof_input(&sector, &candidate, kind, Some(&shared.pool))
            })
            .await
            .context("reading a record crashed")??
        };
        let proof = self.proof(input.request, deadline).await?;
        Ok(input
            .solution_part
            .into_solution(farm.public_key(), reward_address.0, &proof))
    }

    async fn proof(&self, request: ProofRequest, deadline: Instant) -> Result<ProofPart> {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .saturating_sub(SUBMIT_RESERVE);
        let local_reserve = match self.local.try_lock() {
            Ok(last) => (*last).min(left / 2),
            // Somebody proves here already: this one has to come from a proof-server.
            Err(_) => Duration::ZERO,
        };
        match self.remote(&request, left.saturating_sub(local_reserve)).await {
            Ok(proof) => return Ok(proof),
            Err(RequestError::NoResponders { .. }) => tracing::debug!("no proof-server, proving here"),
            Err(error) => tracing::warn!(%error, "no proof from a proof-server, proving here"),
        }
        self.here(request, deadline).await
    }

    async fn remote(&self, request: &ProofRequest, within: Duration) -> Result<ProofPart, RequestError> {
        let message = ProofMessage {
            payload: request.encode(),
        };
        let reply = self.cluster.queue_request_within(&message, within).await?;
        ProofPart::decode_all(&mut reply.payload.as_slice()).map_err(|error| RequestError::Refused {
            what: "proof".to_string(),
            refusal: autonomys_cluster::Refusal::Failed(format!("the proof does not decode: {error}")),
        })
    }

    async fn here(&self, request: ProofRequest, deadline: Instant) -> Result<ProofPart> {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(mut last) = tokio::time::timeout(left, Arc::clone(&self.local).lock_owned()).await else {
            bail!("earlier winners took all the time");
        };
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let proof = tokio::task::spawn_blocking(move || {
            let arithmetic = &shared.arithmetic;
            prove(
                &request,
                &arithmetic.kzg,
                &arithmetic.erasure_coding,
                &*arithmetic.proof_of_space,
                &shared.pool,
            )
        })
        .await
        .context("proving crashed")??;
        *last = started.elapsed();
        Ok(proof)
    }
}

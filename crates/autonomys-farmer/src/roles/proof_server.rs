//! proof-server: turns the record of a winning chunk into the proof part of a solution.
//!
//! A member of the queue group of proofs: NATS hands each request to one server that listens. One proof uses all compute threads, so
//! they are made one after the other. A request is looked at before anything is computed, and refused at once with the reason when it is
//! wrong, when it could not be done in the time that it names, or when another one waits already; the plot-client then asks
//! another server or proves by itself.

mod workload;

use super::chain::{Arithmetic, Chain, available_processors, bound_pool};
use super::context::{DataPlaneTls, RoleContext};
use super::machine::AffinityArgs;
use super::priority::Priority;
use crate::args::kzg::{self, KzgArgs};
use crate::args::nats::NatsArgs;
use anyhow::Result;
use autonomys_cluster::members::RoleStatus;
use autonomys_cluster::messages::{ProofReply, ProofRequest};
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{Cluster, InstanceId, Refusal, Role, ServeLimits, Service};
use autonomys_topology::Affinity;
use clap::Args;
use parity_scale_codec::Encode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_farmer_components::proving;
use tokio_util::sync::CancellationToken;
use workload::Workload;

/// One proof in the making with all threads, one that waits: a third would be late for its slot anyway. Two requests of 1 MiB are all the
/// memory that waiting takes. Requests are not queued before they are looked at, so that their time runs from the moment they arrive.
const PROOFS: ServeLimits = ServeLimits {
    concurrency: 2,
    backlog: 0,
};

/// Options of the proof-server.
#[derive(Debug, Args)]
pub(crate) struct ProofServerArgs {
    /// Compute threads [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    pub(super) affinity: AffinityArgs,
    #[command(flatten)]
    kzg: KzgArgs,
}

struct Prover {
    instance: InstanceId,
    arithmetic: Arithmetic,
    pool: Arc<rayon::ThreadPool>,
    workload: Workload,
}

/// Runs the role. It owns nothing, so it keeps no identity either.
pub(crate) async fn run(
    nats: &NatsArgs,
    args: ProofServerArgs,
    affinity: Affinity,
    cancel: CancellationToken,
) -> Result<()> {
    let started = RoleContext::start(
        nats,
        Role::ProofServer,
        None,
        DataPlaneTls::default(),
        cancel.clone(),
    )
    .await?;
    let Some(context) = started else { return Ok(()) };
    let settings = Settings::open(&context.cluster).await?;
    let Some(chain) = Chain::wait(&settings, &cancel).await? else {
        return context.leave().await;
    };
    let pool = bound_pool(
        "prove",
        args.threads.map_or_else(available_processors, usize::from),
        affinity,
        Priority::Normal,
    )?;
    let arithmetic = Arithmetic::load(chain, &args.kzg, &pool).await?;
    let prover = Arc::new(Prover {
        instance: context.instance(),
        arithmetic,
        pool,
        workload: Workload::default(),
    });
    prover.warm_up().await?;

    let mut load = prover.workload.watch();
    // Proofs have a connection of their own: a megabyte in transit delays no announcement.
    let connection = context.cluster.dedicated_connection("proofs").await?;
    let mut service = Some(serve(&connection, &prover).await?);
    let mut draining = context.draining();
    super::chain::say_that_gpus_are_not_used();
    tracing::info!("ready to prove");
    loop {
        let now = *load.borrow_and_update();
        context.update(|member| {
            if let RoleStatus::ProofServer(status) = &mut member.status {
                status.slots = 1;
                status.busy = now.requests;
                status.proofs = now.made;
            }
        });
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = load.changed() => changed?,
            Ok(()) = draining.changed() => {
                let wanted = *draining.borrow_and_update();
                if !wanted && service.is_none() {
                    service = Some(serve(&connection, &prover).await?);
                } else if wanted && let Some(service) = service.take() {
                    // Out of the queue group: the others get what comes.
                    service.drain().await;
                }
            }
        }
    }
    if let Some(service) = service {
        service.drain().await;
    }
    context.leave().await
}

/// Joins the queue group of proofs.
async fn serve(connection: &Cluster, prover: &Arc<Prover>) -> Result<Service> {
    let prover = Arc::clone(prover);
    let handler = move |request: ProofRequest| {
        let prover = Arc::clone(&prover);
        async move {
            prover.prove(request).await.inspect_err(|refusal| {
                tracing::warn!("a proof was refused: {refusal}");
            })
        }
    };
    Ok(connection.serve_queue(PROOFS, handler).await?)
}

impl Prover {
    /// Loads or builds the fixed-base tables, so that the first proof is as fast as the others.
    async fn warm_up(self: &Arc<Self>) -> Result<()> {
        let prover = Arc::clone(self);
        tokio::task::spawn_blocking(move || kzg::precompute(&prover.arithmetic.kzg, &prover.pool)).await?;
        Ok(())
    }

    async fn prove(self: &Arc<Self>, request: ProofRequest) -> Result<ProofReply, Refusal> {
        let received = Instant::now();
        let finish_by = received + Duration::from_millis(request.within_ms.into());
        let prover = Arc::clone(self);
        // Decoding copies a megabyte, and a commitment is a point that has to be checked.
        let request = tokio::task::spawn_blocking(move || prover.check(&request.payload))
            .await
            .map_err(crashed)??;
        let proving::ProofRequest::V0(parts) = &request;
        let place = self.workload.enter((parts.seed, parts.s_bucket), finish_by)?;
        let turn = place.turn().await?;
        let prover = Arc::clone(self);
        let proof = tokio::task::spawn_blocking(move || -> Result<_, Refusal> {
            let Arithmetic {
                kzg,
                erasure_coding,
                proof_of_space,
            } = &prover.arithmetic;
            let proof = proving::prove(&request, kzg, erasure_coding, &**proof_of_space, &prover.pool)
                .map_err(|error| Refusal::Failed(error.to_string()))?;
            let took = turn.done();
            tracing::info!(
                milliseconds = took.as_millis(),
                after_ms = received.elapsed().as_millis(),
                "proof made"
            );
            Ok(proof)
        });
        let proof = proof.await.map_err(crashed)??;
        drop(place);
        Ok(ProofReply {
            server: self.instance,
            payload: proof.encode(),
        })
    }

    /// Everything that can be wrong with a request, before any work.
    fn check(&self, payload: &[u8]) -> Result<proving::ProofRequest, Refusal> {
        let request = proving::ProofRequest::from_bytes(payload)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        proving::check_request(&request, self.arithmetic.proof_of_space.kind())
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        Ok(request)
    }
}

fn crashed(error: tokio::task::JoinError) -> Refusal {
    Refusal::Failed(error.to_string())
}

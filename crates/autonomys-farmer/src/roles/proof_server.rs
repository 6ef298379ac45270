//! proof-server: turns the record of a winning chunk into the proof part of a solution.
//!
//! A member of the queue group of proofs: NATS hands each request to one server that listens. One proof uses all compute threads, so
//! they are made one after the other; a request that would have to wait too long is refused at once, and the plot-client proves
//! by itself.

use super::chain::{Arithmetic, Chain, available_processors, compute_pool};
use super::context::{DataPlaneTls, RoleContext};
use super::priority::Priority;
use crate::args::kzg::{self, KzgArgs};
use crate::args::nats::NatsArgs;
use anyhow::Result;
use autonomys_cluster::members::RoleStatus;
use autonomys_cluster::messages::{ProofReply, ProofRequest};
use autonomys_cluster::settings::Settings;
use autonomys_cluster::{Refusal, Role, ServeLimits};
use clap::Args;
use parity_scale_codec::Encode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use subspace_farmer_components::proving;
use tokio_util::sync::CancellationToken;

/// One proof at a time with all threads, one waiting: a third would be late for its slot anyway. Two requests of 1 MiB are all the memory
/// that waiting takes.
const PROOFS: ServeLimits = ServeLimits {
    concurrency: 1,
    backlog: 1,
};

/// Options of the proof-server.
#[derive(Debug, Args)]
pub(crate) struct ProofServerArgs {
    /// Compute threads [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    kzg: KzgArgs,
}

struct Prover {
    arithmetic: Arithmetic,
    pool: Arc<rayon::ThreadPool>,
    made: AtomicU64,
}

/// Runs the role. It owns nothing, so it keeps no identity either.
pub(crate) async fn run(nats: &NatsArgs, args: ProofServerArgs, cancel: CancellationToken) -> Result<()> {
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
    let pool = compute_pool(
        "prove",
        args.threads.map_or_else(available_processors, usize::from),
        Priority::Normal,
    )?;
    let arithmetic = Arithmetic::load(chain, &args.kzg, &pool).await?;
    let prover = Arc::new(Prover {
        arithmetic,
        pool,
        made: AtomicU64::new(0),
    });
    prover.warm_up().await?;

    let (sender, mut proofs) = tokio::sync::watch::channel(0_u64);
    // Proofs have a connection of their own: a megabyte in transit delays no announcement.
    let connection = context.cluster.dedicated_connection("proofs").await?;
    let service = connection
        .serve_queue(PROOFS, move |request: ProofRequest| {
            let (prover, sender) = (Arc::clone(&prover), sender.clone());
            async move {
                let reply = prover.prove(request).await;
                sender.send_replace(prover.made.load(Ordering::Relaxed));
                reply
            }
        })
        .await?;
    super::chain::say_that_gpus_are_not_used();
    tracing::info!("ready to prove");
    loop {
        let made = *proofs.borrow_and_update();
        context.update(|member| {
            if let RoleStatus::ProofServer(status) = &mut member.status {
                status.slots = 1;
                status.proofs = made;
            }
        });
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = proofs.changed() => changed?,
        }
    }
    service.drain().await;
    context.leave().await
}

impl Prover {
    /// Loads or builds the fixed-base tables, so that the first proof is as fast as the others.
    async fn warm_up(self: &Arc<Self>) -> Result<()> {
        let prover = Arc::clone(self);
        tokio::task::spawn_blocking(move || kzg::precompute(&prover.arithmetic.kzg, &prover.pool)).await?;
        Ok(())
    }

    async fn prove(self: &Arc<Self>, request: ProofRequest) -> Result<ProofReply, Refusal> {
        let prover = Arc::clone(self);
        let crashed = |error: tokio::task::JoinError| Refusal::Failed(error.to_string());
        tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let request = proving::ProofRequest::from_bytes(&request.payload)
                .map_err(|error| Refusal::Invalid(error.to_string()))?;
            let Arithmetic {
                kzg,
                erasure_coding,
                proof_of_space,
            } = &prover.arithmetic;
            let proof = proving::prove(&request, kzg, erasure_coding, &**proof_of_space, &prover.pool)
                .map_err(|error| Refusal::Failed(error.to_string()))?;
            prover.made.fetch_add(1, Ordering::Relaxed);
            tracing::info!(milliseconds = started.elapsed().as_millis(), "proof made");
            Ok(ProofReply {
                payload: proof.encode(),
            })
        })
        .await
        .map_err(crashed)?
    }
}

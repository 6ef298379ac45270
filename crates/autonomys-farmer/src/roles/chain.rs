//! What every role has to know of the chain, and the arithmetic that goes with it.

use super::priority::Priority;
use crate::args::kzg::KzgArgs;
use anyhow::{Context, Result, bail};
use autonomys_cluster::settings::{ChainSettings, Settings};
use autonomys_node_rpc::NodeClient;
use autonomys_topology::Affinity;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_erasure_coding::ErasureCoding;
use subspace_kzg::Kzg;
use subspace_kzg::reference_string::ReferenceStringKind;
use subspace_proof_of_space::{ProofOfSpace, ProofOfSpaceKind, proof_of_space};
use tokio_util::sync::CancellationToken;

/// How often a role without a controller looks again.
const CHAIN_POLL: Duration = Duration::from_millis(500);
/// A role says every so often that it waits for a controller.
const POLLS_PER_REMINDER: u32 = 20;

/// The chain of the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) genesis_hash: Blake3Hash,
    /// Calls itself a development chain.
    pub(crate) development: bool,
    pub(crate) proof_of_space: ProofOfSpaceKind,
    pub(crate) kzg: ReferenceStringKind,
}

impl Chain {
    /// The chain of a node. Only a development chain may be made of anything but what the network uses.
    pub(crate) async fn of_node(node: &NodeClient, genesis_hash: Blake3Hash) -> Result<Self> {
        let development = node.is_development_chain().await?;
        let properties = node.properties().await?;
        let property = |name: &str| {
            properties
                .get(name)
                .and_then(|value| value.as_str())
                .filter(|_| development)
        };
        let settings = ChainSettings {
            development,
            proof_of_space: property("proofOfSpace")
                .map_or_else(|| ProofOfSpaceKind::Chia.to_string(), str::to_string),
            insecure_kzg: property("kzgParameters") == Some("insecure-development"),
        };
        Self::from_settings(genesis_hash, &settings)
    }

    /// As the cluster's settings have it.
    pub(crate) fn to_settings(self) -> ChainSettings {
        ChainSettings {
            development: self.development,
            proof_of_space: self.proof_of_space.to_string(),
            insecure_kzg: self.kzg == ReferenceStringKind::InsecureDevelopment,
        }
    }

    fn from_settings(genesis_hash: Blake3Hash, settings: &ChainSettings) -> Result<Self> {
        let name = &settings.proof_of_space;
        let proof_of_space: ProofOfSpaceKind = name.parse().with_context(|| {
            format!("this release does not know the chain's proof of space {name:?}; update it")
        })?;
        let insecure = settings.insecure_kzg || proof_of_space != ProofOfSpaceKind::Chia;
        if insecure && !settings.development {
            bail!(
                "the chain is no development chain but is said to use test parameters, which prove nothing; check the node"
            );
        }
        let kzg = if settings.insecure_kzg {
            ReferenceStringKind::InsecureDevelopment
        } else {
            ReferenceStringKind::Mainnet
        };
        Ok(Self {
            genesis_hash,
            development: settings.development,
            proof_of_space,
            kzg,
        })
    }

    /// Waits until a controller has recorded the chain; `None` when told to stop meanwhile.
    pub(crate) async fn wait(settings: &Settings, cancel: &CancellationToken) -> Result<Option<Self>> {
        let mut polls = 0_u32;
        loop {
            // An unreachable NATS is as good as no controller: wait for it.
            let known = match (settings.genesis().await, settings.chain().await) {
                (Ok(Some(genesis_hash)), Ok(Some(chain))) => {
                    return Self::from_settings(genesis_hash, &chain).map(Some);
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
                _ => Ok(()),
            };
            if polls.is_multiple_of(POLLS_PER_REMINDER) {
                match known {
                    Ok(()) => tracing::info!("waiting for a controller"),
                    Err(error) => tracing::warn!(%error, "waiting for NATS"),
                }
            }
            polls = polls.wrapping_add(1);
            tokio::select! {
                () = tokio::time::sleep(CHAIN_POLL) => {}
                () = cancel.cancelled() => return Ok(None),
            }
        }
    }
}

/// Commitments, erasure coding and proofs of space of the chain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Arithmetic {
    pub(crate) kzg: Kzg,
    pub(crate) erasure_coding: ErasureCoding,
    pub(crate) proof_of_space: Arc<dyn ProofOfSpace>,
}

impl Arithmetic {
    /// Loads what the chain needs; half a second of computation on the pool, off the runtime.
    pub(crate) async fn load(chain: Chain, kzg: &KzgArgs, pool: &Arc<rayon::ThreadPool>) -> Result<Self> {
        let (kzg, pool) = (kzg.clone(), Arc::clone(pool));
        tokio::task::spawn_blocking(move || {
            Ok(Self {
                kzg: kzg.load(chain.kzg, &pool)?,
                erasure_coding: erasure_coding(),
                proof_of_space: proof_of_space(chain.proof_of_space),
            })
        })
        .await?
    }
}

/// Erasure coding of records: up to 2^16 chunks.
pub(crate) fn erasure_coding() -> ErasureCoding {
    /// Base-two logarithm of the chunks of an extended record.
    const SCALE: NonZeroUsize = NonZeroUsize::new(16).expect("is not zero");
    ErasureCoding::new(SCALE).expect("the scale of records is within the limit")
}

/// A pool of compute threads; `name` shows in the system's thread list.
pub(crate) fn compute_pool(
    name: &'static str,
    threads: usize,
    priority: Priority,
) -> Result<Arc<rayon::ThreadPool>> {
    bound_pool(name, threads, Affinity::unbound("anywhere"), priority)
}

/// The same with threads that are bound to where the process is to compute.
pub(crate) fn bound_pool(
    name: &'static str,
    threads: usize,
    affinity: Affinity,
    priority: Priority,
) -> Result<Arc<rayon::ThreadPool>> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |number| format!("{name}-{number}"))
        .start_handler(move |number| {
            priority.apply_to_this_thread();
            if let Err(error) = affinity.bind_thread(number, threads) {
                // It computes all the same, only further from its memory.
                tracing::warn!(%error, "a compute thread could not be bound to its NUMA node");
            }
        })
        .build()
        .map(Arc::new)
        .context("cannot start compute threads")
}

/// How many processors this process may use: those of its topology, fewer when a container has only a share of their time.
pub(crate) fn available_processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Operators set these for GPUs; this release computes on CPUs, and says so instead of leaving them to wonder.
pub(crate) fn say_that_gpus_are_not_used() {
    for variable in ["CUDA_VISIBLE_DEVICES", "GPU_CONCURRENCY"] {
        if let Some(value) = std::env::var_os(variable) {
            tracing::warn!(
                "{variable}={} has no effect: this release computes on the CPU",
                value.to_string_lossy()
            );
        }
    }
}

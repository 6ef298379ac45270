//! From a winning chunk to a solution within the slot's time: by a proof-server, by a second one when the first takes unusually long, and
//! here when neither answers while there is still time for it.

mod latencies;
mod local;

use super::Shared;
use super::auditing::Winner;
use super::slot::Slot;
use autonomys_cluster::journal::{MissReason, ProvedBy};
use autonomys_cluster::members::MembersView;
use autonomys_cluster::messages::ProofRequest as ProofMessage;
use autonomys_cluster::{Cluster, Refusal, RequestError, Role};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use latencies::Latencies;
use local::LocalProver;
use parity_scale_codec::{DecodeAll, Encode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::solutions::Solution;
use subspace_farmer_components::proving::{ProofInput, ProofPart, ProofRequest};
use tokio::time::sleep_until;

/// Time that is kept for recording and sending the solution.
const SUBMIT_RESERVE: Duration = Duration::from_millis(200);
/// Proof-servers asked for one proof: each further one costs a megabyte and maybe a proof for nothing.
const MAX_ASKED: usize = 3;

/// Makes solutions.
pub(super) struct Prover {
    cluster: Cluster,
    members: MembersView,
    shared: Arc<Shared>,
    latencies: Mutex<Latencies>,
    local: LocalProver,
}

/// A solution, and when it came to its parts.
pub(super) struct Proved {
    pub(super) solution: Solution,
    pub(super) read: Instant,
    pub(super) proved: Instant,
    pub(super) proved_by: ProvedBy,
}

type Made = (ProofPart, ProvedBy);

impl Prover {
    /// `cluster` is a connection for proof requests only: a megabyte in transit delays nothing else.
    pub(super) fn new(cluster: Cluster, members: MembersView, shared: Arc<Shared>) -> Self {
        let local = LocalProver::new(shared.arithmetic.clone(), Arc::clone(&shared.pool));
        local.warm_up();
        Self {
            cluster,
            members,
            local,
            shared,
            latencies: Mutex::default(),
        }
    }

    /// The solution for one winning chunk, or why there is none in time.
    pub(super) async fn solution(&self, slot: &Slot, winner: &Winner) -> Result<Proved, MissReason> {
        let finish_by = slot.deadline.checked_sub(SUBMIT_RESERVE).unwrap_or(slot.deadline);
        let servers = self.proof_servers();
        let (input, read, made) = if servers == 0 {
            // The table is made while the chunks are read.
            let seed = winner.sector.evaluation_seed(&winner.candidate);
            let begin = self.local.begin(seed, finish_by);
            let (begun, input) = tokio::join!(begin, self.read(winner, finish_by));
            let (input, read) = (input?, Instant::now());
            let proof = self.local.finish(begun?, Arc::clone(&input.0)).await?;
            (input, read, (proof, ProvedBy::PlotClient))
        } else {
            let input = self.read(winner, finish_by).await?;
            let read = Instant::now();
            let made = Attempt {
                prover: self,
                request: Arc::clone(&input.0),
                servers,
                finish_by,
            };
            let made = made.run().await?;
            (input, read, made)
        };
        let proved = Instant::now();
        if proved >= slot.deadline {
            return Err(MissReason::ProofTooLate);
        }
        let (proof, proved_by) = made;
        let solution = input
            .1
            .into_solution(winner.farm.public_key(), self.shared.reward_address.0, &proof);
        Ok(Proved {
            solution,
            read,
            proved,
            proved_by,
        })
    }

    /// Proof-servers that take work.
    fn proof_servers(&self) -> usize {
        let members = self.members.current();
        members
            .role(Role::ProofServer)
            .filter(|member| !member.draining)
            .count()
    }

    /// Reads what the proof needs. A disk that hangs takes no longer than there is time.
    async fn read(&self, winner: &Winner, finish_by: Instant) -> Result<ReadInput, MissReason> {
        let kind = self.shared.arithmetic.proof_of_space.kind();
        let reading = winner.read_proof_input(kind);
        match tokio::time::timeout_at(finish_by.into(), reading).await {
            Ok(Ok(ProofInput {
                request,
                solution_part,
            })) => Ok((Arc::new(request), solution_part)),
            Ok(Err(error)) => Err(MissReason::unreadable(error)),
            Err(_) => Err(MissReason::unreadable("the disk did not answer in time")),
        }
    }

    async fn ask(&self, request: &ProofRequest, finish_by: Instant) -> Result<Made, RequestError> {
        let asked = Instant::now();
        let within = finish_by.saturating_duration_since(asked);
        let message = ProofMessage {
            within_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            payload: request.encode(),
        };
        let reply = self.cluster.queue_request_within(&message, within).await?;
        let proof =
            ProofPart::decode_all(&mut reply.payload.as_slice()).map_err(|error| RequestError::Refused {
                what: "proof".to_string(),
                refusal: Refusal::Failed(format!("the proof does not decode: {error}")),
            })?;
        self.latencies.lock().add(asked.elapsed());
        Ok((proof, ProvedBy::ProofServer(reply.server)))
    }

    async fn here(&self, request: Arc<ProofRequest>, finish_by: Instant) -> Result<Made, MissReason> {
        let ProofRequest::V0(parts) = &*request;
        let begun = self.local.begin(parts.seed, finish_by).await?;
        let proof = self.local.finish(begun, request).await?;
        Ok((proof, ProvedBy::PlotClient))
    }
}

type ReadInput = (
    Arc<ProofRequest>,
    subspace_farmer_components::proving::SolutionPart,
);

/// One proof, wanted from whoever makes it first.
struct Attempt<'a> {
    prover: &'a Prover,
    request: Arc<ProofRequest>,
    servers: usize,
    finish_by: Instant,
}

impl Attempt<'_> {
    async fn run(self) -> Result<Made, MissReason> {
        let Self {
            prover,
            request,
            servers,
            finish_by,
        } = self;
        let unusual = prover.latencies.lock().unusual();
        let started = Instant::now();
        // The same margin as for others' answers: other work may be in the way.
        let local_takes = prover.local.estimate() * 3 / 2;
        let mut local_at = finish_by.checked_sub(local_takes).unwrap_or(started).max(started);
        let mut hedge_at = started + unusual;
        let may_ask = MAX_ASKED.min(servers.saturating_add(1));
        let mut asked = 1;
        let mut remote = FuturesUnordered::new();
        remote.push(prover.ask(&request, finish_by));
        let mut local = std::pin::pin!(None);
        let mut failed = None;
        loop {
            tokio::select! {
                Some(answer) = remote.next() => match answer {
                    Ok(made) => return Ok(made),
                    Err(error) => {
                        tracing::debug!(%error, "no proof from a proof-server");
                        // Another one may be free; if not, there is no reason to wait for the last moment.
                        if asked < may_ask && servers > 1 && is_anothers_turn(&error) {
                            asked += 1;
                            remote.push(prover.ask(&request, finish_by));
                        } else if remote.is_empty() {
                            local_at = Instant::now();
                        }
                    }
                },
                () = sleep_until(hedge_at.into()), if asked < may_ask && servers > 1 => {
                    tracing::debug!(after_ms = unusual.as_millis(), "a proof-server takes long, another one is asked");
                    asked += 1;
                    hedge_at = Instant::now() + unusual;
                    remote.push(prover.ask(&request, finish_by));
                }
                () = sleep_until(local_at.into()), if local.is_none() && failed.is_none() => {
                    tracing::debug!("proving here as well");
                    local.set(Some(prover.here(Arc::clone(&request), finish_by)));
                }
                outcome = async {
                    match local.as_mut().as_pin_mut() {
                        Some(proving) => proving.await,
                        None => std::future::pending().await,
                    }
                } => match outcome {
                    Ok(made) => return Ok(made),
                    // A proof-server may still do better, for instance when the turn here did not come.
                    Err(reason) => {
                        local.set(None);
                        failed = Some(reason);
                    }
                },
                () = sleep_until(finish_by.into()) => {
                    return Err(failed.unwrap_or(MissReason::ProofTooLate));
                }
            }
            if let Some(reason) = failed.take_if(|_| remote.is_empty()) {
                return Err(reason);
            }
        }
    }
}

/// Whether it makes sense to ask again at once: NATS picks any member of the group.
fn is_anothers_turn(error: &RequestError) -> bool {
    match error {
        RequestError::Refused { refusal, .. } => !matches!(refusal, Refusal::Invalid(_)),
        RequestError::NoResponders { .. } | RequestError::Timeout { .. } | RequestError::Transport(_) => {
            false
        }
    }
}

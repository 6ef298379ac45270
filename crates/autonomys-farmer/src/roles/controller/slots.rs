//! Slots out, solutions and signatures in: the traffic that nothing may delay.

use super::Shared;
use anyhow::Result;
use autonomys_cluster::messages::{
    FarmerAppInfoReply, FarmerAppInfoRequest, NodeReply, RewardSigningAnnouncement, SlotAnnouncement,
    SubmitRewardSignature, SubmitSolution,
};
use autonomys_cluster::{Cluster, Refusal, ServeLimits};
use autonomys_node_rpc::NodeRpcError;
use futures::StreamExt;

/// Solutions passed on at once: far more than a slot has mailbox places, few enough to matter to nobody.
const SOLUTIONS: ServeLimits = ServeLimits {
    concurrency: 64,
    backlog: 256,
};
/// Signatures passed on at once; one is expected for each block and vote.
const SIGNATURES: ServeLimits = ServeLimits {
    concurrency: 64,
    backlog: 256,
};
/// Askers for the chain's parameters; they are answered from a copy that is a second old at most.
const APP_INFO: ServeLimits = ServeLimits {
    concurrency: 16,
    backlog: 1024,
};

/// Runs until told to stop.
pub(super) async fn run(cluster: Cluster, shared: Shared) -> Result<()> {
    let solutions = serve_solutions(&cluster, &shared).await?;
    let signatures = serve_signatures(&cluster, &shared).await?;
    let app_info = serve_app_info(&cluster, &shared).await?;
    tokio::join!(
        announce_slots(&cluster, &shared),
        announce_signing(&cluster, &shared)
    );
    // What was received is still answered.
    tokio::join!(solutions.drain(), signatures.drain(), app_info.drain());
    Ok(())
}

async fn announce_slots(cluster: &Cluster, shared: &Shared) {
    let mut slots = shared.node.slot_info();
    while let Some(slot) = next(&mut slots, shared).await {
        let announcement = SlotAnnouncement {
            controller: shared.id,
            slot_info: slot.slot_info,
        };
        tracing::debug!(slot = slot.slot_info.slot_number, "slot");
        if let Err(error) = cluster.broadcast(&announcement).await {
            tracing::warn!(%error, slot = slot.slot_info.slot_number, "a slot could not be announced");
        }
    }
}

async fn announce_signing(cluster: &Cluster, shared: &Shared) {
    let mut requests = shared.node.reward_signing();
    while let Some(info) = next(&mut requests, shared).await {
        tracing::debug!(hash = %info.hash, "the node asks for a signature");
        if let Err(error) = cluster
            .broadcast(&RewardSigningAnnouncement {
                controller: shared.id,
                info,
            })
            .await
        {
            tracing::warn!(%error, "a request for a signature could not be announced");
        }
    }
}

async fn next<T>(stream: &mut (impl futures::Stream<Item = T> + Unpin), shared: &Shared) -> Option<T> {
    tokio::select! {
        item = stream.next() => item,
        () = shared.cancel.cancelled() => None,
    }
}

async fn serve_solutions(
    cluster: &Cluster,
    shared: &Shared,
) -> Result<autonomys_cluster::Service, autonomys_cluster::TransportError> {
    let node = shared.node.clone();
    cluster
        .serve(SOLUTIONS, move |request: SubmitSolution| {
            let node = node.clone();
            async move {
                let slot = request.response.slot_number;
                let reply = node_reply(node.submit_solution_response(&request.response).await)?;
                tracing::info!(
                    slot,
                    sector = request.response.solution.sector_index,
                    ?reply,
                    "solution"
                );
                Ok(reply)
            }
        })
        .await
}

async fn serve_signatures(
    cluster: &Cluster,
    shared: &Shared,
) -> Result<autonomys_cluster::Service, autonomys_cluster::TransportError> {
    let node = shared.node.clone();
    cluster
        .serve(SIGNATURES, move |request: SubmitRewardSignature| {
            let node = node.clone();
            async move { node_reply(node.submit_reward_signature(&request.response).await) }
        })
        .await
}

async fn serve_app_info(
    cluster: &Cluster,
    shared: &Shared,
) -> Result<autonomys_cluster::Service, autonomys_cluster::TransportError> {
    let (node, controller) = (shared.node.clone(), shared.id);
    cluster
        .serve_queue(APP_INFO, move |FarmerAppInfoRequest| {
            let node = node.clone();
            async move {
                let info = node
                    .recent_farmer_app_info()
                    .await
                    .map_err(|error| refusal(&error))?;
                Ok(FarmerAppInfoReply { controller, info })
            }
        })
        .await
}

/// What the farm is told. An unknown outcome is no reply at all: the farm must not try elsewhere.
fn node_reply(outcome: Result<(), NodeRpcError>) -> Result<NodeReply, Refusal> {
    match outcome {
        Ok(()) => Ok(NodeReply::Accepted),
        Err(NodeRpcError::Refused { code, message, .. }) => Ok(NodeReply::Refused { code, message }),
        Err(error) if error.is_outcome_unknown() => Err(refusal(&error)),
        Err(error) => {
            tracing::warn!(%error, "a solution or signature did not reach the node");
            Ok(NodeReply::NodeUnreachable)
        }
    }
}

fn refusal(error: &NodeRpcError) -> Refusal {
    Refusal::Failed(error.to_string())
}

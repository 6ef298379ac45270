//! Signs block and vote hashes for the controller that was given the solution.

use super::Shared;
use super::submitting::Submitter;
use anyhow::{Context, Result};
use autonomys_cluster::messages::{NodeReply, RewardSigningAnnouncement, SubmitRewardSignature};
use autonomys_cluster::{Cluster, ControllerId};
use futures::StreamExt;
use std::sync::Arc;
use subspace_core_primitives::rpc::RewardSignatureResponse;
use tokio::task::JoinSet;

/// Signatures on their way at once. One is asked for each block and vote; a controller that does not answer holds its place for
/// seconds and must not delay the others.
const IN_FLIGHT: usize = 32;

/// Runs until told to stop. The node waits half a second for a signature, so nothing is waited for here.
pub(super) async fn run(cluster: Cluster, shared: Arc<Shared>, submitter: Arc<Submitter>) -> Result<()> {
    let mut requests = cluster.subscribe::<RewardSigningAnnouncement>().await?;
    let mut deliveries = JoinSet::new();
    loop {
        let request = tokio::select! {
            () = shared.cancel.cancelled() => return Ok(()),
            Some(ended) = deliveries.join_next() => {
                ended.context("delivering a signature crashed")?;
                continue;
            }
            request = requests.next() => request.context("requests for signatures are not announced any more")?,
        };
        let public_key = request.info.public_key;
        let Some(identity) = shared.farms.identity(&public_key) else {
            continue;
        };
        if !submitter.may_sign(&public_key, request.controller) {
            // Every controller of the node announces it, also those that were given nothing: nothing is wrong with that.
            tracing::debug!(
                controller = %request.controller, hash = %request.info.hash,
                "not signed: that controller was given no solution of this farm lately"
            );
            continue;
        }
        if deliveries.len() >= IN_FLIGHT {
            tracing::warn!(hash = %request.info.hash, "not signed: {IN_FLIGHT} signatures are still on their way");
            continue;
        }
        let signature = identity.sign_reward_hash(&request.info.hash);
        let response = RewardSignatureResponse {
            hash: request.info.hash,
            signature: Some(signature),
        };
        deliveries.spawn(deliver(cluster.clone(), request.controller, response));
    }
}

async fn deliver(cluster: Cluster, controller: ControllerId, response: RewardSignatureResponse) {
    let hash = response.hash;
    match cluster
        .request(controller.instance(), &SubmitRewardSignature { response })
        .await
    {
        Ok(NodeReply::Accepted) => tracing::info!(%hash, "reward signed"),
        Ok(reply) => tracing::warn!(%hash, ?reply, "a signature was not taken"),
        Err(error) => tracing::warn!(%hash, %error, "a signature was not delivered"),
    }
}

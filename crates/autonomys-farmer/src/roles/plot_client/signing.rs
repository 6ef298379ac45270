//! Signs block and vote hashes for the controller that was given the solution.

use super::Shared;
use super::submitting::Submitter;
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::messages::{NodeReply, RewardSigningAnnouncement, SubmitRewardSignature};
use futures::StreamExt;
use std::sync::Arc;
use subspace_core_primitives::rpc::RewardSignatureResponse;

/// Runs until told to stop. The node waits half a second for a signature, so nothing else is done here.
pub(super) async fn run(cluster: Cluster, shared: Arc<Shared>, submitter: Arc<Submitter>) -> Result<()> {
    let mut requests = cluster.subscribe::<RewardSigningAnnouncement>().await?;
    loop {
        let request = tokio::select! {
            () = shared.cancel.cancelled() => return Ok(()),
            request = requests.next() => request.context("requests for signatures are not announced any more")?,
        };
        let public_key = request.info.public_key;
        let Some(farm) = shared.farms.iter().find(|farm| farm.public_key() == public_key) else {
            continue;
        };
        if !submitter.may_sign(&public_key, request.controller) {
            tracing::warn!(
                controller = %request.controller, hash = %request.info.hash,
                "not signed: that controller was given no solution of this farm lately"
            );
            continue;
        }
        let signature = farm.identity().sign_reward_hash(&request.info.hash);
        let response = RewardSignatureResponse {
            hash: request.info.hash,
            signature: Some(signature),
        };
        match cluster
            .request(request.controller.instance(), &SubmitRewardSignature { response })
            .await
        {
            Ok(NodeReply::Accepted) => tracing::info!(hash = %request.info.hash, "reward signed"),
            Ok(reply) => tracing::warn!(?reply, "a signature was not taken"),
            Err(error) => tracing::warn!(%error, "a signature was not delivered"),
        }
    }
}

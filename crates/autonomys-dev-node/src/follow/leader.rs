//! The connection to a leader: who it is, and what can be had from it.

use super::{FollowError, itself};
use crate::chain::genesis::genesis_block;
use crate::chain::json::{block_from_json, block_to_json};
use crate::client::{ClientFailure, DevNodeClient, failure};
use crate::config::DevNodeConfig;
use crate::error::DevNodeError;
use crate::parameters::ChainParameters;
use crate::rpc::development::{ChainIdentity, DevNodeRpcClient, FOLLOW_VERSION, SlotProof};
use autonomys_node_rpc::chain_types::{
    HashOrList, HexBytes, HexHash, HexNumber, NumberOrList, RpcHeader, RpcSignedBlock,
};
use autonomys_node_rpc::{Backoff, names};
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::rpc_params;
use parity_scale_codec::Encode;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;
use subspace_archiving::encoding::SignedBlock;
use subspace_core_primitives::SlotNumber;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pot::PotCheckpoints;
use subspace_proof_of_space::ProofOfSpaceKind;
use subspace_verification::SignedVote;

/// A node that is followed, connected.
#[derive(Debug)]
pub struct Leader {
    client: DevNodeClient,
    identity: ChainIdentity,
}

/// Waits for the leader at `url`, asked by a node that is going to listen on `own`.
///
/// # Errors
/// [`DevNodeError::Follow`] when no waiting can help.
pub async fn find_leader(url: &str, own: SocketAddr) -> Result<Leader, DevNodeError> {
    let follow = |reason: String| DevNodeError::Follow {
        url: url.to_string(),
        reason,
    };
    let address = url.to_string();
    let is_itself = tokio::task::spawn_blocking(move || itself::leads_to(&address, own))
        .await
        .map_err(|_| DevNodeError::Aborted)?;
    if is_itself {
        return Err(follow(format!(
            "it is this very node, which is to listen on {own}; give the address of another one"
        )));
    }
    let mut backoff = Backoff::default();
    loop {
        match Leader::connect(url).await {
            Ok(leader) => return Ok(leader),
            Err(FollowError::Fatal(reason)) => return Err(follow(reason)),
            Err(error) => {
                let pause = backoff.next_pause();
                if backoff.attempts().is_power_of_two() {
                    tracing::warn!(%error, leader = url, "waiting for the node to follow");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

impl Leader {
    /// Connects and looks whether the node can be followed.
    pub(super) async fn connect(url: &str) -> Result<Self, FollowError> {
        let client = DevNodeClient::connect(url).await.map_err(lost)?;
        let identity = client.chain().await.map_err(|failure| match failure {
            ClientFailure::NoDevelopmentNode { .. } => FollowError::Fatal(failure.to_string()),
            ClientFailure::Other(reason) => FollowError::Lost(reason),
        })?;
        check(&identity).map_err(FollowError::Fatal)?;
        Ok(Self { client, identity })
    }

    /// Which chain it is on.
    pub fn identity(&self) -> &ChainIdentity {
        &self.identity
    }

    /// The configuration of a node with the leader's chain.
    ///
    /// # Errors
    /// [`DevNodeError::Follow`] when this node cannot work on that chain.
    pub fn adopt(&self, url: &str, config: DevNodeConfig) -> Result<DevNodeConfig, DevNodeError> {
        let follow = |reason: String| DevNodeError::Follow {
            url: url.to_string(),
            reason,
        };
        let parameters = &self.identity.parameters;
        let proof_of_space: ProofOfSpaceKind = parameters.proof_of_space.parse().map_err(|_| {
            follow(format!(
                "its proof of space {:?} is not known to this release",
                parameters.proof_of_space
            ))
        })?;
        let config = DevNodeConfig {
            parameters: parameters.clone(),
            proof_of_space,
            slot_duration: Duration::from_millis(self.identity.slot_duration_ms),
            bytes_per_block: 0,
            data: None,
            ..config
        };
        match parameters.difference(&config.chain_parameters()?) {
            None => Ok(config),
            Some((name, theirs, ours)) => Err(follow(format!(
                "its chain has {name} {theirs}, this node was given {ours}"
            ))),
        }
    }

    /// Compares the leader's chain with what is here.
    pub(super) fn is_on(&self, parameters: &ChainParameters, genesis_hash: Blake3Hash) -> Result<(), String> {
        let theirs = &self.identity;
        if let Some((name, theirs, ours)) = theirs.parameters.difference(parameters) {
            return Err(format!(
                "it is on a chain with {name} {theirs} by now, the chain here has {ours}; start a node of this chain there, or \
                 follow the new one with another --base-path"
            ));
        }
        if theirs.genesis_hash != genesis_hash {
            return Err(format!(
                "it is on another chain by now: genesis hash {} instead of {genesis_hash}",
                theirs.genesis_hash
            ));
        }
        Ok(())
    }

    /// Ends with the connection.
    pub(super) async fn disconnected(&self) -> FollowError {
        let error = self.client.socket.on_disconnect().await;
        FollowError::Lost(format!("the connection broke ({error})"))
    }

    /// Fails when the node does not answer.
    pub(super) async fn probe(&self) -> Result<(), FollowError> {
        self.client.chain().await.map(drop).map_err(lost)
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: ArrayParams,
    ) -> Result<T, FollowError> {
        let answer = self.client.socket.request(method, params).await;
        answer.map_err(|error| lost(failure(method)(error)))
    }

    /// Number of its best block.
    pub(super) async fn best_number(&self) -> Result<u32, FollowError> {
        let header: Option<RpcHeader> = self.request(names::CHAIN_GET_HEADER, rpc_params![]).await?;
        let header = header.ok_or_else(|| FollowError::Lost("it has no best block".to_string()))?;
        Ok(header.number.0)
    }

    /// Hashes of the blocks with these numbers, `None` for those that it does not have.
    pub(super) async fn block_hashes(&self, numbers: Vec<u32>) -> Result<Vec<Option<HexHash>>, FollowError> {
        let method = names::CHAIN_GET_BLOCK_HASH;
        let asked = numbers.len();
        let numbers = NumberOrList::Many(numbers.into_iter().map(HexNumber).collect());
        match self.request(method, rpc_params![numbers]).await? {
            HashOrList::Many(hashes) if hashes.len() == asked => Ok(hashes),
            _ => Err(FollowError::Lost(format!("its answer to {method} is none"))),
        }
    }

    /// The block with this hash.
    pub(super) async fn block(&self, number: u32, hash: HexHash) -> Result<SignedBlock, FollowError> {
        let wrong = |what: &str| FollowError::Lost(format!("block {number}: {what}"));
        let block: Option<RpcSignedBlock> = self.request(names::CHAIN_GET_BLOCK, rpc_params![hash]).await?;
        let block = block_from_json(block.ok_or_else(|| wrong("it does not give it"))?);
        if block.header.hash() == hash.0 {
            Ok(block)
        } else {
            Err(wrong("it gives another block"))
        }
    }

    /// Proofs of time of `from_slot` and the slots behind it.
    pub(super) async fn proofs_of_time(
        &self,
        from_slot: SlotNumber,
    ) -> Result<Vec<(SlotNumber, PotCheckpoints)>, FollowError> {
        let proofs = self.client.socket.proofs_of_time(from_slot).await;
        let proofs = proofs.map_err(|error| lost(failure("devNode_proofsOfTime")(error)))?;
        proofs.iter().map(decode_proof).collect()
    }

    /// Headers of its best blocks, beginning with the present one.
    pub(super) async fn heads(&self) -> Result<Subscription<RpcHeader>, FollowError> {
        let names = names::NEW_HEADS;
        let subscribed = self
            .client
            .socket
            .subscribe(names.subscribe, ArrayParams::new(), names.unsubscribe);
        subscribed
            .await
            .map_err(|error| lost(failure(names.subscribe)(error)))
    }

    /// Its proofs of time from now on.
    pub(super) async fn proofs(&self) -> Result<Subscription<SlotProof>, FollowError> {
        let subscribed = self.client.socket.subscribe_proofs_of_time().await;
        subscribed.map_err(|error| lost(failure("devNode_subscribeProofsOfTime")(error)))
    }

    /// Hands in a block; the reason when it is not taken.
    pub(super) async fn submit_block(&self, block: SignedBlock) -> Result<(), String> {
        let submitted = self.client.socket.submit_block(block_to_json(block)).await;
        submitted.map_err(|error| failure("devNode_submitBlock")(error).to_string())
    }

    /// Hands in a vote; the reason when it is not taken.
    pub(super) async fn submit_vote(&self, vote: &SignedVote) -> Result<(), String> {
        let submitted = self.client.socket.submit_vote(HexBytes(vote.encode())).await;
        submitted.map_err(|error| failure("devNode_submitVote")(error).to_string())
    }
}

fn lost(failure: ClientFailure) -> FollowError {
    FollowError::Lost(failure.to_string())
}

/// Slot and checkpoints of a proof as it travels.
pub(super) fn decode_proof(proof: &SlotProof) -> Result<(SlotNumber, PotCheckpoints), FollowError> {
    match proof.checkpoints() {
        Some(checkpoints) => Ok((proof.slot, checkpoints)),
        None => Err(FollowError::Lost(format!(
            "its proof of time of slot {} does not decode",
            proof.slot
        ))),
    }
}

/// Whether a node with this identity can be followed.
fn check(identity: &ChainIdentity) -> Result<(), String> {
    if identity.version != FOLLOW_VERSION {
        return Err(format!(
            "it speaks version {} of following and this node version {FOLLOW_VERSION}; run the same release on both",
            identity.version
        ));
    }
    if let Some(leader) = &identity.follows {
        return Err(format!("it follows {leader} itself; follow that node instead"));
    }
    let parameters = &identity.parameters;
    parameters.check().map_err(|error| error.to_string())?;
    let genesis_hash = Blake3Hash(genesis_block(&parameters.seed).header.hash());
    if identity.genesis_hash != genesis_hash {
        return Err(format!(
            "it reports the genesis hash {}, but a chain with its seed {:?} begins with {genesis_hash}: it is on another chain",
            identity.genesis_hash, parameters.seed
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> ChainIdentity {
        let parameters = ChainParameters::default();
        ChainIdentity {
            version: FOLLOW_VERSION,
            genesis_hash: Blake3Hash(genesis_block(&parameters.seed).header.hash()),
            parameters,
            slot_duration_ms: 1000,
            follows: None,
        }
    }

    #[test]
    fn only_a_leader_of_the_same_release_and_of_a_whole_chain_is_followed() {
        check(&identity()).unwrap();
        let mut wrong = identity();
        wrong.version += 1;
        assert!(check(&wrong).unwrap_err().contains("run the same release"));
        let mut wrong = identity();
        wrong.follows = Some("ws://10.0.0.1:9944".to_string());
        let error = check(&wrong).unwrap_err();
        assert!(error.contains("follows ws://10.0.0.1:9944 itself"), "{error}");
        let mut wrong = identity();
        wrong.genesis_hash.0[0] ^= 1;
        assert!(check(&wrong).unwrap_err().contains("another chain"));
        let mut wrong = identity();
        wrong.parameters.era_duration = 0;
        assert!(check(&wrong).unwrap_err().contains("era"));
    }

    #[test]
    fn proofs_that_do_not_decode_are_named() {
        let proof = SlotProof::new(7, &PotCheckpoints::default());
        assert_eq!(decode_proof(&proof).unwrap(), (7, PotCheckpoints::default()));
        let short = SlotProof {
            slot: 7,
            checkpoints: HexBytes(vec![0; 127]),
        };
        assert!(decode_proof(&short).unwrap_err().to_string().contains("slot 7"));
    }
}

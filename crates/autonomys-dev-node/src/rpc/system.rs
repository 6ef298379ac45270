//! `system_*`.

use crate::shared::Shared;
use autonomys_node_rpc::chain_types::{SyncState, SystemHealth};
use autonomys_node_rpc::server::SystemRpcServer;
use jsonrpsee::core::{RpcResult, async_trait};
use std::sync::Arc;

/// SS58 prefix of the network's addresses.
const SS58_PREFIX: u16 = 6094;

/// The node about itself.
pub struct SystemApi(pub Arc<Shared>);

#[async_trait]
impl SystemRpcServer for SystemApi {
    async fn name(&self) -> RpcResult<String> {
        Ok("Autonomys development node".to_string())
    }

    async fn version(&self) -> RpcResult<String> {
        Ok(env!("CARGO_PKG_VERSION").to_string())
    }

    async fn chain(&self) -> RpcResult<String> {
        Ok(format!(
            "Autonomys development chain ({})",
            self.0.parameters.seed
        ))
    }

    async fn chain_type(&self) -> RpcResult<serde_json::Value> {
        Ok(serde_json::json!("Development"))
    }

    async fn properties(&self) -> RpcResult<serde_json::Value> {
        // The last two are ours: they tell a cluster what this development chain is made of.
        Ok(serde_json::json!({
            "ss58Format": SS58_PREFIX,
            "tokenDecimals": 18,
            "tokenSymbol": "DEV",
            "proofOfSpace": self.0.parameters.proof_of_space,
            "kzgParameters": self.0.parameters.kzg,
        }))
    }

    async fn health(&self) -> RpcResult<SystemHealth> {
        let following = self.0.follow_report();
        Ok(SystemHealth {
            peers: following
                .as_ref()
                .is_some_and(|report| report.state.is_connected())
                .into(),
            is_syncing: self.0.is_syncing(),
            should_have_peers: following.is_some(),
        })
    }

    async fn sync_state(&self) -> RpcResult<SyncState> {
        let current_block = self.0.best.borrow().state.number;
        Ok(SyncState {
            starting_block: self.0.starting_block,
            current_block,
            highest_block: self
                .0
                .follow_report()
                .map_or(current_block, |report| report.leader_best.max(current_block)),
        })
    }

    async fn local_peer_id(&self) -> RpcResult<String> {
        // A node without peers has no key; this is the identity multihash of nothing but the chain it serves.
        Ok(format!("development-{}", hex::encode(&self.0.genesis_hash[..8])))
    }

    async fn node_roles(&self) -> RpcResult<Vec<String>> {
        Ok(vec!["Authority".to_string()])
    }
}

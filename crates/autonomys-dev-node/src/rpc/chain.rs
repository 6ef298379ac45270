//! `chain_*`.

use super::subscriptions::forward;
use crate::chain::json::block_to_json;
use crate::error::DevNodeError;
use crate::faults::FaultKind;
use crate::shared::Shared;
use autonomys_node_rpc::chain_types::{HashOrList, HexHash, NumberOrList, RpcHeader, RpcSignedBlock};
use autonomys_node_rpc::server::ChainRpcServer;
use autonomys_node_rpc::wire;
use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::core::{RpcResult, SubscriptionResult, async_trait};
use jsonrpsee::types::ErrorObjectOwned;
use std::sync::Arc;
use subspace_archiving::encoding::SignedBlock;

/// Blocks for exporters and explorers.
pub struct ChainApi(pub Arc<Shared>);

impl ChainApi {
    /// Reads on a blocking thread.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, DevNodeError> + Send + 'static,
    ) -> RpcResult<T> {
        let shared = Arc::clone(&self.0);
        let internal = |text: String| ErrorObjectOwned::owned(wire::INTERNAL_ERROR, text, None::<()>);
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| internal(error.to_string()))?
            .map_err(|error| internal(error.to_string()))
    }
}

/// Number of the block with this hash; the best block without a hash. Blocks that are still being imported do not exist yet.
fn number_of(shared: &Shared, hash: Option<HexHash>) -> Option<u32> {
    let best = shared.best.borrow().state.number;
    match hash {
        None => Some(best),
        Some(hash) => shared.log.read().number(&hash.0).filter(|number| *number <= best),
    }
}

fn is_pruned(shared: &Shared, number: u32) -> bool {
    let pruned = |kind: &FaultKind| match kind {
        FaultKind::PrunedBlocks(blocks) => blocks.contains(&number).then_some(()),
        _ => None,
    };
    shared.faults.find(pruned).is_some()
}

/// What a node that lies or has lost something gives out as the block.
fn with_faults(shared: &Shared, mut block: SignedBlock) -> SignedBlock {
    let number = block.header.number;
    if shared.faults.acts(&FaultKind::WrongParent(number)) {
        block.header.parent_hash[0] ^= 1;
    }
    let lost = |kind: &FaultKind| match kind {
        FaultKind::LostJustification(lost) => lost.is_none_or(|lost| lost == number).then_some(()),
        _ => None,
    };
    if shared.faults.find(lost).is_some() {
        block.justifications.clear();
    }
    block
}

#[async_trait]
impl ChainRpcServer for ChainApi {
    async fn get_block_hash(&self, number: Option<NumberOrList>) -> RpcResult<HashOrList> {
        self.read(move |shared| {
            let best = shared.best.borrow().clone();
            let hash = |number: u32| {
                let hash = if number <= best.state.number {
                    shared.log.read().hash(number)
                } else {
                    None
                };
                hash.map(HexHash)
            };
            Ok(match number {
                None => HashOrList::One(Some(HexHash(best.hash))),
                Some(NumberOrList::One(number)) => HashOrList::One(hash(number.0)),
                Some(NumberOrList::Many(numbers)) => {
                    HashOrList::Many(numbers.into_iter().map(|number| hash(number.0)).collect())
                }
            })
        })
        .await
    }

    async fn get_header(&self, hash: Option<HexHash>) -> RpcResult<Option<RpcHeader>> {
        self.read(move |shared| match number_of(shared, hash) {
            Some(number) => shared.json_header(number),
            None => Ok(None),
        })
        .await
    }

    async fn get_block(&self, hash: Option<HexHash>) -> RpcResult<Option<RpcSignedBlock>> {
        self.read(move |shared| match number_of(shared, hash) {
            Some(number) if is_pruned(shared, number) => Ok(None),
            Some(number) => {
                let block = shared.log.read().block(number)?;
                Ok(block.map(|block| block_to_json(with_faults(shared, block))))
            }
            None => Ok(None),
        })
        .await
    }

    async fn get_finalized_head(&self) -> RpcResult<HexHash> {
        self.read(|shared| {
            let hash = shared.log.read().hash(shared.finalized_number());
            Ok(HexHash(hash.unwrap_or(shared.genesis_hash)))
        })
        .await
    }

    async fn subscribe_new_heads(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        let heads = self.0.heads.subscribe();
        let best = self
            .read(|shared| shared.json_header(shared.best.borrow().state.number))
            .await;
        forward(pending, best.ok().flatten(), heads);
        Ok(())
    }

    async fn subscribe_finalized_heads(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        let heads = self.0.finalized_heads.subscribe();
        let finalized = self
            .read(|shared| shared.json_header(shared.finalized_number()))
            .await;
        forward(pending, finalized.ok().flatten(), heads);
        Ok(())
    }
}

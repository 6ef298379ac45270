//! Request-only client over HTTP or WebSocket for reading blocks and headers in bulk.

use crate::chain_types::{HashOrList, HexHash, HexNumber, NumberOrList, RpcHeader, RpcSignedBlock};
use crate::client::optional;
use crate::error::from_library;
use crate::url::{http_url, websocket_url};
use crate::{BatchSize, ChainNature, NodeRpcError, limits, names, wire};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::params::{ArrayParams, BatchRequestBuilder};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::rpc::FarmerAppInfo;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

enum Transport {
    Http(HttpClient),
    WebSocket(WsClient),
}

/// Reads a node's chain. Does not reconnect: over HTTP there is nothing to reconnect; over WebSocket make a new one.
pub struct ChainClient {
    transport: Transport,
    batch: Arc<BatchSize>,
}

impl ChainClient {
    /// Opens a client: `http` and `https` addresses over HTTP, `ws` and `wss` over one WebSocket.
    ///
    /// # Errors
    /// [`NodeRpcError::InvalidUrl`] or [`NodeRpcError::Connect`].
    pub async fn connect(url: &str) -> Result<Self, NodeRpcError> {
        Self::connect_sharing(url, Arc::default()).await
    }

    /// The same for one of several connections to one node, which learn together how many blocks it takes at a time.
    ///
    /// # Errors
    /// [`NodeRpcError::InvalidUrl`] or [`NodeRpcError::Connect`].
    pub async fn connect_sharing(url: &str, batch: Arc<BatchSize>) -> Result<Self, NodeRpcError> {
        let connect = |error: jsonrpsee::core::ClientError| NodeRpcError::Connect {
            url: url.to_string(),
            reason: error.to_string(),
        };
        let transport = if url.trim().to_ascii_lowercase().starts_with("http") {
            let client = HttpClientBuilder::default()
                .max_request_size(limits::MAX_REQUEST_SIZE)
                .max_response_size(limits::MAX_RESPONSE_SIZE)
                .request_timeout(limits::BLOCK_TIMEOUT)
                .build(http_url(url)?)
                .map_err(connect)?;
            Transport::Http(client)
        } else {
            let client = WsClientBuilder::default()
                .max_request_size(limits::MAX_REQUEST_SIZE)
                .max_response_size(limits::MAX_RESPONSE_SIZE)
                .max_concurrent_requests(limits::MAX_CONCURRENT_REQUESTS)
                .request_timeout(limits::BLOCK_TIMEOUT)
                .connection_timeout(limits::CONNECT_TIMEOUT)
                .build(websocket_url(url)?)
                .await
                .map_err(connect)?;
            Transport::WebSocket(client)
        };
        Ok(Self { transport, batch })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: ArrayParams,
        timeout: Duration,
    ) -> Result<T, NodeRpcError> {
        let request = async {
            match &self.transport {
                Transport::Http(client) => client.request(method, params).await,
                Transport::WebSocket(client) => client.request(method, params).await,
            }
        };
        match tokio::time::timeout(timeout, request).await {
            Ok(result) => result.map_err(|error| from_library(method, timeout, error)),
            Err(_) => Err(NodeRpcError::Timeout {
                method,
                after: timeout,
            }),
        }
    }

    /// Genesis hash, sync state and protocol parameters.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn farmer_app_info(&self) -> Result<FarmerAppInfo, NodeRpcError> {
        self.call(names::GET_FARMER_APP_INFO, rpc_params![], limits::REQUEST_TIMEOUT)
            .await
    }

    /// Segment headers in the order of the indexes, at most [`limits::MAX_SEGMENT_HEADERS_PER_REQUEST`].
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn segment_headers(
        &self,
        segment_indexes: &[SegmentIndex],
    ) -> Result<Vec<Option<SegmentHeader>>, NodeRpcError> {
        let method = names::SEGMENT_HEADERS;
        let limit = limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
        if segment_indexes.len() > limit {
            return Err(NodeRpcError::TooManyItems {
                method,
                limit,
                given: segment_indexes.len(),
            });
        }
        self.call(
            method,
            rpc_params![segment_indexes],
            limits::SEGMENT_HEADERS_TIMEOUT,
        )
        .await
    }

    /// Kind of chain and what it is made of.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn chain_nature(&self) -> Result<ChainNature, NodeRpcError> {
        let timeout = limits::REQUEST_TIMEOUT;
        let chain_type = self
            .call(names::SYSTEM_CHAIN_TYPE, rpc_params![], timeout)
            .await?;
        let properties = self
            .call(names::SYSTEM_PROPERTIES, rpc_params![], timeout)
            .await?;
        Ok(ChainNature::from_answers(&chain_type, &properties))
    }

    /// Header of a block, of the best one without a hash.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn header(&self, hash: Option<HexHash>) -> Result<Option<RpcHeader>, NodeRpcError> {
        self.call(names::CHAIN_GET_HEADER, optional(hash), limits::REQUEST_TIMEOUT)
            .await
    }

    /// Hashes of the blocks with these numbers on the best chain, in order, at most
    /// [`limits::MAX_BLOCK_HASHES_PER_REQUEST`] a call.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn block_hashes(&self, numbers: &[u32]) -> Result<Vec<Option<HexHash>>, NodeRpcError> {
        let method = names::CHAIN_GET_BLOCK_HASH;
        let limit = limits::MAX_BLOCK_HASHES_PER_REQUEST;
        if numbers.len() > limit {
            return Err(NodeRpcError::TooManyItems {
                method,
                limit,
                given: numbers.len(),
            });
        }
        let list = NumberOrList::Many(numbers.iter().copied().map(HexNumber).collect());
        match self
            .call(method, rpc_params![list], limits::REQUEST_TIMEOUT)
            .await?
        {
            HashOrList::Many(hashes) if hashes.len() == numbers.len() => Ok(hashes),
            _ => Err(NodeRpcError::InvalidResponse {
                method,
                reason: "not as many hashes as numbers asked for".to_string(),
            }),
        }
    }

    /// One block, the best one without a hash.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn block(&self, hash: Option<HexHash>) -> Result<Option<RpcSignedBlock>, NodeRpcError> {
        self.call(names::CHAIN_GET_BLOCK, optional(hash), limits::BLOCK_TIMEOUT)
            .await
    }

    /// Several blocks in the order of their hashes: over HTTP in batch requests, over WebSocket in single requests that are in
    /// flight together. As many at a time as the node takes: fewer when a reply is too large or batches are disabled, more again
    /// while blocks are small.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn blocks(&self, hashes: &[HexHash]) -> Result<Vec<Option<RpcSignedBlock>>, NodeRpcError> {
        let mut blocks = Vec::with_capacity(hashes.len());
        while blocks.len() < hashes.len() {
            let most = match &self.transport {
                Transport::Http(_) => hashes.len() - blocks.len(),
                Transport::WebSocket(_) => (hashes.len() - blocks.len()).min(limits::MAX_BLOCKS_IN_FLIGHT),
            };
            let size = self.batch.get().clamp(1, most);
            let part = &hashes[blocks.len()..blocks.len() + size];
            let read = match &self.transport {
                Transport::Http(client) if size > 1 => block_batch(client, part).await,
                _ => futures::future::try_join_all(part.iter().map(|hash| self.block(Some(*hash)))).await,
            };
            match read {
                Ok(part) => {
                    self.batch
                        .answered(size, part.iter().flatten().map(text_size).sum());
                    blocks.extend(part);
                }
                Err(error) if size > 1 && is_too_large(&error) => self.batch.refused(size),
                Err(error) => return Err(error),
            }
        }
        Ok(blocks)
    }
}

/// Bytes of JSON text of a block, about.
fn text_size(block: &RpcSignedBlock) -> usize {
    /// Names and punctuation.
    const FRAME: usize = 600;
    /// A byte as a number with its comma, on average.
    const NUMBER: usize = 4;
    let logs = block.block.header.digest.logs.iter();
    let bytes: usize = logs.chain(&block.block.extrinsics).map(|item| item.0.len()).sum();
    let justifications = block.justifications.iter().flatten();
    let numbers: usize = justifications.map(|(_, payload)| payload.len()).sum();
    FRAME + 2 * bytes + NUMBER * numbers
}

async fn block_batch(
    client: &HttpClient,
    hashes: &[HexHash],
) -> Result<Vec<Option<RpcSignedBlock>>, NodeRpcError> {
    let method = names::CHAIN_GET_BLOCK;
    let timeout = limits::BLOCK_TIMEOUT;
    let mut batch = BatchRequestBuilder::new();
    for hash in hashes {
        batch
            .insert(method, rpc_params![hash])
            .map_err(|error| NodeRpcError::InvalidResponse {
                method,
                reason: error.to_string(),
            })?;
    }
    let response = tokio::time::timeout(timeout, client.batch_request(batch))
        .await
        .map_err(|_| NodeRpcError::Timeout {
            method,
            after: timeout,
        })?
        .map_err(|error| from_library(method, timeout, error))?;
    response
        .into_iter()
        .map(|entry| {
            entry.map_err(|error| NodeRpcError::Refused {
                method,
                code: error.code(),
                message: error.message().to_string(),
            })
        })
        .collect()
}

/// Whether fewer blocks at a time may work. A batch that is refused as a whole is answered with one object instead of a list,
/// which the client library cannot decode.
fn is_too_large(error: &NodeRpcError) -> bool {
    match error {
        NodeRpcError::Refused { code, .. } => matches!(
            *code,
            wire::BATCHES_DISABLED
                | wire::RESPONSE_TOO_LARGE
                | wire::BATCH_TOO_LONG
                | wire::BATCH_RESPONSE_TOO_LARGE
                | wire::REQUEST_TOO_LARGE
        ),
        NodeRpcError::InvalidResponse { .. } => true,
        _ => false,
    }
}

//! The node: several connections, requests that survive a node which is away for a while.

use autonomys_node_rpc::chain_types::{HexHash, RpcHeader, RpcSignedBlock};
use autonomys_node_rpc::{Backoff, BatchSize, ChainClient, ChainNature, NodeRpcError, limits, wire};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subspace_core_primitives::rpc::FarmerAppInfo;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::Semaphore;

/// A node that gave no answer to anything for this long is given up: long enough for a restart with a large database.
const AWAY_LIMIT: Duration = Duration::from_secs(600);
/// Attempts of the very first request: a wrong address should show at once.
const FIRST_ATTEMPTS: u32 = 3;
/// Attempts of a request that the node itself refuses, for instance because it is busy.
const REFUSED_ATTEMPTS: u32 = 5;

/// A node, shared by everything that reads from it.
pub struct Node {
    url: String,
    away_limit: Duration,
    batch: Arc<BatchSize>,
    connections: usize,
    permits: Semaphore,
    idle: Mutex<Vec<Arc<ChainClient>>>,
    last_answer: Mutex<Instant>,
}

impl Node {
    /// Makes sure that a node answers at this address. At most `connections` requests are in flight at any time.
    ///
    /// # Errors
    /// When none answers, or the address is none.
    pub async fn connect(url: &str, connections: usize) -> Result<(Self, FarmerAppInfo), NodeRpcError> {
        let node = Self {
            url: url.to_string(),
            away_limit: AWAY_LIMIT,
            batch: Arc::default(),
            connections,
            permits: Semaphore::new(connections),
            idle: Mutex::default(),
            last_answer: Mutex::new(Instant::now()),
        };
        let mut backoff = Backoff::default();
        loop {
            let asked = async {
                let client = node.client().await?;
                let info = client.farmer_app_info().await?;
                node.idle().push(client);
                Ok(info)
            };
            match asked.await {
                Ok(info) => return Ok((node, info)),
                Err(error @ NodeRpcError::InvalidUrl { .. }) => return Err(error),
                Err(error) if backoff.attempts() + 1 >= FIRST_ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(backoff.next_pause()).await,
            }
        }
    }

    /// Requests that may be in flight.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Blocks that one request should ask for.
    pub fn batch_size(&self) -> usize {
        self.batch.get()
    }

    /// Genesis hash, sync state and history size.
    ///
    /// # Errors
    /// As of all requests: when the node refuses it for good, or has been away too long.
    pub async fn farmer_app_info(&self) -> Result<FarmerAppInfo, NodeRpcError> {
        self.call(move |client| async move { client.farmer_app_info().await })
            .await
    }

    /// Kind of chain.
    ///
    /// # Errors
    /// See [`Self::farmer_app_info`].
    pub async fn chain_nature(&self) -> Result<ChainNature, NodeRpcError> {
        self.call(move |client| async move { client.chain_nature().await })
            .await
    }

    /// Header of the best block.
    ///
    /// # Errors
    /// See [`Self::farmer_app_info`].
    pub async fn best_header(&self) -> Result<Option<RpcHeader>, NodeRpcError> {
        self.call(move |client| async move { client.header(None).await })
            .await
    }

    /// Headers of segments.
    ///
    /// # Errors
    /// See [`Self::farmer_app_info`].
    pub async fn segment_headers(
        &self,
        indexes: &[SegmentIndex],
    ) -> Result<Vec<Option<SegmentHeader>>, NodeRpcError> {
        self.call(move |client| async move { client.segment_headers(indexes).await })
            .await
    }

    /// Hashes of blocks, at most [`limits::MAX_BLOCK_HASHES_PER_REQUEST`].
    ///
    /// # Errors
    /// See [`Self::farmer_app_info`].
    pub async fn block_hashes(&self, numbers: &[u32]) -> Result<Vec<Option<HexHash>>, NodeRpcError> {
        self.call(move |client| async move { client.block_hashes(numbers).await })
            .await
    }

    /// Blocks by hash, in order.
    ///
    /// # Errors
    /// See [`Self::farmer_app_info`].
    pub async fn blocks(&self, hashes: &[HexHash]) -> Result<Vec<Option<RpcSignedBlock>>, NodeRpcError> {
        self.call(move |client| async move { client.blocks(hashes).await })
            .await
    }

    async fn call<T, F: Future<Output = Result<T, NodeRpcError>>>(
        &self,
        request: impl Fn(Arc<ChainClient>) -> F,
    ) -> Result<T, NodeRpcError> {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(NodeRpcError::Stopped);
        };
        let begin = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let asked = async {
                let client = self.client().await?;
                let answer = request(Arc::clone(&client)).await;
                // A broken WebSocket is of no further use.
                if !answer.as_ref().is_err_and(is_away) {
                    self.idle().push(client);
                }
                answer
            };
            let error = match asked.await {
                Ok(answer) => {
                    *self.last_answer() = Instant::now();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let try_again = if is_away(&error) {
                // Whatever is shorter: nobody may have asked anything for long.
                begin.elapsed().min(self.last_answer().elapsed()) < self.away_limit
            } else {
                is_passing(&error) && backoff.attempts() + 1 < REFUSED_ATTEMPTS
            };
            if !try_again {
                return Err(error);
            }
            if backoff.attempts() == 0 {
                tracing::warn!("trying again: {error}");
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// A connection that nobody uses, or a new one.
    async fn client(&self) -> Result<Arc<ChainClient>, NodeRpcError> {
        let idle = self.idle().pop();
        match idle {
            Some(client) => Ok(client),
            None => Ok(Arc::new(
                ChainClient::connect_sharing(&self.url, Arc::clone(&self.batch)).await?,
            )),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<ChainClient>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_answer(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last_answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most hashes of one request.
pub(crate) const HASHES_PER_REQUEST: usize = limits::MAX_BLOCK_HASHES_PER_REQUEST;

/// Whether the node was not reached, or did not answer.
fn is_away(error: &NodeRpcError) -> bool {
    error.is_connection_problem() || matches!(error, NodeRpcError::Timeout { .. })
}

/// Whether the node may do later what it refuses now.
fn is_passing(error: &NodeRpcError) -> bool {
    matches!(
        error,
        NodeRpcError::Refused {
            code: wire::SERVER_BUSY | wire::INTERNAL_ERROR,
            ..
        } | NodeRpcError::InvalidResponse { .. }
    )
}

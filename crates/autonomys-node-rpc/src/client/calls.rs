//! The requests of a [`NodeClient`].

use super::link::{Lane, Link};
use super::{ConnectionState, Inner, NodeClient};
use crate::chain_types::{HashOrList, HexHash, HexNumber, NumberOrList, RpcHeader, RpcSignedBlock};
use crate::{NodeRpcError, limits, names};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::rpc_params;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::rpc::{FarmerAppInfo, RewardSignatureResponse, SolutionResponse};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

impl Inner {
    fn failure(&self) -> NodeRpcError {
        match &*self.state.borrow() {
            ConnectionState::Failed(error) => NodeRpcError::clone(error),
            _ => NodeRpcError::Stopped,
        }
    }

    /// The current connection, or the next one.
    pub(super) async fn wait_for_link(&self) -> Result<Arc<Link>, NodeRpcError> {
        let mut link = self.link.subscribe();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.failure()),
            link = link.wait_for(Option::is_some) => match link.as_deref() {
                Ok(Some(link)) => Ok(Arc::clone(link)),
                _ => Err(self.failure()),
            },
        }
    }

    /// The current connection; never waits.
    fn current_link(&self, method: &'static str) -> Result<Arc<Link>, NodeRpcError> {
        if self.cancel.is_cancelled() {
            return Err(self.failure());
        }
        self.link
            .borrow()
            .clone()
            .ok_or(NodeRpcError::NotConnected { method })
    }

    /// An idempotent request: waits for a connection and repeats on the next one, all within `timeout`.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: ArrayParams,
        timeout: Duration,
    ) -> Result<T, NodeRpcError> {
        let attempts = async {
            loop {
                let link = self.wait_for_link().await?;
                match link.call(Lane::Bulk, method, params.clone(), timeout).await {
                    Err(error) if error.is_connection_problem() => {
                        tracing::debug!(%error, "repeating a request on the next connection");
                        self.wait_until_replaced(&link).await;
                    }
                    result => return result,
                }
            }
        };
        match tokio::time::timeout(timeout, attempts).await {
            Ok(result) => result,
            Err(_) => Err(NodeRpcError::Timeout {
                method,
                after: timeout,
            }),
        }
    }

    /// Waits until `link` is not the current connection any more.
    pub(super) async fn wait_until_replaced(&self, link: &Link) {
        let mut current = self.link.subscribe();
        let replaced =
            current.wait_for(|current| current.as_ref().is_none_or(|c| c.connection != link.connection));
        tokio::select! {
            () = self.cancel.cancelled() => {}
            _ = replaced => {}
        }
    }
}

impl NodeClient {
    /// Genesis hash, sync state, farming time-out and protocol parameters, asked from the node now.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn farmer_app_info(&self) -> Result<FarmerAppInfo, NodeRpcError> {
        self.inner
            .read(names::GET_FARMER_APP_INFO, rpc_params![], limits::REQUEST_TIMEOUT)
            .await
    }

    /// The same from a copy at most [`limits::FARMER_APP_INFO_MAX_AGE`] old: for many askers.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn recent_farmer_app_info(&self) -> Result<FarmerAppInfo, NodeRpcError> {
        let mut copy = self.inner.app_info_copy.lock().await;
        if let Some((read_at, info)) = &*copy
            && read_at.elapsed() < limits::FARMER_APP_INFO_MAX_AGE
        {
            return Ok(info.clone());
        }
        let info = self.farmer_app_info().await?;
        *copy = Some((Instant::now(), info.clone()));
        Ok(info)
    }

    /// Segment headers in the order of the indexes, `None` for those the node does not have; at most
    /// [`limits::MAX_SEGMENT_HEADERS_PER_REQUEST`].
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn segment_headers(
        &self,
        segment_indexes: &[SegmentIndex],
    ) -> Result<Vec<Option<SegmentHeader>>, NodeRpcError> {
        self.inner.segment_headers(segment_indexes).await
    }

    /// The newest segment headers, ascending; at most [`limits::MAX_SEGMENT_HEADERS_PER_REQUEST`].
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn last_segment_headers(&self, limit: u32) -> Result<Vec<Option<SegmentHeader>>, NodeRpcError> {
        let method = names::LAST_SEGMENT_HEADERS;
        let most = limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
        if limit as usize > most {
            return Err(NodeRpcError::TooManyItems {
                method,
                limit: most,
                given: limit as usize,
            });
        }
        self.inner
            .read(method, rpc_params![limit], limits::SEGMENT_HEADERS_TIMEOUT)
            .await
    }

    /// One piece, `None` when the node does not have it. At most [`limits::MAX_PIECE_REQUESTS_IN_FLIGHT`] at a time are sent.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn piece(&self, piece_index: PieceIndex) -> Result<Option<Piece>, NodeRpcError> {
        let _permit = self
            .inner
            .piece_requests
            .acquire()
            .await
            .map_err(|_| NodeRpcError::Stopped)?;
        self.inner
            .read(names::PIECE, rpc_params![piece_index], limits::PIECE_TIMEOUT)
            .await
    }

    /// Tells the node that one of our header subscriptions has taken over the segment.
    ///
    /// # Errors
    /// See [`NodeRpcError`]; without a connection there is nothing to acknowledge, the node released us.
    pub async fn acknowledge_archived_segment_header(
        &self,
        segment_index: SegmentIndex,
    ) -> Result<(), NodeRpcError> {
        let method = names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER;
        let link = self.inner.current_link(method)?;
        link.call(
            Lane::Bulk,
            method,
            rpc_params![segment_index],
            limits::REQUEST_TIMEOUT,
        )
        .await
    }

    /// Puts a solution into the mailbox of its slot. Sent at most once: an error for which
    /// [`NodeRpcError::is_outcome_unknown`] holds must not lead to another attempt at another node.
    ///
    /// # Errors
    /// [`NodeRpcError::SlotLost`] without sending when the current connection did not announce the slot,
    /// [`NodeRpcError::NotConnected`] without sending, and the others of [`NodeRpcError`].
    pub async fn submit_solution_response(&self, response: &SolutionResponse) -> Result<(), NodeRpcError> {
        let method = names::SUBMIT_SOLUTION_RESPONSE;
        let link = self.inner.current_link(method)?;
        if !link.has_announced(response.slot_number) {
            return Err(NodeRpcError::SlotLost {
                slot: response.slot_number,
            });
        }
        link.call(
            Lane::Slots,
            method,
            rpc_params![response],
            limits::SOLUTION_TIMEOUT,
        )
        .await
    }

    /// Answers a reward-signing request; the node waits half a second for it.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn submit_reward_signature(
        &self,
        response: &RewardSignatureResponse,
    ) -> Result<(), NodeRpcError> {
        let method = names::SUBMIT_REWARD_SIGNATURE;
        let link = self.inner.current_link(method)?;
        link.call(
            Lane::Slots,
            method,
            rpc_params![response],
            limits::SIGNATURE_TIMEOUT,
        )
        .await
    }

    /// Hash of the block with this number on the best chain.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn block_hash(&self, number: u32) -> Result<Option<HexHash>, NodeRpcError> {
        let method = names::CHAIN_GET_BLOCK_HASH;
        let params = rpc_params![NumberOrList::One(HexNumber(number))];
        match self.inner.read(method, params, limits::REQUEST_TIMEOUT).await? {
            HashOrList::One(hash) => Ok(hash),
            HashOrList::Many(_) => Err(NodeRpcError::InvalidResponse {
                method,
                reason: "a list instead of one hash".to_string(),
            }),
        }
    }

    /// Header of a block, of the best one without a hash.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn header(&self, hash: Option<HexHash>) -> Result<Option<RpcHeader>, NodeRpcError> {
        self.inner
            .read(names::CHAIN_GET_HEADER, optional(hash), limits::REQUEST_TIMEOUT)
            .await
    }

    /// Whether the chain calls itself a development chain.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn is_development_chain(&self) -> Result<bool, NodeRpcError> {
        let chain_type: serde_json::Value = self
            .inner
            .read(names::SYSTEM_CHAIN_TYPE, rpc_params![], limits::REQUEST_TIMEOUT)
            .await?;
        Ok(chain_type == "Development")
    }

    /// Free-form properties of the chain, an object or `null`.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn properties(&self) -> Result<serde_json::Value, NodeRpcError> {
        self.inner
            .read(names::SYSTEM_PROPERTIES, rpc_params![], limits::REQUEST_TIMEOUT)
            .await
    }

    /// A block, the best one without a hash.
    ///
    /// # Errors
    /// See [`NodeRpcError`].
    pub async fn block(&self, hash: Option<HexHash>) -> Result<Option<RpcSignedBlock>, NodeRpcError> {
        self.inner
            .read(names::CHAIN_GET_BLOCK, optional(hash), limits::BLOCK_TIMEOUT)
            .await
    }
}

impl Inner {
    pub(super) async fn segment_headers(
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
        let headers: Vec<Option<SegmentHeader>> = self
            .read(
                method,
                rpc_params![segment_indexes],
                limits::SEGMENT_HEADERS_TIMEOUT,
            )
            .await?;
        let fits = headers.len() == segment_indexes.len()
            && headers
                .iter()
                .zip(segment_indexes)
                .all(|(header, index)| header.is_none_or(|header| header.segment_index() == *index));
        if !fits {
            let reason = "the headers are not those of the indexes asked for".to_string();
            return Err(NodeRpcError::InvalidResponse { method, reason });
        }
        Ok(headers)
    }
}

pub(crate) fn optional(hash: Option<HexHash>) -> ArrayParams {
    match hash {
        Some(hash) => rpc_params![hash],
        None => rpc_params![],
    }
}

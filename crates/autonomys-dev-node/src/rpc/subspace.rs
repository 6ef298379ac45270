//! `subspace_*`.

use super::subscriptions::{forward, hold, send};
use crate::faults::FaultKind;
use crate::shared::Shared;
use autonomys_node_rpc::limits::{MAX_OBJECT_HASHES_PER_SUBSCRIPTION, MAX_SEGMENT_HEADERS_PER_REQUEST};
use autonomys_node_rpc::server::SubspaceRpcServer;
use autonomys_node_rpc::wire::{
    DOMAIN_ERROR, SOLUTION_IGNORED_MESSAGE, domain_error, solution_ignored, unsafe_error,
};
use bytes::BytesMut;
use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::core::{RpcResult, SubscriptionResult, async_trait};
use jsonrpsee::types::ErrorObjectOwned;
use std::sync::Arc;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::rpc::{FarmerAppInfo, RewardSignatureResponse, SolutionResponse};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

/// Methods for farmers.
pub struct SubspaceApi(pub Arc<Shared>);

impl SubspaceApi {
    fn require_unsafe(&self) -> RpcResult<()> {
        if self.0.behaviour.unsafe_allowed {
            Ok(())
        } else {
            Err(unsafe_error())
        }
    }

    /// Puts a solution into its mailbox, unless a fault refuses it.
    fn put(&self, response: &SolutionResponse) -> RpcResult<()> {
        let refused = self.0.faults.find(|kind| match kind {
            FaultKind::RefuseSolutions(code) => Some(*code),
            _ => None,
        });
        match refused {
            Some(DOMAIN_ERROR) => return Err(solution_ignored()),
            Some(code) => {
                return Err(ErrorObjectOwned::owned(
                    code,
                    SOLUTION_IGNORED_MESSAGE,
                    None::<()>,
                ));
            }
            None => {}
        }
        let mut mailboxes = self.0.mailboxes.lock();
        let result = mailboxes.put(response.slot_number, response.solution);
        result.map_err(|_| solution_ignored())
    }

    fn with_faults(&self, header: SegmentHeader) -> SegmentHeader {
        let SegmentHeader::V0 {
            segment_index,
            mut segment_commitment,
            prev_segment_header_hash,
            last_archived_block,
        } = header;
        if self.0.faults.acts(&FaultKind::CorruptHeader(segment_index.get())) {
            segment_commitment.0[47] ^= 1;
        }
        SegmentHeader::V0 {
            segment_index,
            segment_commitment,
            prev_segment_header_hash,
            last_archived_block,
        }
    }

    /// Whether an official node would have this piece: only of the newest segment while somebody holds it unacknowledged, or
    /// else of the genesis segment.
    fn official_node_has(&self, piece_index: PieceIndex) -> bool {
        let newest = self.0.history_size().segment_index();
        let served = if self.0.acknowledgements.is_held(newest) {
            newest
        } else {
            SegmentIndex::ZERO
        };
        piece_index.segment_index() == served
    }
}

/// Flips the lowest bit of the middle byte.
fn corrupt(piece: &Piece) -> Option<Piece> {
    let mut bytes = BytesMut::from(piece.as_ref());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Piece::from_bytes(bytes.freeze()).ok()
}

fn concerns(selected: Option<u64>, piece_index: PieceIndex) -> bool {
    selected.is_none_or(|selected| selected == piece_index.get())
}

#[async_trait]
impl SubspaceRpcServer for SubspaceApi {
    async fn get_farmer_app_info(&self) -> RpcResult<FarmerAppInfo> {
        Ok(self.0.farmer_app_info())
    }

    async fn submit_solution_response(&self, response: SolutionResponse) -> RpcResult<()> {
        self.require_unsafe()?;
        let result = self.put(&response);
        self.0.received.add(&response, result.is_ok());
        result
    }

    async fn subscribe_slot_info(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        forward(pending, None, self.0.slots.subscribe());
        Ok(())
    }

    async fn subscribe_reward_signing(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        if self.0.behaviour.unsafe_allowed {
            forward(pending, None, self.0.signing.subscribe());
        }
        // Otherwise the pending request is dropped, which the client sees as an internal error.
        Ok(())
    }

    async fn submit_reward_signature(&self, response: RewardSignatureResponse) -> RpcResult<()> {
        self.require_unsafe()?;
        self.0.signing.answer(response);
        Ok(())
    }

    async fn subscribe_archived_segment_header(
        &self,
        pending: PendingSubscriptionSink,
    ) -> SubscriptionResult {
        let mut subscription = self.0.acknowledgements.subscribe(self.0.behaviour.unsafe_allowed);
        tokio::spawn(async move {
            let Ok(sink) = pending.accept().await else { return };
            loop {
                tokio::select! {
                    () = sink.closed() => return,
                    header = subscription.next() => match header {
                        Some(header) if send(&sink, &header).await => {}
                        _ => return,
                    },
                }
            }
        });
        Ok(())
    }

    async fn acknowledge_archived_segment_header(&self, segment_index: SegmentIndex) -> RpcResult<()> {
        self.require_unsafe()?;
        self.0.acknowledgements.acknowledge(segment_index);
        Ok(())
    }

    async fn segment_headers(
        &self,
        segment_indexes: Vec<SegmentIndex>,
    ) -> RpcResult<Vec<Option<SegmentHeader>>> {
        if segment_indexes.len() > MAX_SEGMENT_HEADERS_PER_REQUEST {
            return Err(domain_error(format!(
                "segment_indexes length exceed the limit: {} > {MAX_SEGMENT_HEADERS_PER_REQUEST}",
                segment_indexes.len()
            )));
        }
        Ok(segment_indexes
            .into_iter()
            .map(|index| {
                self.0
                    .segments
                    .header(index)
                    .map(|header| self.with_faults(header))
            })
            .collect())
    }

    async fn last_segment_headers(&self, limit: u32) -> RpcResult<Vec<Option<SegmentHeader>>> {
        if limit as usize > MAX_SEGMENT_HEADERS_PER_REQUEST {
            return Err(domain_error(format!(
                "request limit ({limit}) exceed the server limit: {MAX_SEGMENT_HEADERS_PER_REQUEST}"
            )));
        }
        Ok(self
            .0
            .segments
            .last_headers(limit as usize)
            .into_iter()
            .map(Some)
            .collect())
    }

    async fn piece(&self, piece_index: PieceIndex) -> RpcResult<Option<Piece>> {
        self.require_unsafe()?;
        let missing = self.0.faults.find(|kind| match kind {
            FaultKind::MissingPiece(selected) => concerns(*selected, piece_index).then_some(()),
            _ => None,
        });
        if missing.is_some() || (self.0.behaviour.official_pieces && !self.official_node_has(piece_index)) {
            return Ok(None);
        }
        let segments = Arc::clone(&self.0.segments);
        let piece = tokio::task::spawn_blocking(move || segments.piece(piece_index))
            .await
            .map_err(|error| domain_error(error.to_string()))?
            .map_err(|error| domain_error(error.to_string()))?;
        let corrupted = self.0.faults.find(|kind| match kind {
            FaultKind::CorruptPiece(selected) => concerns(*selected, piece_index).then_some(()),
            _ => None,
        });
        Ok(match (piece, corrupted) {
            (Some(piece), Some(())) => corrupt(&piece),
            (piece, _) => piece,
        })
    }

    /// This node makes no object mappings, like an official one without `--create-object-mappings`.
    async fn subscribe_object_mappings(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        if self.0.behaviour.unsafe_allowed {
            hold(pending);
        }
        Ok(())
    }

    async fn subscribe_filtered_object_mappings(
        &self,
        pending: PendingSubscriptionSink,
        hashes: Vec<Blake3Hash>,
    ) -> SubscriptionResult {
        if !self.0.behaviour.unsafe_allowed {
            return Ok(());
        }
        if hashes.len() > MAX_OBJECT_HASHES_PER_SUBSCRIPTION {
            let text = format!(
                "object hashes exceed the limit: {} > {MAX_OBJECT_HASHES_PER_SUBSCRIPTION}",
                hashes.len()
            );
            pending.reject(domain_error(text)).await;
            return Ok(());
        }
        hold(pending);
        Ok(())
    }
}

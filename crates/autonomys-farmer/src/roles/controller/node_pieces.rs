//! Pieces that only the node has, served on the data plane: the caches' last resort.

use crate::roles::placement::PlacementReceiver;
use crate::roles::store_items::from_whole;
use autonomys_node_rpc::NodeClient;
use autonomys_transfer::{Item, ItemKey, ItemSource};
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::sync::Arc;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};

/// Pieces asked from the node at once for one reader; the client bounds them all together.
const PIECES_IN_FLIGHT: usize = 8;

/// A segment in memory, 256 pieces in position order.
#[derive(Debug, Clone)]
pub(super) struct HeldSegment {
    pub(super) segment_index: SegmentIndex,
    pub(super) pieces: Arc<Vec<Piece>>,
}

/// The segment being admitted, 256 MiB, from memory; every other piece from the node.
pub(super) struct NodePieces {
    node: NodeClient,
    placement: PlacementReceiver,
    held: Mutex<Option<HeldSegment>>,
}

impl NodePieces {
    pub(super) fn new(node: NodeClient, placement: PlacementReceiver) -> Self {
        Self {
            node,
            placement,
            held: Mutex::new(None),
        }
    }

    /// Keeps a segment, or none; the one before is let go.
    pub(super) fn hold(&self, segment: Option<HeldSegment>) {
        *self.held.lock() = segment;
    }

    fn held_piece(&self, piece_index: PieceIndex) -> Option<Piece> {
        let held = self.held.lock();
        let segment = held
            .as_ref()
            .filter(|segment| segment.segment_index == piece_index.segment_index())?;
        segment.pieces.get(piece_index.position() as usize).cloned()
    }
}

impl ItemSource for NodePieces {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let answers: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let piece_index = PieceIndex::from(key.piece_index);
                let held = self.held_piece(piece_index);
                let (node, placement) = (self.node.clone(), self.placement.clone());
                async move {
                    let piece = match held {
                        Some(piece) => Some(piece),
                        None => match node.piece(piece_index).await {
                            Ok(piece) => piece,
                            Err(error) => {
                                tracing::debug!(%error, %piece_index, "the node gave no piece");
                                None
                            }
                        },
                    };
                    (key, item(key, placement, piece).await)
                }
            })
            .collect();
        futures::stream::iter(answers)
            .buffer_unordered(PIECES_IN_FLIGHT)
            .boxed()
    }
}

/// The piece, or the part of it that was asked for. Hashing a piece takes a third of a millisecond: off the runtime.
async fn item(key: ItemKey, placement: PlacementReceiver, piece: Option<Piece>) -> Option<Item> {
    let bytes = piece?.into_bytes();
    let make = move || from_whole(key, &placement, |_| Some(Item::new(bytes)));
    tokio::task::spawn_blocking(make).await.ok().flatten()
}

/// The pieces of a segment that the node has, by position. A node that does not answer is not asked for the rest.
pub(super) async fn fetch_segment(node: &NodeClient, segment_index: SegmentIndex) -> Vec<Option<Piece>> {
    let first = u64::from(segment_index.first_piece_index());
    let mut answers = futures::stream::iter(first..first + NUM_PIECES_IN_SEGMENT as u64)
        .map(|index| node.piece(PieceIndex::from(index)))
        .buffered(PIECES_IN_FLIGHT);
    let mut pieces = Vec::with_capacity(NUM_PIECES_IN_SEGMENT);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(piece) => pieces.push(piece),
            Err(error) => {
                tracing::debug!(%error, segment = %segment_index, "the node gave no piece");
                break;
            }
        }
    }
    pieces.resize(NUM_PIECES_IN_SEGMENT, None);
    pieces
}

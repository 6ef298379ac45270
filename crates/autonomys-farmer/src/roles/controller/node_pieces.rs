//! Pieces that only the node has, served on the data plane: the caches' last resort.

use crate::roles::placement::PlacementReceiver;
use crate::roles::store_items::from_whole;
use autonomys_node_rpc::NodeClient;
use autonomys_transfer::{Item, ItemKey, ItemSource};
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use tokio::sync::watch;

/// Pieces asked from the node at once for one reader; the client bounds them all together.
const PIECES_IN_FLIGHT: usize = 8;

/// How long a piece of a segment that is being fetched is waited for: less than its asker waits.
const EXPECTED_WITHIN: Duration = Duration::from_secs(50);

/// A segment in memory, 256 pieces in position order.
#[derive(Debug, Clone)]
pub(super) struct HeldSegment {
    pub(super) segment_index: SegmentIndex,
    pub(super) pieces: Arc<Vec<Piece>>,
}

/// The segment being admitted, 256 MiB, from memory; every other piece from the node.
pub(super) struct NodePieces(Arc<Inner>);

struct Inner {
    node: NodeClient,
    placement: PlacementReceiver,
    held: Mutex<Option<HeldSegment>>,
    /// Segment that is being fetched from the node to be held.
    expected: watch::Sender<Option<SegmentIndex>>,
}

/// A segment is being fetched to be held; dropping this ends the wait of those who ask for its pieces.
pub(super) struct Expecting<'a>(&'a Inner);

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        self.0.expected.send_replace(None);
    }
}

impl NodePieces {
    pub(super) fn new(node: NodeClient, placement: PlacementReceiver) -> Self {
        Self(Arc::new(Inner {
            node,
            placement,
            held: Mutex::new(None),
            expected: watch::Sender::new(None),
        }))
    }

    /// Keeps a segment, or none; the one before is let go.
    pub(super) fn hold(&self, segment: Option<HeldSegment>) {
        *self.0.held.lock() = segment;
    }

    /// Says that a segment will be held soon, so that the node is not asked for its pieces once more by every cache.
    pub(super) fn expect(&self, segment: SegmentIndex) -> Expecting<'_> {
        self.0.expected.send_replace(Some(segment));
        Expecting(&self.0)
    }
}

impl Inner {
    fn held_piece(&self, piece_index: PieceIndex) -> Option<Piece> {
        let held = self.held.lock();
        let segment = held
            .as_ref()
            .filter(|segment| segment.segment_index == piece_index.segment_index())?;
        segment.pieces.get(piece_index.position() as usize).cloned()
    }

    async fn piece(&self, piece_index: PieceIndex) -> Option<Piece> {
        if let Some(piece) = self.held_piece(piece_index) {
            return Some(piece);
        }
        let segment = Some(piece_index.segment_index());
        let mut expected = self.expected.subscribe();
        if *expected.borrow_and_update() == segment {
            let ended = expected.wait_for(|expected| *expected != segment);
            // Whoever waited for too long asks the node.
            let _ = tokio::time::timeout(EXPECTED_WITHIN, ended).await;
            if let Some(piece) = self.held_piece(piece_index) {
                return Some(piece);
            }
        }
        let asked = self.node.piece(piece_index).await;
        asked
            .inspect_err(|error| tracing::debug!(%error, %piece_index, "the node gave no piece"))
            .ok()
            .flatten()
    }
}

impl ItemSource for NodePieces {
    fn get(&self, keys: Vec<ItemKey>) -> BoxStream<'static, (ItemKey, Option<Item>)> {
        let answers: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let inner = Arc::clone(&self.0);
                async move {
                    let piece = inner.piece(PieceIndex::from(key.piece_index)).await;
                    (key, item(key, inner.placement.clone(), piece).await)
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

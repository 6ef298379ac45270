//! Inventory and repair of a full-piece cache.

use super::repair::Repairer;
use crate::roles::cache_control::Contents;
use crate::roles::store_items::cache_item;
use anyhow::Result;
use autonomys_cache::{CacheKey, ItemKind};
use autonomys_cluster::messages::CacheItem;
use futures::future::BoxFuture;
use std::sync::Arc;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::segments::SegmentIndex;

/// What the requests are answered from.
pub(super) struct Control(pub(super) Repairer);

impl Contents for Control {
    fn epoch(&self) -> (u64, u64) {
        // Whole pieces are the same in every layout.
        (self.0.archive.progress().0, 0)
    }

    fn page(&self, after: Option<CacheItem>, limit: usize) -> (Vec<CacheItem>, bool) {
        page(&self.0.archive.store.segments(), after, limit)
    }

    fn repair(self: Arc<Self>, items: Vec<CacheItem>) -> BoxFuture<'static, Result<Vec<CacheItem>>> {
        Box::pin(async move {
            let mut repaired = Vec::new();
            for item in items {
                let index = PieceIndex::from(item.piece_index);
                let is_ours = item == cache_item(CacheKey::piece(index))
                    && self.0.archive.store.contains(index.segment_index());
                if is_ours && self.0.repair(index).await? {
                    repaired.push(item);
                }
            }
            Ok(repaired)
        })
    }
}

/// Pieces of these ascending segments, after `after`.
fn page(segments: &[SegmentIndex], after: Option<CacheItem>, limit: usize) -> (Vec<CacheItem>, bool) {
    // The first piece that may be on the page; a name after all kinds of a piece is after the piece.
    let first = after.map_or(0, |after| {
        let is_before = after.kind < ItemKind::Piece as u8;
        after.piece_index.saturating_add(u64::from(!is_before))
    });
    let begin = segments.partition_point(|segment| *segment < PieceIndex::from(first).segment_index());
    let mut items: Vec<_> = segments[begin..]
        .iter()
        .flat_map(|segment| segment.segment_piece_indexes())
        .filter(|index| u64::from(*index) >= first)
        .map(|index| cache_item(CacheKey::piece(index)))
        .take(limit + 1)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    (items, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_segments_once() {
        let segments = [0, 2, 3].map(SegmentIndex::from);
        for limit in [1, 100, 256, 300, 1000] {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let (items, more) = page(&segments, after, limit);
                after = items.last().copied().or(after);
                all.extend(items);
                if !more {
                    break;
                }
            }
            let indexes: Vec<_> = all.iter().map(|item| item.piece_index).collect();
            let expected: Vec<_> = (0..256).chain(512..1024).collect();
            assert_eq!(indexes, expected, "pages of {limit}");
            assert!(all.iter().all(|item| (item.kind, item.shard) == (1, 0)));
        }
        assert_eq!(page(&[], None, 5), (vec![], false));
    }
}

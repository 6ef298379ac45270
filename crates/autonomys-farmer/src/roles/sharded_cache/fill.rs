//! Fetches items of this cache's share: from caches that hold or held the same items, else made from a piece, else from those who
//! have whole pieces.

use super::store::Layout;
use crate::roles::pieces::{CONTROLLER_ITEM_DEADLINE, ITEM_DEADLINE, PieceFetcher, Tier, whole};
use crate::roles::placement::Placement;
use crate::roles::store_items::{cache_key, key_of, part};
use anyhow::Result;
use autonomys_cache::{CacheKey, ItemKind};
use autonomys_transfer::{ItemKey, Source};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::pieces::PieceIndex;

/// Fetches and stores. Cheap to clone.
#[derive(Clone)]
pub(super) struct Filler {
    /// Never asks this cache itself.
    pub(super) fetcher: PieceFetcher,
}

/// What is still to be had.
struct Wanted {
    layout: Arc<Layout>,
    missing: Mutex<BTreeSet<CacheKey>>,
    failed: Mutex<Option<anyhow::Error>>,
}

impl Filler {
    /// Fetches these items and returns how many are stored.
    ///
    /// # Errors
    /// When no disk of the cache works any more.
    pub(super) async fn fill(
        &self,
        layout: &Arc<Layout>,
        placement: &Placement,
        keys: Vec<CacheKey>,
    ) -> Result<usize> {
        let all = keys.len();
        let wanted = Arc::new(Wanted {
            layout: Arc::clone(layout),
            missing: Mutex::new(keys.into_iter().collect()),
            failed: Mutex::default(),
        });
        // Who holds, or held before the last map, the very same item.
        let members = self.fetcher.members();
        self.ask(&wanted, |key| {
            members.part_owners(placement, key.piece_index, key.shard)
        })
        .await;
        // A lost part is made from the others.
        if layout.coding.kind() != ItemKind::Piece {
            self.rebuild(&wanted).await;
        }
        // Those who have whole pieces give any part of them.
        let number = layout.settings.layout;
        let members = self.fetcher.members();
        self.ask(&wanted, |key| {
            members.holders(key.piece_index, key_of(*key, number)).collect()
        })
        .await;
        for controller in members.controllers() {
            let sources = |key: &CacheKey| vec![controller.source(key_of(*key, number))];
            self.ask_within(&wanted, CONTROLLER_ITEM_DEADLINE, sources).await;
        }
        let layout = Arc::clone(layout);
        let synced = tokio::task::spawn_blocking(move || layout.slab.sync()).await?;
        if let Err(error) = synced {
            tracing::warn!("stored items may be lost if the machine stops now: {error}");
        }
        if let Some(error) = wanted.failed.lock().take() {
            return Err(error);
        }
        let left = wanted.missing.lock().len();
        Ok(all - left)
    }

    /// Asks for the items themselves.
    async fn ask(&self, wanted: &Arc<Wanted>, sources: impl Fn(&CacheKey) -> Vec<Source>) {
        self.ask_within(wanted, ITEM_DEADLINE, sources).await;
    }

    async fn ask_within(
        &self,
        wanted: &Arc<Wanted>,
        item_deadline: Duration,
        sources: impl Fn(&CacheKey) -> Vec<Source>,
    ) {
        let wants: Vec<_> = wanted
            .missing
            .lock()
            .iter()
            .map(sources)
            .filter(|sources| !sources.is_empty())
            .map(whole)
            .collect();
        if wants.is_empty() {
            return;
        }
        let length = wanted.layout.item_len();
        let take = async |key: ItemKey, bytes| store(wanted, cache_key(key), bytes).await;
        self.fetcher.fetch_items(wants, length, item_deadline, take).await;
    }

    /// Makes parts from whole pieces that the other parts' owners give.
    async fn rebuild(&self, wanted: &Arc<Wanted>) {
        let mut parts: BTreeMap<PieceIndex, Vec<CacheKey>> = BTreeMap::new();
        for key in wanted.missing.lock().iter() {
            parts.entry(key.piece_index).or_default().push(*key);
        }
        if parts.is_empty() {
            return;
        }
        let indexes = parts.keys().copied().collect();
        let mut pieces = self.fetcher.fetch_stream(indexes, &[Tier::Owners]);
        while let Some(fetched) = pieces.next().await {
            let Some(piece) = fetched.piece else { continue };
            let keys = parts.remove(&fetched.index).unwrap_or_default();
            let coding = wanted.layout.coding;
            let made = tokio::task::spawn_blocking(move || {
                let make = |key: CacheKey| Some((key, part(&coding, piece.as_ref(), key.shard)?));
                keys.into_iter().filter_map(make).collect::<Vec<_>>()
            });
            for (key, bytes) in made.await.unwrap_or_default() {
                store(wanted, key, bytes).await;
            }
        }
    }
}

/// Stores one item that came.
async fn store(wanted: &Arc<Wanted>, key: CacheKey, bytes: Bytes) {
    let wanted = Arc::clone(wanted);
    let work = move || match wanted.layout.put(key, &bytes) {
        Ok(true) => drop(wanted.missing.lock().remove(&key)),
        Ok(false) => {}
        Err(error) => *wanted.failed.lock() = Some(error),
    };
    if tokio::task::spawn_blocking(work).await.is_err() {
        tracing::error!("storing an item crashed");
    }
}

//! Stage one: the sector's pieces.

use super::cluster::Served;
use super::stages::{Stage, Track, watch};
use anyhow::{Result, bail};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use subspace_core_primitives::pieces::{Piece, PieceIndex};

/// First and longest pause before missing pieces are asked for again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// When no piece at all has come for this long the job fails, so that another server may try.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);

/// All pieces of the sector, asked for again until they are there. What has come is kept when an attempt is begun again.
pub(super) async fn fetch(
    indexes: &[PieceIndex],
    served: &Served,
    track: &Track,
) -> Result<BTreeMap<PieceIndex, Piece>> {
    let distinct: BTreeSet<_> = indexes.iter().copied().collect();
    let mut pieces = BTreeMap::new();
    let mut pause = PAUSE.0;
    // Since the last piece; the track's own time begins anew with every attempt.
    let mut last_piece = tokio::time::Instant::now();
    track.enter(Stage::Fetch, distinct.len() as u64);
    loop {
        let missing: Vec<_> = distinct
            .iter()
            .copied()
            .filter(|index| !pieces.contains_key(index))
            .collect();
        let Some(first) = missing.first().copied() else {
            return Ok(pieces);
        };
        if last_piece.elapsed() > GIVE_UP_AFTER {
            bail!(
                "{} pieces, the first with index {first}, are nowhere in the cluster; check the caches and the node",
                missing.len()
            );
        }
        let before = pieces.len();
        let mut coming = served
            .fetcher
            .fetch_stream(missing, served.tiers(last_piece.elapsed()));
        let attempt = watch(track, async {
            while let Some(fetched) = coming.next().await {
                if let Some(piece) = fetched.piece {
                    if pieces.insert(fetched.index, piece).is_none() {
                        track.waits_for("");
                    }
                    track.reached(pieces.len() as u64);
                }
            }
        });
        let attempt = attempt.await;
        drop(coming);
        if pieces.len() > before {
            last_piece = tokio::time::Instant::now();
            pause = PAUSE.0;
        }
        if let Err(stalled) = attempt {
            tracing::warn!("{stalled}; asking anew");
            track.restarted();
            served.restarts.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let missing = distinct.len() - pieces.len();
        if missing == 0 {
            continue;
        }
        track.waits_for(format!("{missing} pieces that nobody who was asked has"));
        tracing::info!(missing, %first, "pieces are missing, asking again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

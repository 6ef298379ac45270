//! Repairs damaged pieces: fetched from whoever has them, else reconstructed from half of their segment, and always checked against
//! the chain's commitment before they are written.

use super::archive::Archive;
use crate::args::kzg::{KzgArgs, precompute};
use crate::roles::chain::{Arithmetic, Chain, available_processors, compute_pool};
use crate::roles::pieces::{PieceFetcher, Tier};
use crate::roles::priority::Priority;
use anyhow::{Context, Result};
use autonomys_cluster::settings::CacheSettings;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_archiving::reconstruction::PiecesReconstructor;
use subspace_archiving::validation::{PieceToCheck, find_invalid_pieces, is_piece_valid};
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentCommitment, SegmentIndex};
use tokio::sync::{OnceCell, watch};

/// Pause before damage that could not be repaired is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// How often the check of all segments tells how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// Each of them is asked on its own, since what one gives may be wrong.
const TIERS: [Tier; 3] = [Tier::Owners, Tier::FullPieceCaches, Tier::Controllers];

/// Repairs, one piece at a time. Cheap to clone.
#[derive(Clone)]
pub(super) struct Repairer {
    pub(super) archive: Arc<Archive>,
    /// Never asks this cache itself.
    fetcher: PieceFetcher,
    chain: Chain,
    kzg: KzgArgs,
    /// Loaded for the first repair: most caches never need it.
    tools: Arc<OnceCell<Tools>>,
}

#[derive(Clone)]
struct Tools {
    arithmetic: Arithmetic,
    pool: Arc<rayon::ThreadPool>,
}

impl Repairer {
    pub(super) fn new(archive: Arc<Archive>, fetcher: PieceFetcher, chain: Chain, kzg: KzgArgs) -> Self {
        Self {
            archive,
            fetcher,
            chain,
            kzg,
            tools: Arc::default(),
        }
    }

    /// Repairs what is found damaged, and looks for damage whenever an epoch begins; for ever.
    pub(super) async fn run(self, mut settings: watch::Receiver<Option<CacheSettings>>) {
        loop {
            let epoch = settings
                .borrow_and_update()
                .as_ref()
                .map_or(0, |settings| settings.epoch);
            self.archive.want_epoch(epoch);
            let begins = !self.archive.is_checked();
            if begins {
                self.check_all(epoch).await;
            }
            self.repair_all().await;
            if begins {
                self.archive.set_checked(epoch);
                let archive = Arc::clone(&self.archive);
                let remember = move || archive.checked_epoch.set(epoch);
                if let Ok(Err(error)) = tokio::task::spawn_blocking(remember).await {
                    tracing::warn!("the check would be done again after a restart: {error:#}");
                }
            }
            let damaged = !self.archive.damaged().is_empty();
            tokio::select! {
                () = self.archive.found.notified() => {}
                () = tokio::time::sleep(RETRY_INTERVAL), if damaged => {}
                changed = settings.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Reads every piece once.
    async fn check_all(&self, epoch: u64) {
        let segments = self.archive.store.segments();
        let (total, mut told) = (segments.len(), Instant::now());
        tracing::info!(epoch, segments = total, "checking all segments for a new epoch");
        for (done, segment) in segments.into_iter().enumerate() {
            let archive = Arc::clone(&self.archive);
            let check = move || archive.note_damage(archive.store.verify_segment(segment));
            if tokio::task::spawn_blocking(check).await.is_err() {
                tracing::error!(%segment, "the check of a segment crashed");
            }
            if told.elapsed() >= REPORT_INTERVAL {
                told = Instant::now();
                tracing::info!(epoch, done, total, "checking all segments");
            }
        }
        let damaged = self.archive.damaged().len();
        tracing::info!(epoch, segments = total, damaged, "all segments are checked");
    }

    async fn repair_all(&self) {
        for piece in self.archive.damaged() {
            match self.repair(piece).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(%piece, "a damaged piece cannot be had anywhere at the moment, trying again");
                }
                Err(error) => tracing::warn!(%piece, "a damaged piece cannot be repaired: {error:#}"),
            }
        }
    }

    /// Replaces a piece; `false` when it cannot be had now. What is there stays until there is a right one.
    pub(super) async fn repair(&self, index: PieceIndex) -> Result<bool> {
        let segment = index.segment_index();
        let commitment = self
            .archive
            .commitment(segment)
            .with_context(|| format!("the header of segment {segment} is not known yet"))?;
        let tools = self.tools().await?;
        let piece = match self.fetch_right(index, commitment, &tools).await? {
            Some(piece) => Some((piece, "fetched")),
            None => {
                let piece = self.reconstruct(index, commitment, &tools).await?;
                piece.map(|piece| (piece, "reconstructed"))
            }
        };
        let Some((piece, how)) = piece else {
            return Ok(false);
        };
        let archive = Arc::clone(&self.archive);
        tokio::task::spawn_blocking(move || archive.store.put_piece(index, piece.as_ref())).await??;
        self.archive.note_repair(index);
        tracing::info!(piece = %index, how, "a piece was repaired");
        Ok(true)
    }

    async fn tools(&self) -> Result<Tools> {
        let load = || async {
            let pool = compute_pool("repair", available_processors(), Priority::Normal)?;
            let arithmetic = Arithmetic::load(self.chain, &self.kzg, &pool).await?;
            let (kzg, threads) = (arithmetic.kzg.clone(), Arc::clone(&pool));
            tokio::task::spawn_blocking(move || precompute(&kzg, &threads)).await?;
            anyhow::Ok(Tools { arithmetic, pool })
        };
        self.tools.get_or_try_init(load).await.cloned()
    }

    /// The piece from somebody who gives the right one.
    async fn fetch_right(
        &self,
        index: PieceIndex,
        commitment: SegmentCommitment,
        tools: &Tools,
    ) -> Result<Option<Piece>> {
        for tier in TIERS {
            let Some(piece) = self.fetcher.fetch([index], &[tier]).await.pieces.remove(&index) else {
                continue;
            };
            let kzg = tools.arithmetic.kzg.clone();
            let check = move || is_piece_valid(&kzg, &piece, &commitment, index.position()).then_some(piece);
            match tokio::task::spawn_blocking(check).await? {
                Some(piece) => return Ok(Some(piece)),
                None => tracing::warn!(piece = %index, ?tier, "a piece does not belong to its segment"),
            }
        }
        Ok(None)
    }

    /// The piece from any half of its segment, wherever those pieces are.
    async fn reconstruct(
        &self,
        index: PieceIndex,
        commitment: SegmentCommitment,
        tools: &Tools,
    ) -> Result<Option<Piece>> {
        let segment = index.segment_index();
        let archive = Arc::clone(&self.archive);
        let read = move || own_pieces(&archive, segment, index);
        let mut pieces = tokio::task::spawn_blocking(read).await?;
        let missing: Vec<_> = segment
            .segment_piece_indexes()
            .zip(&pieces)
            .filter(|(other, piece)| piece.is_none() && *other != index)
            .map(|(other, _)| other)
            .collect();
        if pieces.iter().flatten().count() < NUM_PIECES_IN_SEGMENT / 2 {
            for (other, piece) in self.fetcher.fetch(missing, &TIERS).await.pieces {
                pieces[other.position() as usize] = Some(piece);
            }
        }
        let (arithmetic, pool) = (tools.arithmetic.clone(), Arc::clone(&tools.pool));
        let work = move || {
            drop_invalid(&mut pieces, commitment, &arithmetic, &pool);
            if pieces.iter().flatten().count() < NUM_PIECES_IN_SEGMENT / 2 {
                return Ok(None);
            }
            let reconstructor = PiecesReconstructor::new(arithmetic.kzg, arithmetic.erasure_coding);
            let piece = reconstructor.reconstruct_piece(&pieces, &commitment, index.position(), &pool)?;
            anyhow::Ok(Some(piece))
        };
        tokio::task::spawn_blocking(work).await?
    }
}

/// The good pieces of a segment that are here, by position, without the one to be repaired.
fn own_pieces(archive: &Archive, segment: SegmentIndex, without: PieceIndex) -> Vec<Option<Piece>> {
    segment
        .segment_piece_indexes()
        .map(|index| {
            let item = (index != without).then(|| archive.get(index)).flatten()?;
            Piece::from_bytes(item.into_bytes()).ok()
        })
        .collect()
}

/// Takes out what does not belong to the segment, so that one wrong piece does not spoil the others.
fn drop_invalid(
    pieces: &mut [Option<Piece>],
    segment_commitment: SegmentCommitment,
    arithmetic: &Arithmetic,
    pool: &rayon::ThreadPool,
) {
    let to_check: Vec<_> = (0..)
        .zip(pieces.iter())
        .filter_map(|(position, piece)| {
            Some(PieceToCheck {
                piece: piece.clone()?,
                segment_commitment,
                position,
            })
        })
        .collect();
    for wrong in find_invalid_pieces(&arithmetic.kzg, &to_check, pool) {
        pieces[to_check[wrong].position as usize] = None;
    }
}

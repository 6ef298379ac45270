//! One plot job from its pieces to the spooled sector.

use super::Shared;
use super::spool::SpooledSector;
use anyhow::{Context, Result, bail};
use autonomys_cluster::plot_jobs::{JobLost, PlotJob, TakenJob};
use autonomys_transfer::SectorKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::{Piece, PieceIndex};
use subspace_core_primitives::sectors::SectorId;
use subspace_farmer_components::plotting::{
    EncodedSector, SectorToEncode, encode_sector, sector_piece_indexes,
};
use tokio_util::sync::CancellationToken;

/// First and longest pause before missing pieces are asked for again.
const FETCH_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Pieces that cannot be had for this long make the job fail, so that another server may try.
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// A job in hand.
pub(super) struct Job<'a> {
    taken: TakenJob,
    job: PlotJob,
    shared: &'a Arc<Shared>,
}

impl<'a> Job<'a> {
    pub(super) fn new(taken: TakenJob, shared: &'a Arc<Shared>) -> Self {
        let job = taken.job().clone();
        Self { taken, job, shared }
    }

    /// Works on the job while keeping it alive; whatever happens, the record says so afterwards.
    pub(super) async fn run(mut self) {
        let abandoned = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(self.shared);
        let key = SectorKey {
            public_key: *self.job.id.public_key,
            sector_index: self.job.id.sector_index,
            history_size: self.job.id.history_size.get(),
        };
        // Finished before a restart, and handed out again before it was offered.
        let finished = shared.spool.get(&key).filter(|_| !self.taken.was_rejected_here());
        let job = self.job.clone();
        let work = async {
            match finished {
                Some(sector) => Ok(sector),
                None => plot(job, key, Arc::clone(&shared), Arc::clone(&abandoned)).await,
            }
        };
        let (worked, lost) = (CancellationToken::new(), CancellationToken::new());
        let work = async {
            let end = tokio::select! {
                outcome = work => End::Worked(outcome),
                () = shared.cancel.cancelled() => End::Stopped,
                () = lost.cancelled() => End::Lost,
            };
            worked.cancel();
            end
        };
        // Side by side: without NATS a renewal takes long, and the work goes on meanwhile. A renewal that has begun is always awaited,
        // because its revision is what the next change names.
        let (end, ()) = tokio::join!(work, keep_alive(&mut self.taken, &worked, &lost));
        match end {
            End::Stopped => {
                // The encoder looks at the flag between records.
                abandoned.store(true, Ordering::Relaxed);
                settle("handing a job back", self.taken.release().await);
            }
            End::Lost => {
                abandoned.store(true, Ordering::Relaxed);
                tracing::warn!(job = %self.job.id, "the job was given to somebody else");
            }
            End::Worked(Err(error)) => {
                settle("failing a job", self.taken.fail(&format!("{error:#}")).await);
            }
            End::Worked(Ok(sector)) => {
                shared.finished.fetch_add(1, Ordering::Relaxed);
                // If this does not get through, the spool is compared with the records soon.
                settle("offering a sector", self.taken.ready(sector.ready(&shared)).await);
            }
        }
    }
}

/// How the work on a job ended.
enum End {
    Worked(Result<SpooledSector>),
    /// The process was told to stop.
    Stopped,
    /// The job is somebody else's by now.
    Lost,
}

/// Renews the lease until the work has ended, or the job is lost.
async fn keep_alive(taken: &mut TakenJob, worked: &CancellationToken, lost: &CancellationToken) {
    let mut alive = tokio::time::interval(super::JOB_TIMES.keep_alive_interval());
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worked.cancelled() => return,
            _ = alive.tick() => {}
        }
        match taken.keep_alive().await {
            Ok(()) => {}
            Err(JobLost::Lost(_)) => {
                lost.cancel();
                return;
            }
            // Without NATS the work goes on; the lease decides who has it in the end.
            Err(error) => tracing::debug!(%error, "a job could not be kept alive"),
        }
    }
}

fn settle(what: &str, outcome: Result<(), JobLost>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{what} did not get through");
    }
}

async fn plot(
    job: PlotJob,
    key: SectorKey,
    shared: Arc<Shared>,
    abandoned: Arc<AtomicBool>,
) -> Result<SpooledSector> {
    let started = Instant::now();
    let public_key_hash = job.id.public_key.hash();
    let sector_id = SectorId::new(&public_key_hash, job.id.sector_index, job.id.history_size);
    let indexes = sector_piece_indexes(
        &sector_id,
        job.id.history_size,
        job.pieces_in_sector,
        &job.protocol_info,
    );
    let pieces = fetch(&indexes, &shared).await?;
    let fetched = started.elapsed();

    let permit = shared.encoder.acquire().await.context("the encoder is gone")?;
    let encode_started = Instant::now();
    let sector = SectorToEncode {
        public_key_hash,
        sector_index: job.id.sector_index,
        history_size: job.id.history_size,
        pieces: indexes.iter().map(|index| pieces[index].clone()).collect(),
    };
    drop(pieces);
    let encoded = encode(sector, Arc::clone(&shared), abandoned).await?;
    drop(permit);
    let encoded_in = encode_started.elapsed();

    let spool = Arc::clone(&shared.spool);
    let spooled = tokio::task::spawn_blocking(move || spool.store(key, &encoded)).await??;
    tracing::info!(
        public_key = %job.id.public_key,
        sector = job.id.sector_index,
        history_size = job.id.history_size.get(),
        fetch_ms = fetched.as_millis(),
        encode_ms = encoded_in.as_millis(),
        total_ms = started.elapsed().as_millis(),
        "sector finished"
    );
    Ok(spooled)
}

/// All pieces of the sector, asked for again until they are there.
async fn fetch(indexes: &[PieceIndex], shared: &Shared) -> Result<BTreeMap<PieceIndex, Piece>> {
    let started = Instant::now();
    let mut pieces = BTreeMap::new();
    let mut pause = FETCH_PAUSE.0;
    loop {
        let wanted = indexes
            .iter()
            .copied()
            .filter(|index| !pieces.contains_key(index))
            .collect::<Vec<_>>();
        let mut fetched = shared
            .fetcher
            .fetch(wanted, shared.tiers(started.elapsed()))
            .await;
        pieces.append(&mut fetched.pieces);
        let Some(first) = fetched.missing.first() else {
            return Ok(pieces);
        };
        let missing = fetched.missing.len();
        if started.elapsed() > FETCH_LIMIT {
            bail!(
                "{missing} pieces, the first with index {first}, are nowhere in the cluster; check the caches and the node"
            );
        }
        tracing::info!(missing, first = %first, "pieces are missing, asking again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(FETCH_PAUSE.1);
    }
}

async fn encode(
    sector: SectorToEncode,
    shared: Arc<Shared>,
    abandoned: Arc<AtomicBool>,
) -> Result<EncodedSector> {
    tokio::task::spawn_blocking(move || {
        let arithmetic = &shared.arithmetic;
        encode_sector(
            sector,
            &*arithmetic.proof_of_space,
            &arithmetic.erasure_coding,
            &shared.pool,
            shared.concurrency,
            &|_records| {},
            &abandoned,
        )
    })
    .await
    .context("the encoder crashed")?
    .map_err(Into::into)
}

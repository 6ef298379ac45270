//! One plot job from its pieces to the spooled sector, kept alive all the while.

use super::cluster::Served;
use super::encoding::encode;
use super::fetching::fetch;
use super::machine::Places;
use super::spool::SpooledSector;
use super::spool::space::Reservation;
use super::spooling::spool;
use super::stages::Track;
use anyhow::Result;
use autonomys_cluster::plot_jobs::{JobLost, PlotJob, TakenJob};
use autonomys_transfer::SectorKey;
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use subspace_core_primitives::sectors::SectorId;
use subspace_farmer_components::plotting::{SectorToEncode, sector_piece_indexes};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Times an attempt at a job is begun again here after one without progress; then another server may try.
const MAX_RESTARTS: u32 = 3;

/// Why there is no sector.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be made; that counts as an attempt.
    Job(anyhow::Error),
    /// This machine could not make it or keep it, which is not the job's fault: it is given back as it was.
    Here(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Job(error)
    }
}

/// A job in hand.
pub(super) struct Job {
    taken: TakenJob,
    served: Arc<Served>,
    track: Arc<Track>,
    /// The place of the stage that comes first.
    fetch_place: OwnedSemaphorePermit,
    reservation: Reservation,
}

/// How the work on a job ended.
enum End {
    Worked(Result<SpooledSector, Failure>),
    /// The process was told to stop.
    Stopped,
    /// The job is somebody else's by now.
    Lost,
}

impl Job {
    pub(super) fn new(
        taken: TakenJob,
        served: Arc<Served>,
        track: Arc<Track>,
        fetch_place: OwnedSemaphorePermit,
        reservation: Reservation,
    ) -> Self {
        Self {
            taken,
            served,
            track,
            fetch_place,
            reservation,
        }
    }

    /// Works on the job while keeping it alive; whatever happens, the record says so afterwards.
    pub(super) async fn run(self) {
        let Self {
            mut taken,
            served,
            track,
            fetch_place,
            reservation,
        } = self;
        let job = taken.job().clone();
        let key = sector_key(&job);
        // Finished before a restart, and handed out again before it was offered.
        let finished = served.spool.get(&key).filter(|_| !taken.was_rejected_here());
        let (worked, lost) = (CancellationToken::new(), CancellationToken::new());
        let work = async {
            let work = async {
                match finished {
                    Some(sector) => Ok(sector),
                    // Large: it carries the stages.
                    None => plot(&job, key, &served, &track, fetch_place).boxed().await,
                }
            };
            // Dropping the work tells its threads to stop, which they do between records or parts of the file.
            let end = tokio::select! {
                outcome = work => End::Worked(outcome),
                () = served.machine.cancel.cancelled() => End::Stopped,
                () = lost.cancelled() => End::Lost,
            };
            worked.cancel();
            end
        };
        // Side by side: without NATS a renewal takes long, and the work goes on meanwhile. A renewal that has begun is always awaited,
        // because its revision is what the next change names.
        let (end, ()) = tokio::join!(work, keep_alive(&mut taken, &worked, &lost));
        match end {
            End::Stopped => settle("handing a job back", taken.release().await),
            End::Lost => tracing::warn!(job = %job.id, "the job was given to somebody else"),
            End::Worked(Err(Failure::Job(error))) => {
                settle("failing a job", taken.fail(&format!("{error:#}")).await);
            }
            End::Worked(Err(Failure::Here(error))) => {
                tracing::warn!(job = %job.id, "the job is given back, this machine cannot finish it: {error:#}");
                settle("handing a job back", taken.release().await);
            }
            End::Worked(Ok(sector)) => {
                served.finished.fetch_add(1, Ordering::Relaxed);
                // If this does not get through, the spool is compared with the records soon.
                settle("offering a sector", taken.ready(served.ready(&sector)).await);
            }
        }
        drop(reservation);
    }
}

fn sector_key(job: &PlotJob) -> SectorKey {
    SectorKey {
        public_key: *job.id.public_key,
        sector_index: job.id.sector_index,
        history_size: job.id.history_size.get(),
    }
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

/// Takes the job through its stages. The place of a stage is kept until the next one's is free: that is what bounds the memory
/// ([`Places`]).
async fn plot(
    job: &PlotJob,
    key: SectorKey,
    served: &Arc<Served>,
    track: &Arc<Track>,
    fetch_place: OwnedSemaphorePermit,
) -> Result<SpooledSector, Failure> {
    let started = Instant::now();
    let public_key_hash = job.id.public_key.hash();
    let sector_id = SectorId::new(&public_key_hash, job.id.sector_index, job.id.history_size);
    let indexes = sector_piece_indexes(
        &sector_id,
        job.id.history_size,
        job.pieces_in_sector,
        &job.protocol_info,
    );
    let machine = &served.machine;
    let mut times = Times::default();
    let mut first_place = Some(fetch_place);
    let (records, spool_place) = loop {
        let fetch_place = match first_place.take() {
            Some(place) => place,
            None => {
                track
                    .held_back(
                        "another sector's pieces".to_string(),
                        Places::take(&machine.places.fetch),
                    )
                    .await
            }
        };
        let (fetched_at, pieces) = (Instant::now(), fetch(&indexes, served, track).await?);
        times.fetch = fetched_at.elapsed();
        let encode_place = track
            .held_back(
                "the encoder, which has another sector".to_string(),
                Places::take(&machine.places.encode),
            )
            .await;
        drop(fetch_place);
        let sector = SectorToEncode {
            public_key_hash,
            sector_index: job.id.sector_index,
            history_size: job.id.history_size,
            pieces: indexes.iter().map(|index| pieces[index].clone()).collect(),
        };
        drop(pieces);
        let encoded_at = Instant::now();
        let encoded = encode(sector, encode_place, served, track).await?;
        times.encode = encoded_at.elapsed();
        if let Some((records, encode_place)) = encoded {
            let spool_place = track
                .held_back(
                    "another sector to be written".to_string(),
                    Places::take(&machine.places.spool),
                )
                .await;
            drop(encode_place);
            break (records, spool_place);
        }
        // The pieces went with the attempt: they are fetched again.
        if track.status().restarts >= MAX_RESTARTS {
            return Err(Failure::Job(anyhow::anyhow!(
                "{MAX_RESTARTS} attempts made no progress; see the log of this plot-server"
            )));
        }
    };
    let spooled_at = Instant::now();
    let spooled = spool(key, records, spool_place, served, track).await?;
    tracing::info!(
        public_key = %job.id.public_key,
        sector = job.id.sector_index,
        history_size = job.id.history_size.get(),
        fetch_ms = times.fetch.as_millis(),
        encode_ms = times.encode.as_millis(),
        spool_ms = spooled_at.elapsed().as_millis(),
        total_ms = started.elapsed().as_millis(),
        "sector finished"
    );
    Ok(spooled)
}

/// How long the stages of the last attempt took.
#[derive(Default)]
struct Times {
    fetch: Duration,
    encode: Duration,
}

//! Stage three: the sector goes to the disk.
//!
//! A finished sector has cost too much to be thrown away for a full disk: its records stay in memory until there is room or the disk
//! works again, and what comes behind waits. Only when that takes too long is the job given back.

use super::cluster::Served;
use super::job::Failure;
use super::spool::SpooledSector;
use super::spool::writing::{StoreError, Writing};
use super::stages::{OnThread, Stage, Track, on_thread};
use anyhow::anyhow;
use autonomys_transfer::SectorKey;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use subspace_farmer_components::plotting::EncodedRecords;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A disk that is full or failed is tried again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// A sector that could not be written for this long is given up, so that another server may make it.
const KEEP_FOR: Duration = Duration::from_secs(900);

/// How one attempt at writing ended.
pub(super) enum Written {
    Stored(SpooledSector),
    Failed(StoreError),
    /// It made no progress and was abandoned.
    Stalled,
}

/// Somebody who tries to write a sector.
trait Attempt: Send {
    fn attempt(&mut self) -> BoxFuture<'_, Result<Written, Failure>>;
}

/// Writes the sector, for as long as it takes.
pub(super) async fn spool(
    key: SectorKey,
    records: EncodedRecords,
    place: OwnedSemaphorePermit,
    served: &Arc<Served>,
    track: &Arc<Track>,
) -> Result<SpooledSector, Failure> {
    let mut writer = Writer {
        key,
        held: Some((records, place)),
        served: Arc::clone(served),
        track: Arc::clone(track),
    };
    until_stored(track, &mut writer).await
}

/// One sector on its way to the disk.
struct Writer {
    key: SectorKey,
    /// Both go with the thread that writes, and come back with it.
    held: Option<(EncodedRecords, OwnedSemaphorePermit)>,
    served: Arc<Served>,
    track: Arc<Track>,
}

impl Attempt for Writer {
    fn attempt(&mut self) -> BoxFuture<'_, Result<Written, Failure>> {
        Box::pin(self.write())
    }
}

impl Writer {
    async fn write(&mut self) -> Result<Written, Failure> {
        let Some((records, place)) = self.held.take() else {
            return Err(Failure::Here(anyhow!("the sector is with a thread that hangs")));
        };
        let (key, served, track) = (self.key, Arc::clone(&self.served), Arc::clone(&self.track));
        track.enter(Stage::Spool, records.sector_size());
        let (working, progress) = (Arc::clone(&served), Arc::clone(&track));
        let ended = on_thread(&track, move |abandoned| {
            let writing = Writing {
                pool: &working.machine.pool,
                abandoned,
                progress: &|bytes| progress.reached(bytes),
                after: &|_| Ok(()),
            };
            let stored = working.spool.store(key, &records, &writing);
            (stored, records, place)
        });
        match ended.await? {
            OnThread::Ended((Ok(sector), ..)) => {
                served.machine.disk_works();
                Ok(Written::Stored(sector))
            }
            OnThread::Ended((Err(error), records, place)) => {
                if matches!(error, StoreError::Disk { .. }) {
                    served.machine.disk_failed(&served.spool);
                }
                self.held = Some((records, place));
                Ok(Written::Failed(error))
            }
            OnThread::Abandoned(stalled, (stored, records, place)) => {
                if let Ok(sector) = stored {
                    return Ok(Written::Stored(sector));
                }
                tracing::warn!("{stalled}; the attempt is abandoned and begun again");
                track.restarted();
                served.restarts.fetch_add(1, Ordering::Relaxed);
                self.held = Some((records, place));
                Ok(Written::Stalled)
            }
            OnThread::Hangs(stalled) => {
                let reason = format!("{stalled}, and the disk does not answer: this machine needs a look");
                served.machine.break_off(&reason);
                Err(Failure::Here(anyhow!(reason)))
            }
        }
    }
}

/// Attempts until the sector is stored, or it has taken too long.
async fn until_stored(track: &Track, writer: &mut dyn Attempt) -> Result<SpooledSector, Failure> {
    let started = Instant::now();
    let mut said = None;
    loop {
        let error = match writer.attempt().await? {
            Written::Stored(sector) => {
                if said.is_some() {
                    tracing::info!("a finished sector that had to wait for its disk is written");
                }
                return Ok(sector);
            }
            Written::Failed(error) => anyhow::Error::from(error),
            Written::Stalled => anyhow!("the disk is too slow"),
        };
        let reason = format!("{error:#}");
        if started.elapsed() >= KEEP_FOR {
            let what = format!("the finished sector could not be written for {KEEP_FOR:?}");
            return Err(Failure::Here(error.context(what)));
        }
        if said.as_ref() != Some(&reason) {
            tracing::warn!("a finished sector is kept in memory until it can be written: {reason}");
            said = Some(reason.clone());
        }
        track
            .held_back(format!("the disk: {reason}"), tokio::time::sleep(RETRY_PAUSE))
            .await;
    }
}

#[cfg(test)]
mod tests {
    //! Full disks, on a clock that does not wait.

    use super::*;
    use std::path::PathBuf;

    /// A disk that stays full, and how often it was tried.
    #[derive(Default)]
    struct Full(u32);

    impl Attempt for Full {
        fn attempt(&mut self) -> BoxFuture<'_, Result<Written, Failure>> {
            self.0 += 1;
            let path = PathBuf::from("/spool/x.sector");
            Box::pin(std::future::ready(Ok(Written::Failed(StoreError::Full { path }))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_sector_waits_for_room_and_says_for_what() {
        let track = Track::new("ab 1".to_string());
        let mut full = Full::default();
        let waiting = tokio::time::timeout(KEEP_FOR / 2, until_stored(&track, &mut full)).await;
        assert!(waiting.is_err(), "neither failed nor given back");
        assert!(full.0 > 10, "{}", full.0);
        assert_eq!(
            track.status().waits_for,
            "the disk: no space is left for /spool/x.sector"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sector_that_can_never_be_written_is_given_back() {
        let track = Track::new("ab 1".to_string());
        let started = Instant::now();
        let outcome = until_stored(&track, &mut Full::default()).await;
        let Err(Failure::Here(error)) = outcome else {
            panic!("{outcome:?}")
        };
        let said = format!("{error:#}");
        assert!(
            said.contains("could not be written for 900s: no space is left"),
            "{said}"
        );
        assert!(started.elapsed() >= KEEP_FOR && started.elapsed() < KEEP_FOR + 2 * RETRY_PAUSE);
    }
}

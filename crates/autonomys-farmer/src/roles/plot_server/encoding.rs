//! Stage two: pieces become encoded records, on the threads that are there for it.

use super::cluster::Served;
use super::job::Failure;
use super::stages::{OnThread, Stage, Track, on_thread};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use subspace_farmer_components::plotting::{EncodedRecords, SectorToEncode, encode_records};
use tokio::sync::OwnedSemaphorePermit;

/// Encodes; gives the records with the place that their memory is counted by, or `None` when the attempt made no progress and was
/// abandoned.
pub(super) async fn encode(
    sector: SectorToEncode,
    place: OwnedSemaphorePermit,
    served: &Arc<Served>,
    track: &Arc<Track>,
) -> Result<Option<(EncodedRecords, OwnedSemaphorePermit)>, Failure> {
    track.enter(Stage::Encode, sector.pieces.len() as u64);
    let (working, progress) = (Arc::clone(served), Arc::clone(track));
    let ended = on_thread(track, move |abandoned| {
        let (arithmetic, machine) = (&working.arithmetic, &working.machine);
        let records = encode_records(
            sector,
            &*arithmetic.proof_of_space,
            &arithmetic.erasure_coding,
            &machine.pool,
            machine.concurrency,
            &|records| progress.reached(u64::from(records)),
            abandoned,
        );
        (records, place)
    });
    match ended.await? {
        OnThread::Ended((records, place)) => Ok(Some((records.map_err(anyhow::Error::from)?, place))),
        OnThread::Abandoned(stalled, _) => {
            tracing::warn!("{stalled}; the attempt is abandoned and begun again");
            track.restarted();
            served.restarts.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }
        OnThread::Hangs(stalled) => {
            let reason = format!("{stalled}, and its threads do not return: this machine needs a look");
            served.machine.break_off(&reason);
            Err(Failure::Here(anyhow::anyhow!(reason)))
        }
    }
}

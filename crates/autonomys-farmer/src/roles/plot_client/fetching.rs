//! Pulls one finished sector from its plot-server into the plot file.

use super::farm_set::FarmSet;
use super::plotting::is_plotted;
use crate::roles::context::peer;
use anyhow::{Context, Result, bail};
use autonomys_cluster::members::MembersView;
use autonomys_cluster::plot_jobs::{JobRecord, JobState, PlotJobs, ReadySector};
use autonomys_farm::{Farm, FarmError, SectorOrigin, SectorWriter};
use autonomys_transfer::error::ErrorCode;
use autonomys_transfer::{Peer, Pool, SectorKey, SessionKey, TransferError};
use bytes::Bytes;
use futures::StreamExt;
use parity_scale_codec::DecodeAll;
use std::sync::Arc;
use std::time::Duration;
use subspace_farmer_components::sector::SectorMetadataChecksummed;
use tokio::time::Instant;

/// One attempt may take this long per gigabyte plus a little; a sector of 1000 pieces at 10 MB/s.
const DEADLINE: Duration = Duration::from_secs(120);
/// Times the rest of a sector is asked for after a cut before the attempt counts as failed; the plot-server keeps the sector.
const RESUMPTIONS: u32 = 5;
/// Pause before the rest is asked for.
const RESUME_PAUSE: Duration = Duration::from_millis(500);
/// The acknowledgement is a courtesy: the plot-server finds the record gone otherwise.
const ACK_DEADLINE: Duration = Duration::from_secs(5);

/// What one pull needs.
pub(super) struct Fetch {
    pub(super) farms: Arc<FarmSet>,
    pub(super) farm: Arc<Farm>,
    pub(super) record: JobRecord,
    pub(super) jobs: PlotJobs,
    pub(super) members: MembersView,
    pub(super) pool: Pool,
    /// After this attempt the plot-server is given up if it is the one that fails.
    pub(super) last_attempt: bool,
}

/// Pulls, verifies and commits the sector, then finishes the job. After a success the job is gone; after a failure it is as it was, or
/// wanted again when the sector itself was bad.
pub(super) async fn fetch_sector(fetch: &Fetch) -> Result<()> {
    let id = fetch.record.job.id;
    let JobState::Ready(ready) = &fetch.record.state else {
        bail!("the job is not ready any more")
    };
    let key = SectorKey {
        public_key: *id.public_key,
        sector_index: id.sector_index,
        history_size: id.history_size.get(),
    };
    let started = Instant::now();
    // A crash between commit and finish leaves a job whose sector is on disk.
    if !is_plotted(&fetch.farm, &id) {
        match pull(fetch, ready, key).await {
            Ok(()) => {}
            Err(PullError::Bad(reason)) => {
                fetch.jobs.reject(&id, ready.server, &reason).await?;
                bail!("{reason}; it will be plotted again");
            }
            Err(PullError::Peer(error)) if fetch.last_attempt => {
                let reason = format!("{error:#}");
                fetch.jobs.reject(&id, ready.server, &reason).await?;
                bail!("{reason}; given up, it will be plotted again");
            }
            Err(PullError::Disk(error)) => {
                fetch.farms.failed(&fetch.farm, Some(id.sector_index), &error);
                return Err(error.into());
            }
            Err(PullError::Peer(error) | PullError::Own(error)) => return Err(error),
        }
        tracing::info!(
            sector = id.sector_index,
            history_size = %id.history_size,
            milliseconds = started.elapsed().as_millis(),
            "sector plotted"
        );
    }
    fetch.jobs.finish(&id).await?;
    if let Some(peer) = find_peer(fetch, ready)
        && let Err(error) = fetch.pool.ack(&peer, key, Instant::now() + ACK_DEADLINE).await
    {
        tracing::debug!(%error, "the plot-server was not told; it finds the job gone");
    }
    Ok(())
}

enum PullError {
    /// The sector is not what it should be: another one has to be made.
    Bad(String),
    /// The plot-server or the way to it; the same sector can be had later.
    Peer(anyhow::Error),
    /// The farm's disk, or its sector's place there; another sector would meet the same.
    Disk(FarmError),
    /// Something else here.
    Own(anyhow::Error),
}

impl From<anyhow::Error> for PullError {
    fn from(error: anyhow::Error) -> Self {
        Self::Own(error)
    }
}

impl From<FarmError> for PullError {
    fn from(error: FarmError) -> Self {
        Self::Disk(error)
    }
}

impl From<TransferError> for PullError {
    fn from(error: TransferError) -> Self {
        match error {
            // It says ready and does not have it: a disk was lost, and waiting brings nothing back.
            TransferError::Refused(refusal) if refusal.code == ErrorCode::NotFound => {
                Self::Bad(format!("the plot-server has lost the finished sector: {refusal}"))
            }
            error => Self::Peer(error.into()),
        }
    }
}

async fn pull(fetch: &Fetch, ready: &ReadySector, key: SectorKey) -> Result<(), PullError> {
    if ready.length != fetch.farm.sector_size() {
        return Err(PullError::Bad(format!(
            "the finished sector has {} bytes instead of {}",
            ready.length,
            fetch.farm.sector_size()
        )));
    }
    let metadata =
        SectorMetadataChecksummed::decode_all(&mut ready.metadata.as_slice()).map_err(|error| {
            PullError::Bad(format!("the metadata of the finished sector is damaged: {error}"))
        })?;
    let farm = Arc::clone(&fetch.farm);
    let origin = SectorOrigin {
        history_size: fetch.record.job.id.history_size,
        checksum: ready.checksum,
    };
    let begun = blocking(move || {
        let mut writer = farm.write_sector(key.sector_index)?;
        let offset = writer.resume(origin)?;
        Ok::<_, FarmError>((writer, offset))
    });
    let (mut writer, mut offset) = begun.await??;
    let resumed = offset > 0;
    if resumed {
        tracing::info!(
            directory = %fetch.farm.directory().display(),
            sector = key.sector_index,
            bytes = offset,
            "a transfer goes on where it was stopped"
        );
    }
    let mut cuts = 0;
    while offset < ready.length {
        match pull_from(fetch, ready, key, offset, writer).await {
            (returned, reached, Ok(())) => {
                (writer, offset) = (returned, reached);
            }
            (returned, reached, Err(PullError::Peer(error))) => {
                cuts += 1;
                if cuts > RESUMPTIONS {
                    return Err(PullError::Peer(error.context(format!(
                        "cut off {cuts} times, the last time after {reached} bytes"
                    ))));
                }
                tracing::debug!(
                    sector = key.sector_index,
                    offset = reached,
                    "resuming a transfer: {error:#}"
                );
                (writer, offset) = (returned, reached);
                tokio::time::sleep(RESUME_PAUSE).await;
            }
            (_, _, Err(error)) => return Err(error),
        }
    }
    match blocking(move || writer.commit(metadata)).await? {
        Ok(()) => Ok(()),
        // The sector may be good and what was there of it before not: the next attempt begins anew.
        Err(error @ FarmError::SectorChecksum { .. }) if resumed => Err(PullError::Own(error.into())),
        Err(error @ (FarmError::SectorChecksum { .. } | FarmError::SectorMetadata { .. })) => {
            Err(PullError::Bad(error.to_string()))
        }
        Err(error) => Err(PullError::Disk(error)),
    }
}

/// Pulls from `offset` on as far as it goes; gives back the writer and how far it came.
async fn pull_from(
    fetch: &Fetch,
    ready: &ReadySector,
    key: SectorKey,
    mut offset: u64,
    mut writer: SectorWriter,
) -> (SectorWriter, u64, Result<(), PullError>) {
    let Some(peer) = find_peer(fetch, ready) else {
        return (
            writer,
            offset,
            Err(PullError::Peer(anyhow::anyhow!(
                "the plot-server {} is not there at the moment",
                ready.server
            ))),
        );
    };
    let deadline = Instant::now() + DEADLINE;
    let length = ready.length - offset;
    let mut chunks = match fetch
        .pool
        .get_sector_range(&peer, key, offset, length, deadline)
        .await
    {
        Ok(chunks) => chunks,
        Err(error) => return (writer, offset, Err(error.into())),
    };
    while let Some(chunk) = chunks.next().await {
        let data = match chunk {
            // The pool has checked that it is the next part of what was asked for.
            Ok(chunk) => chunk.data,
            Err(error) => return (writer, offset, Err(error.into())),
        };
        let size = data.len() as u64;
        let (returned, outcome) = write(writer, offset, data).await;
        writer = returned;
        if let Err(error) = outcome {
            return (writer, offset, Err(error.into()));
        }
        offset += size;
    }
    let outcome = if offset < ready.length {
        Err(PullError::Peer(anyhow::anyhow!(
            "the plot-server ended the sector after {offset} of {} bytes",
            ready.length
        )))
    } else {
        Ok(())
    };
    (writer, offset, outcome)
}

async fn write(mut writer: SectorWriter, offset: u64, data: Bytes) -> (SectorWriter, Result<(), FarmError>) {
    let task = tokio::task::spawn_blocking(move || {
        let outcome = writer.write(offset, &data);
        (writer, outcome)
    });
    task.await.expect("writing to a file does not panic")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("work on a disk crashed")
}

/// Where the sector is: what the server announces now is newer than what the record says.
fn find_peer(fetch: &Fetch, ready: &ReadySector) -> Option<Peer> {
    let snapshot = fetch.members.current();
    if let Some(member) = snapshot.get(ready.server) {
        return peer(member);
    }
    let address = ready.addresses.iter().find_map(|address| address.parse().ok())?;
    let session_key = SessionKey::from(*ready.session_key.as_ref()?.expose());
    Some(Peer {
        member: ready.server.to_string(),
        address,
        session_key,
    })
}

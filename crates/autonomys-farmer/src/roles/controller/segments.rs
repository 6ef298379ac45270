//! New segments: into the cluster's headers, announced, admitted to the caches, acknowledged to the node.

use super::Shared;
use super::admission::Admission;
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::messages::ArchivedSegmentAnnouncement;
use autonomys_cluster::segment_headers::{AppendError, SegmentHeaders};
use autonomys_node_rpc::{ArchivedSegment, NodeClient};
use futures::StreamExt;
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The node waits two minutes for an acknowledgement and imports no block meanwhile; ours is there before, whatever the caches do.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(90);
/// Pause before NATS is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Runs until told to stop, or until the node turns out to be on another chain.
pub(super) async fn run(cluster: Cluster, shared: Shared, admission: Admission) -> Result<()> {
    let headers = SegmentHeaders::open(&cluster).await?;
    let (admitted_sender, admitted) = watch::channel(0_u64);
    let mut tasks = JoinSet::new();
    tasks.spawn(count_admitted(headers.clone(), admitted_sender));
    tasks.spawn({
        let (headers, shared) = (headers.clone(), shared.clone());
        async move { admission.run(headers, shared).await }
    });

    // What the cluster knows need not be read from the node again.
    let known = headers.all().await?;
    let next = known.last().map_or(SegmentIndex::ZERO, |header| {
        header.segment_index().saturating_add(SegmentIndex::ONE)
    });
    let mut archived = shared.node.archived_segment_headers(next, known.last());
    loop {
        let segment = tokio::select! {
            () = shared.cancel.cancelled() => return Ok(()),
            segment = archived.next() => match segment {
                Some(Err(_)) | None if shared.cancel.is_cancelled() => return Ok(()),
                Some(segment) => segment?,
                None => anyhow::bail!("the node's segment headers ended"),
            },
            Some(ended) = tasks.join_next() => {
                ended.context("a loop of the controller crashed")?;
                continue;
            }
        };
        record(&headers, &segment.header, &shared).await?;
        let announcement = ArchivedSegmentAnnouncement {
            controller: shared.id,
            segment_header: segment.header,
        };
        if let Err(error) = cluster.broadcast(&announcement).await {
            tracing::debug!(%error, "a segment could not be announced; the headers in JetStream have it");
        }
        if segment.must_acknowledge() {
            tasks.spawn(acknowledge(shared.node.clone(), segment, admitted.clone()));
        }
    }
}

/// Appends the header, however long NATS takes.
async fn record(headers: &SegmentHeaders, header: &SegmentHeader, shared: &Shared) -> Result<()> {
    loop {
        match headers.append(header).await {
            Ok(true) => {
                tracing::info!(segment = %header.segment_index(), "new segment");
                return Ok(());
            }
            Ok(false) => return Ok(()),
            Err(error @ AppendError::Fork { .. }) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "a segment header could not be recorded, trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            () = shared.cancel.cancelled() => return Ok(()),
        }
    }
}

async fn count_admitted(headers: SegmentHeaders, admitted: watch::Sender<u64>) {
    let mut follow = headers.follow_admitted();
    while let Some(segment) = follow.recv().await {
        admitted.send_replace(u64::from(segment) + 1);
    }
}

/// Acknowledges once the caches have the segment, or when the node cannot wait any longer.
async fn acknowledge(node: NodeClient, segment: ArchivedSegment, mut admitted: watch::Receiver<u64>) {
    let index = segment.header.segment_index();
    let wait = admitted.wait_for(|admitted| *admitted > u64::from(index));
    if tokio::time::timeout(ACKNOWLEDGE_WITHIN, wait).await.is_err() {
        tracing::warn!(segment = %index, "acknowledged before the caches have the segment: the node cannot wait longer");
    }
    match node.acknowledge_archived_segment_header(index).await {
        Ok(()) => tracing::info!(segment = %index, "acknowledged to the node"),
        Err(error) => {
            tracing::debug!(%error, segment = %index, "not acknowledged; without a connection the node does not wait")
        }
    }
}

//! New segments: into the cluster's headers, announced, admitted to the caches, acknowledged to the node.

use super::Shared;
use super::admission::Admission;
use crate::roles::chain::Chain;
use anyhow::{Context, Result};
use autonomys_cluster::Cluster;
use autonomys_cluster::messages::ArchivedSegmentAnnouncement;
use autonomys_cluster::segment_headers::{AppendError, SegmentHeaders};
use autonomys_cluster::settings::{Settings, SettingsError};
use autonomys_node_rpc::{ArchivedSegment, NodeClient};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

/// The node waits two minutes for an acknowledgement and imports no block meanwhile; ours is there before, whatever the caches do.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(90);
/// Pause before NATS is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Headers on their way into JetStream; more wait in the node client, and none of them keeps the node waiting.
const UNRECORDED: usize = 256;
/// How often it is checked that JetStream still has what was recorded: a server may lose its disk.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Runs until told to stop, or until the node turns out to be on another chain.
pub(super) async fn run(
    cluster: Cluster,
    shared: Shared,
    settings: Settings,
    chain: Chain,
    admission: Admission,
) -> Result<()> {
    let headers = SegmentHeaders::open(&cluster).await?;
    let newest = Arc::clone(&admission.newest);
    let (admitted_sender, admitted) = watch::channel(0_u64);
    let mut tasks = JoinSet::new();
    tasks.spawn(count_admitted(headers.clone(), admitted_sender));
    tasks.spawn({
        let (headers, shared) = (headers.clone(), shared.clone());
        async move { admission.run(headers, shared).await }
    });
    let mut check = tokio::time::interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.reset();
    let recorded = AtomicBool::new(false);
    loop {
        let follow = follow(
            &cluster, &shared, &headers, &recorded, &newest, &admitted, &mut tasks,
        );
        let lost = tokio::select! {
            () = shared.cancel.cancelled() => return Ok(()),
            ended = follow => ended?,
            lost = lost(&mut check, &headers, &recorded, &settings, chain) => lost?,
        };
        tracing::warn!("JetStream has lost segment headers: {lost}; recording them again from the node");
    }
}

/// Takes segments from the node; each is acknowledged in time, whatever NATS does, and recorded as soon as NATS takes it. Returns when
/// headers that were recorded are not there any more.
async fn follow(
    cluster: &Cluster,
    shared: &Shared,
    headers: &SegmentHeaders,
    recorded: &AtomicBool,
    newest: &AtomicU64,
    admitted: &watch::Receiver<u64>,
    tasks: &mut JoinSet<()>,
) -> Result<String> {
    // What the cluster knows need not be read from the node again.
    let known = loop {
        match headers.all().await {
            Ok(known) => break known,
            Err(error) => tracing::warn!(%error, "the segment headers cannot be read yet, trying again"),
        }
    };
    newest.fetch_max(known.len() as u64, Ordering::Relaxed);
    let next = known.last().map_or(SegmentIndex::ZERO, |header| {
        header.segment_index().saturating_add(SegmentIndex::ONE)
    });
    recorded.fetch_or(!known.is_empty(), Ordering::Relaxed);
    let (sender, unrecorded) = mpsc::channel(UNRECORDED);
    let recording = record_all(cluster, shared, headers, recorded, unrecorded);
    tokio::pin!(recording);
    let mut archived = shared.node.archived_segment_headers(next, known.last());
    loop {
        let segment = tokio::select! {
            recorded = &mut recording => return recorded,
            segment = archived.next() => match segment {
                Some(Err(_)) | None if shared.cancel.is_cancelled() => return std::future::pending().await,
                Some(segment) => segment?,
                None => anyhow::bail!("the node's segment headers ended"),
            },
            Some(ended) = tasks.join_next() => {
                ended.context("a loop of the controller crashed")?;
                continue;
            }
        };
        newest.fetch_max(u64::from(segment.header.segment_index()) + 1, Ordering::Relaxed);
        if segment.must_acknowledge() {
            tasks.spawn(acknowledge(shared.node.clone(), segment, admitted.clone()));
        }
        tokio::select! {
            recorded = &mut recording => return recorded,
            // The recorder lives as long as this loop.
            _ = sender.send(segment.header) => {}
        }
    }
}

/// Records and announces headers in their order; returns when one that should be there is not.
async fn record_all(
    cluster: &Cluster,
    shared: &Shared,
    headers: &SegmentHeaders,
    recorded: &AtomicBool,
    mut unrecorded: mpsc::Receiver<SegmentHeader>,
) -> Result<String> {
    while let Some(segment_header) = unrecorded.recv().await {
        let index = segment_header.segment_index();
        loop {
            match headers.append(&segment_header).await {
                Ok(true) => {
                    tracing::info!(segment = %index, "new segment");
                    break;
                }
                Ok(false) => break,
                Err(error @ AppendError::Fork { .. }) => return Err(error.into()),
                Err(error @ AppendError::Gap { .. }) => return Ok(error.to_string()),
                Err(error) => {
                    tracing::warn!(%error, "a segment header could not be recorded, trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        recorded.store(true, Ordering::Relaxed);
        let announcement = ArchivedSegmentAnnouncement {
            controller: shared.id,
            segment_header,
        };
        if let Err(error) = cluster.broadcast(&announcement).await {
            tracing::debug!(%error, "a segment could not be announced; the headers in JetStream have it");
        }
    }
    Ok("the recorder ended".to_string())
}

/// Waits until JetStream has lost what was recorded; what the cluster agreed on about the chain is put back at once.
///
/// # Errors
/// When the cluster has been bound to another chain meanwhile.
async fn lost(
    check: &mut Interval,
    headers: &SegmentHeaders,
    recorded: &AtomicBool,
    settings: &Settings,
    chain: Chain,
) -> Result<String> {
    loop {
        check.tick().await;
        let bound = async {
            settings.bind_genesis(chain.genesis_hash).await?;
            settings.bind_chain(chain.to_settings()).await
        };
        match bound.await {
            Ok(()) => {}
            Err(SettingsError::Store(error)) => {
                tracing::debug!(%error, "JetStream cannot be checked at the moment");
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if recorded.load(Ordering::Relaxed)
            && let Ok(None) = headers.get(SegmentIndex::ZERO).await
        {
            return Ok("segment 0 is missing".to_string());
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

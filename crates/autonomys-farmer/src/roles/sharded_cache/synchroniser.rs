//! Brings what is stored in line with the shard map: pass after pass over the history, newest first, what is ours and not here is
//! fetched, and what is not ours any more is let go.
//!
//! Nothing of a pass is kept: what is missing follows from the map and from what is stored, so a restart goes on where it was.

use super::fill::Filler;
use super::rescan::Rescan;
use super::share::{Share, Survey};
use super::store::{Layout, Store};
use crate::roles::context::RoleContext;
use crate::roles::pace::Pace;
use crate::roles::placement::{Placement, PlacementReceiver};
use anyhow::{Context, Result};
use autonomys_cluster::members::{MembersView, RoleStatus};
use autonomys_cluster::segment_headers::SegmentHeaders;
use autonomys_cluster::settings::{CacheSettings, Settings};
use autonomys_cluster::{InstanceId, Role};
use std::sync::Arc;
use std::time::Duration;
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

/// Bytes fetched and stored at a time.
const BATCH_BYTES: usize = 64 * 1024 * 1024;
/// Something is missing: it is asked for again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Nothing is missing: everything is looked at again after this, whatever is known to have changed.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Members that come and go together are answered with one pass.
const MEMBERS_SETTLE: Duration = Duration::from_secs(1);
/// Passes that bring nothing before what is missing counts as not to be had anywhere.
const FRUITLESS_PASSES: u32 = 3;
/// These newest segments are fetched at full speed: plotting waits for them.
const UNPACED_SEGMENTS: u64 = 2;
/// Readers that hold an older map ask us for this long after it was retired.
const RELEASE_AFTER: Duration = Duration::from_secs(10);
/// How often progress is told.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// The loop and what it stands on.
pub(super) struct Synchroniser {
    pub(super) filler: Filler,
    pub(super) store: Arc<Store>,
    pub(super) settings: Settings,
    pub(super) wanted_settings: watch::Receiver<Option<CacheSettings>>,
    pub(super) placement: PlacementReceiver,
    pub(super) members: MembersView,
    pub(super) own_id: String,
    pub(super) pace: Pace,
    pub(super) state: State,
}

/// What the passes have found so far.
#[derive(Default)]
pub(super) struct State {
    /// Segments of the history.
    segments: u64,
    /// Of these, how many are admitted already.
    admitted: u64,
    /// See `CacheStatus::synced_segments`.
    synced: u64,
    wanted: u64,
    missing: u64,
    /// Passes in a row that brought nothing although something is missing.
    fruitless: u32,
    /// Map whose share is here.
    done_version: u64,
    rescan: Option<Rescan>,
    /// Map, and oldest segment, for which the rest was let go.
    released: Option<(u64, u64)>,
    /// Since when there is only one map that counts.
    single_since: Option<(u64, Instant)>,
}

/// Where new segments are heard of.
pub(super) struct Segments {
    pub(super) headers: mpsc::Receiver<SegmentHeader>,
    pub(super) admitted: mpsc::Receiver<SegmentIndex>,
}

impl Synchroniser {
    /// Passes for ever.
    ///
    /// # Errors
    /// When no disk works any more, or the cluster's objects are gone for good.
    pub(super) async fn run(mut self, context: &RoleContext, headers: SegmentHeaders) -> Result<()> {
        let mut segments = Segments {
            headers: headers.follow(),
            admitted: headers.follow_admitted(),
        };
        // Ready means that all there is has been looked at, so the first pass waits for what is known already.
        self.state.segments = known_segments(&headers).await;
        let rescanned = Arc::new(Notify::new());
        loop {
            self.follow_settings(context, &rescanned).await?;
            segments.hear(&mut self.state);
            let complete = self.pass(context, &mut segments).await?;
            self.release().await;
            self.report(context);
            if complete {
                self.wait(&mut segments, &rescanned).await?;
            }
        }
    }

    /// Goes to the cluster's epoch and item type, if they have changed.
    async fn follow_settings(&mut self, context: &RoleContext, rescanned: &Arc<Notify>) -> Result<()> {
        let own = self.store.layout().map(|layout| layout.settings.clone());
        let wanted = self.wanted_settings.borrow_and_update().clone();
        let wanted = match (wanted, &own) {
            (Some(wanted), _) => wanted,
            // The server has lost them: what we go by holds again.
            (None, Some(own)) => match self.settings.restore_cache(own.clone()).await {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(%error, "the settings of the caches cannot be stored again yet");
                    own.clone()
                }
            },
            (None, None) => return Ok(()),
        };
        let changed = own.as_ref() != Some(&wanted);
        if changed && own.as_ref().is_none_or(|own| own.epoch <= wanted.epoch) {
            tracing::info!(
                epoch = wanted.epoch,
                item_type = wanted.item_type,
                "new cache epoch"
            );
            self.state.rescan = None;
            self.state.done_version = 0;
            self.report(context);
            let (store, settings) = (Arc::clone(&self.store), wanted.clone());
            let layout = tokio::task::spawn_blocking(move || store.change(settings)).await??;
            context.update(|member| member.capacity = layout.slab.capacity());
        }
        if self.state.rescan.is_none() {
            let store = Arc::clone(&self.store);
            self.state.rescan = Some(Rescan::start(store, wanted.epoch, Arc::clone(rescanned)).await);
        }
        self.report(context);
        Ok(())
    }

    /// One pass over the whole share; `false` when something has changed meanwhile, so that the next has to begin at once.
    async fn pass(&mut self, context: &RoleContext, segments: &mut Segments) -> Result<bool> {
        let (Some(layout), Some(placement)) =
            (self.store.layout(), self.placement.borrow_and_update().clone())
        else {
            return Ok(true);
        };
        if placement.layout() != layout.settings.layout {
            // The leading controller waits for us to be in the epoch, then makes a map for it.
            return Ok(true);
        }
        let (share, survey) = self.survey(&layout, &placement).await?;
        (self.state.wanted, self.state.missing) = (survey.wanted, survey.missing);
        self.report(context);
        let (mut left, mut stored, mut told) = (0..self.state.segments, 0, Instant::now());
        // Of those segments that are not admitted yet.
        let mut failed = 0;
        while !left.is_empty() {
            let most = (BATCH_BYTES / layout.item_len()).max(1);
            let (keys, rest) = {
                let (share, layout, survey, left) =
                    (Arc::clone(&share), Arc::clone(&layout), survey, left.clone());
                let look = move || share.missing(left, &survey, most, |key| layout.is_here(key));
                tokio::task::spawn_blocking(look).await?
            };
            let newest = left.end;
            left = rest;
            if !keys.is_empty() {
                let is_new = newest + UNPACED_SEGMENTS > self.state.segments;
                for keys in keys.chunks(most) {
                    let asked = keys.len();
                    let bytes = self.fill(&layout, &placement, keys.to_vec(), is_new).await?;
                    stored += bytes;
                    self.state.missing = self.state.missing.saturating_sub(bytes);
                    if newest > self.state.admitted {
                        failed += asked as u64 - bytes;
                    }
                    if told.elapsed() >= REPORT_INTERVAL {
                        told = Instant::now();
                        let (missing, wanted) = (self.state.missing, self.state.wanted);
                        tracing::info!(missing, wanted, "fetching the share of the cache");
                    }
                    self.report(context);
                    if self.is_interrupted(segments) {
                        return Ok(false);
                    }
                }
            }
            if left.end <= self.state.admitted && failed == 0 {
                self.state.synced = self.state.segments;
            }
            if self.is_interrupted(segments) {
                return Ok(false);
            }
        }
        if failed == 0 {
            self.state.synced = self.state.segments;
        }
        self.state.fruitless = match (self.state.missing, stored) {
            (0, _) => 0,
            (_, 0) => self.state.fruitless + 1,
            _ => 1,
        };
        if self.state.missing > 0 {
            let missing = self.state.missing;
            tracing::info!(
                missing,
                "some items cannot be had at the moment, trying again later"
            );
        }
        if self.state.fruitless == 0 || self.state.fruitless >= FRUITLESS_PASSES {
            self.state.done_version = placement.current().map.version;
        }
        Ok(true)
    }

    /// Fetches items at the rate that applies to them and returns how many are stored.
    async fn fill(
        &mut self,
        layout: &Arc<Layout>,
        placement: &Placement,
        keys: Vec<autonomys_cache::CacheKey>,
        is_new: bool,
    ) -> Result<u64> {
        if !is_new {
            self.pace.wait().await;
        }
        let started = Instant::now();
        let stored = self.filler.fill(layout, placement, keys).await? as u64;
        if !is_new {
            self.pace.copied(stored * layout.item_len() as u64, started);
        }
        Ok(stored)
    }

    async fn survey(&self, layout: &Arc<Layout>, placement: &Arc<Placement>) -> Result<(Arc<Share>, Survey)> {
        let (layout, placement, own_id) = (Arc::clone(layout), Arc::clone(placement), self.own_id.clone());
        let segments = self.state.segments;
        let survey = tokio::task::spawn_blocking(move || {
            let share = Share::new(placement.current(), &own_id);
            let survey = share.survey(segments, layout.room(), |key| layout.is_here(key));
            (Arc::new(share), survey)
        });
        Ok(survey.await?)
    }

    /// Whether a pass has to begin anew: another map, another epoch, a new segment.
    fn is_interrupted(&mut self, segments: &mut Segments) -> bool {
        let before = self.state.segments;
        segments.hear(&mut self.state);
        self.state.segments != before
            || self.placement.has_changed().unwrap_or(false)
            || self.wanted_settings.has_changed().unwrap_or(false)
    }

    /// Lets go of what is not ours any more, once nobody looks for it here.
    async fn release(&mut self) {
        let (Some(layout), Some(placement)) = (self.store.layout(), self.placement.borrow().clone()) else {
            return;
        };
        let version = placement.current().map.version;
        if placement.maps.len() > 1 || placement.layout() != layout.settings.layout {
            self.state.single_since = None;
            return;
        }
        let since = match self.state.single_since {
            Some((single, since)) if single == version => since,
            _ => self.state.single_since.insert((version, Instant::now())).1,
        };
        if self.state.done_version != version || since.elapsed() < RELEASE_AFTER {
            return;
        }
        let Ok((share, survey)) = self.survey(&layout, &placement).await else {
            return;
        };
        if self.state.released == Some((version, survey.oldest)) {
            return;
        }
        let let_go = tokio::task::spawn_blocking(move || {
            let keys = layout.slab.keys().into_iter().map(|(key, _)| key);
            let keys = share.not_wanted(keys, &survey);
            // Ours without room stay as long as nothing else needs the place.
            let (ours, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| share.contains(key));
            layout.slab.release(&ours);
            others.iter().filter(|key| layout.slab.remove(key)).count()
        });
        if let Ok(items) = let_go.await {
            self.state.released = Some((version, survey.oldest));
            if items > 0 {
                tracing::info!(items, "dropped what is not of this cache's share any more");
            }
        }
    }

    /// Waits for a reason for the next pass.
    async fn wait(&mut self, segments: &mut Segments, rescanned: &Notify) -> Result<()> {
        let mut pause = if self.state.missing > 0 {
            RETRY_INTERVAL
        } else {
            IDLE_INTERVAL
        };
        if let Some((version, since)) = self.state.single_since
            && self
                .state
                .released
                .is_none_or(|(released, _)| released != version)
        {
            pause = pause.min(RELEASE_AFTER.saturating_sub(since.elapsed()) + MEMBERS_SETTLE);
        }
        let missing = self.state.missing > 0;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            header = segments.headers.recv() => {
                let header = header.context("the cluster's segment headers ended")?;
                self.state.segments = u64::from(header.segment_index()) + 1;
            }
            Some(admitted) = segments.admitted.recv() => self.state.admitted = u64::from(admitted) + 1,
            changed = self.placement.changed() => changed.context("the shard map is not followed any more")?,
            changed = self.wanted_settings.changed() => changed.context("the settings are not followed any more")?,
            // Damaged items are gone: the share is not here until a pass says so.
            () = self.store.damaged.notified() => self.state.done_version = 0,
            () = rescanned.notified() => self.state.done_version = 0,
            () = givers_changed(&mut self.members), if missing => {}
        }
        Ok(())
    }

    fn report(&self, context: &RoleContext) {
        let Some(layout) = self.store.layout() else { return };
        let state = &self.state;
        let items = layout.slab.stats().items;
        let newest = self.placement.borrow().as_ref().map_or(0, |placement| {
            let map = &placement.current().map;
            // A map of another epoch says nothing about this one.
            if map.epoch == layout.settings.epoch {
                map.version
            } else {
                u64::MAX
            }
        });
        let rescanned = state.rescan.as_ref().is_some_and(Rescan::is_done);
        context.update(|member| {
            if let RoleStatus::ShardedCache(status) = &mut member.status {
                status.items = items;
                status.wanted_items = state.wanted;
                status.missing_items = state.missing;
                status.used_bytes = items * layout.item_len() as u64;
                status.item_type.clone_from(&layout.settings.item_type);
                status.epoch = layout.settings.epoch;
                status.shard_map_version = state.done_version;
                status.synced_segments = state.synced;
                status.ready = rescanned && state.done_version > 0 && state.done_version == newest;
            }
        });
    }
}

impl Segments {
    /// Takes what has been heard.
    fn hear(&mut self, state: &mut State) {
        while let Ok(header) = self.headers.try_recv() {
            state.segments = u64::from(header.segment_index()) + 1;
        }
        while let Ok(admitted) = self.admitted.try_recv() {
            state.admitted = u64::from(admitted) + 1;
        }
    }
}

/// Segments that the cluster knows now, however long NATS takes.
async fn known_segments(headers: &SegmentHeaders) -> u64 {
    loop {
        match headers.all().await {
            Ok(known) => return known.len() as u64,
            Err(error) => tracing::warn!(%error, "the segment headers cannot be read yet, trying again"),
        }
    }
}

/// Resolves some time after those that could give items have changed.
async fn givers_changed(members: &mut MembersView) {
    let givers = |members: &MembersView| -> Vec<(InstanceId, u64)> {
        let snapshot = members.current();
        let roles = [Role::ShardedCache, Role::FullPieceShardedCache, Role::Controller];
        roles
            .into_iter()
            .flat_map(|role| {
                snapshot
                    .role(role)
                    .map(|member| (member.id, member.run))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let before = givers(members);
    while givers(members) == before {
        if members.changed().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
    tokio::time::sleep(MEMBERS_SETTLE).await;
}

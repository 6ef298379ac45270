//! The shard map's keeper: the leading controller publishes a new map when caches come or go, and retires the old one when every
//! owner has its share.

mod plan;

use crate::roles::placement::{Placement, PlacementReceiver, table_hash};
use anyhow::{Context, Result};
use autonomys_cache::coding::ItemCoding;
use autonomys_cache::placement::{self, ShardTable};
use autonomys_cluster::Cluster;
use autonomys_cluster::members::MembersView;
use autonomys_cluster::settings::{CacheSettings, Settings};
use autonomys_cluster::shard_map::{ShardMap, ShardMapStore, ShardMaps, ShardMember, TableError};
use plan::{Planner, Step};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the caches are looked at; looking costs nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause after JetStream refused.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Keeps the map while this controller leads.
pub(super) struct Keeper {
    store: ShardMapStore,
    placement: PlacementReceiver,
    settings: watch::Receiver<Option<CacheSettings>>,
    members: MembersView,
    leading: watch::Receiver<bool>,
    grace: Duration,
}

impl Keeper {
    /// A keeper that takes silent caches out after `grace`.
    pub(super) async fn open(
        cluster: &Cluster,
        settings: &Settings,
        placement: PlacementReceiver,
        members: MembersView,
        leading: watch::Receiver<bool>,
        grace: Duration,
    ) -> Result<Self> {
        Ok(Self {
            store: ShardMapStore::open(cluster).await?,
            placement,
            settings: settings.watch_cache(),
            members,
            leading,
            grace,
        })
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                leads = self.leading.wait_for(|leads| *leads) => drop(leads.context("the leader election is gone")?),
            }
            // What a leader before us saw is not known: everybody has the full grace again.
            let planner = Planner::new(self.grace);
            let mut leading = self.leading.clone();
            let lost = async {
                // An election that has ended is noticed above.
                let _ = leading.wait_for(|leads| !*leads).await;
            };
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = lost => {}
                () = self.keep(planner) => {}
            }
        }
    }

    async fn keep(&self, mut planner: Planner) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if let Err(error) = self.look(&mut planner).await {
                tracing::warn!("the shard map cannot be kept at the moment: {error:#}");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// One look, and the step that it asks for.
    async fn look(&self, planner: &mut Planner) -> Result<()> {
        let Some(settings) = self.settings.borrow().clone() else {
            return Ok(());
        };
        let placement = self.placement.borrow().clone();
        let known = placement.as_ref().map(|placement| &placement.current().map);
        let caches = plan::caches(&self.members.current());
        let in_transition = placement
            .as_ref()
            .is_some_and(|placement| placement.maps.len() > 1);
        let step = planner.step(Instant::now(), &settings, known, in_transition, &caches);
        if step == Step::Wait {
            return Ok(());
        }
        let (stored, revision) = match self.store.get().await? {
            Some((maps, revision)) => (Some(maps), revision),
            None => (None, 0),
        };
        let stored = match (stored, &placement) {
            (None, Some(placement)) => return self.put_back(placement).await,
            (Some(maps), None) if self.is_table_lost(&maps.current).await? => {
                tracing::warn!(
                    version = maps.current.version,
                    "the table of the shard map is lost; making a new one"
                );
                Some(ShardMaps {
                    previous: Vec::new(),
                    current: ShardMap {
                        // Of no layout, so that nothing is made from it.
                        layout: u64::MAX,
                        ..maps.current
                    },
                })
            }
            // Another leader was faster, or the watch is behind: look again.
            (stored, placement)
                if stored.as_ref().map(|maps| &maps.current)
                    != placement.as_ref().map(|placement| &placement.current().map) =>
            {
                return Ok(());
            }
            (stored, _) => stored,
        };
        let maps = match step {
            Step::Wait => return Ok(()),
            Step::Retire => {
                let maps = stored.context("there is a map")?;
                tracing::info!(
                    version = maps.current.version,
                    "all caches have their share of the shard map"
                );
                ShardMaps {
                    previous: Vec::new(),
                    ..maps
                }
            }
            Step::Publish(members) => self.next_maps(&settings, stored, placement, members).await?,
        };
        if self.store.replace(&maps, revision).await?.is_some() {
            self.store.remove_other_tables(&maps).await?;
        }
        Ok(())
    }

    /// Whether nobody who comes new can use the map.
    async fn is_table_lost(&self, map: &ShardMap) -> Result<bool> {
        match self.store.table(map).await {
            Ok(_) => Ok(false),
            Err(TableError::Incomplete { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The successor of the stored maps, its table stored.
    async fn next_maps(
        &self,
        settings: &CacheSettings,
        stored: Option<ShardMaps>,
        placement: Option<Arc<Placement>>,
        members: Vec<ShardMember>,
    ) -> Result<ShardMaps> {
        let coding: ItemCoding = settings.item_type.parse()?;
        let owners: Vec<_> = members
            .iter()
            .map(|member| placement::Member {
                id: member.instance.to_string(),
                host: member.host.clone(),
                weight: member.weight,
            })
            .collect();
        let before = placement.filter(|placement| placement.layout() == settings.layout);
        let (bytes, moved) = tokio::task::spawn_blocking(move || {
            let (table, moved) = match &before {
                Some(before) => {
                    let before = &before.current().table;
                    let table = before.next(owners, coding.positions())?;
                    let moved = table.moved_places(before);
                    (table, moved)
                }
                None => (ShardTable::new(owners, coding.positions())?, 0),
            };
            anyhow::Ok((table.to_bytes(), moved))
        })
        .await??;
        let table = table_hash(&bytes);
        self.store.put_table(table, &bytes).await?;
        let version = stored.as_ref().map_or(0, |maps| maps.current.version) + 1;
        tracing::info!(
            version,
            epoch = settings.epoch,
            item_type = settings.item_type,
            caches = members.len(),
            moved,
            "new shard map"
        );
        let mut previous: Vec<_> = stored
            .into_iter()
            .flat_map(|maps| std::iter::once(maps.current).chain(maps.previous))
            .filter(|map| map.layout == settings.layout)
            .collect();
        // The oldest was complete; of those that were cut short in between the newest count.
        while previous.len() > plan::MAX_PREVIOUS {
            previous.remove(previous.len() - 2);
        }
        Ok(ShardMaps {
            current: ShardMap {
                version,
                epoch: settings.epoch,
                layout: settings.layout,
                item_type: settings.item_type.clone(),
                members,
                table,
                table_len: u32::try_from(bytes.len())?,
            },
            previous,
        })
    }

    /// The server has lost the maps: what everybody goes by is stored again, so that nothing moves.
    async fn put_back(&self, placement: &Placement) -> Result<()> {
        tracing::warn!("JetStream has lost the shard map; storing it again");
        for placed in &placement.maps {
            self.store
                .put_table(placed.map.table, &placed.table.to_bytes())
                .await?;
        }
        let mut maps = placement.maps.iter().map(|placed| placed.map.clone());
        let current = maps.next().context("a placement has a map")?;
        let maps = ShardMaps {
            current,
            previous: maps.collect(),
        };
        self.store.replace(&maps, 0).await?;
        Ok(())
    }
}

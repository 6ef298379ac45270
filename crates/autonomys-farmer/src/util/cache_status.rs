//! `util cache-status`: what the caches of a cluster hold, and how far they are.

use super::{observe, until_stopped};
use crate::args::nats::NatsArgs;
use crate::roles::scrub;
use crate::util::observer::Observer;
use anyhow::Result;
use autonomys_cluster::Role;
use autonomys_cluster::members::{MembersSnapshot, RoleStatus};
use autonomys_cluster::shard_map::ShardMapStore;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct CacheStatusArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// One JSON line instead of a table
    #[arg(long)]
    json: bool,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Status {
    cluster: String,
    /// How pieces are stored; none before it is decided.
    cache_item_type: Option<String>,
    cache_epoch: u64,
    /// Of the map in use; 0 before the first one.
    shard_map_version: u64,
    /// Items are on their way from the owners of the map before.
    moving: bool,
    sharded_caches: Vec<ShardedCache>,
    full_piece_caches: Vec<FullPieceCache>,
    /// All caches report that they have what is theirs.
    ready: bool,
}

#[derive(Debug, Serialize)]
struct ShardedCache {
    instance: String,
    host: String,
    items: u64,
    wanted_items: u64,
    capacity: u64,
    used_bytes: u64,
    epoch: u64,
    shard_map_version: u64,
    /// How far the look for damage is, in words.
    scrub: Option<String>,
    ready: bool,
}

#[derive(Debug, Serialize)]
struct FullPieceCache {
    instance: String,
    host: String,
    /// First and last segment of each run.
    segments: Vec<(u64, u64)>,
    epoch: u64,
    /// Pieces that are damaged and not repaired yet.
    damaged_pieces: u64,
    /// How far the look for damage is, in words.
    scrub: Option<String>,
    ready: bool,
}

/// Runs the command.
pub(crate) fn run(args: &CacheStatusArgs) -> Result<ExitCode> {
    let status = observe(&args.nats, "cache-status", async |observer, end| {
        Box::pin(until_stopped(end, Status::read(observer))).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&status)?);
    } else {
        print!("{status}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Status {
    /// Asks the settings and takes what the members say.
    async fn read(observer: &Observer) -> Result<Self> {
        let settings = observer.settings.cache_settings().await?;
        let maps = ShardMapStore::open(&observer.cluster).await?.get().await?;
        let maps = maps.map(|(maps, _)| maps);
        let (sharded_caches, full_piece_caches) = caches(&observer.members.current());
        let ready = sharded_caches.iter().all(|cache| cache.ready)
            && full_piece_caches.iter().all(|cache| cache.ready);
        Ok(Self {
            cluster: observer.cluster.name().as_str().to_string(),
            cache_epoch: settings.as_ref().map_or(0, |settings| settings.epoch),
            cache_item_type: settings.map(|settings| settings.item_type),
            shard_map_version: maps.as_ref().map_or(0, |maps| maps.current.version),
            moving: maps.is_some_and(|maps| !maps.previous.is_empty()),
            sharded_caches,
            full_piece_caches,
            ready,
        })
    }
}

fn caches(snapshot: &MembersSnapshot) -> (Vec<ShardedCache>, Vec<FullPieceCache>) {
    let sharded = snapshot.role(Role::ShardedCache).filter_map(|member| {
        let RoleStatus::ShardedCache(status) = &member.status else {
            return None;
        };
        Some(ShardedCache {
            instance: member.id.to_string(),
            host: member.host.clone(),
            items: status.items,
            wanted_items: status.wanted_items,
            capacity: member.capacity,
            used_bytes: status.used_bytes,
            epoch: status.epoch,
            shard_map_version: status.shard_map_version,
            scrub: member.fact(scrub::FACT).map(str::to_owned),
            ready: status.ready,
        })
    });
    let full = snapshot.role(Role::FullPieceShardedCache).filter_map(|member| {
        let RoleStatus::FullPieceShardedCache(status) = &member.status else {
            return None;
        };
        Some(FullPieceCache {
            instance: member.id.to_string(),
            host: member.host.clone(),
            segments: status
                .segments
                .iter()
                .map(|range| {
                    (
                        range.first.get(),
                        range.first.get() + range.count.saturating_sub(1),
                    )
                })
                .collect(),
            epoch: status.epoch,
            damaged_pieces: status.damaged_pieces,
            scrub: member.fact(scrub::FACT).map(str::to_owned),
            ready: status.ready,
        })
    });
    (sharded.collect(), full.collect())
}

fn ready_word(ready: bool) -> &'static str {
    if ready { "ready" } else { "filling" }
}

fn write_scrub(f: &mut fmt::Formatter<'_>, scrub: Option<&str>) -> fmt::Result {
    match scrub {
        Some(scrub) => writeln!(f, "  scrub: {scrub}"),
        None => Ok(()),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item_type = self.cache_item_type.as_deref().unwrap_or("not decided yet");
        writeln!(
            f,
            "cluster {}: items {item_type}, epoch {}, shard map {}{}",
            self.cluster,
            self.cache_epoch,
            self.shard_map_version,
            if self.moving { ", items are moving" } else { "" }
        )?;
        if self.sharded_caches.is_empty() {
            writeln!(f, "no sharded cache")?;
        }
        for cache in &self.sharded_caches {
            writeln!(
                f,
                "{} on {}: {} of {} items, room for {}, epoch {}, shard map {}, {}",
                cache.instance,
                cache.host,
                cache.items,
                cache.wanted_items,
                cache.capacity,
                cache.epoch,
                cache.shard_map_version,
                ready_word(cache.ready)
            )?;
            write_scrub(f, cache.scrub.as_deref())?;
        }
        if self.full_piece_caches.is_empty() {
            writeln!(f, "no full-piece cache")?;
        }
        for cache in &self.full_piece_caches {
            let ranges: Vec<_> = cache
                .segments
                .iter()
                .map(|(first, last)| {
                    if first == last {
                        first.to_string()
                    } else {
                        format!("{first}-{last}")
                    }
                })
                .collect();
            let ranges = if ranges.is_empty() {
                "none".to_string()
            } else {
                ranges.join(", ")
            };
            writeln!(
                f,
                "{} on {}: segments {ranges}, epoch {}, {} damaged pieces, {}",
                cache.instance,
                cache.host,
                cache.epoch,
                cache.damaged_pieces,
                ready_word(cache.ready)
            )?;
            write_scrub(f, cache.scrub.as_deref())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::InstanceId;
    use autonomys_cluster::members::{Member, SegmentRange};
    use std::sync::Arc;

    #[test]
    fn shows_every_cache_and_what_it_lacks() {
        let mut snapshot = MembersSnapshot::default();
        let mut add = |role, change: &dyn Fn(&mut Member)| {
            let mut member = Member::new(InstanceId::generate(role), "rack-1", "1");
            change(&mut member);
            snapshot.members.insert(member.id, Arc::new(member));
        };
        add(Role::Controller, &|_| {});
        add(Role::ShardedCache, &|member| {
            member.capacity = 100;
            member.set_fact("scrub", "off");
            member.set_fact("scrub", "7 of 40 items");
            if let RoleStatus::ShardedCache(status) = &mut member.status {
                (status.items, status.wanted_items, status.ready) = (40, 50, false);
            }
        });
        add(Role::FullPieceShardedCache, &|member| {
            if let RoleStatus::FullPieceShardedCache(status) = &mut member.status {
                let range = |first: u64, count| SegmentRange {
                    first: first.into(),
                    count,
                };
                status.segments = vec![range(0, 4), range(7, 1)];
                status.ready = true;
            }
        });
        let (sharded_caches, full_piece_caches) = caches(&snapshot);
        let status = Status {
            cluster: "default".to_string(),
            cache_item_type: Some("piece".to_string()),
            cache_epoch: 2,
            shard_map_version: 3,
            moving: true,
            sharded_caches,
            full_piece_caches,
            ready: false,
        };
        let text = status.to_string();
        for words in [
            "items piece, epoch 2, shard map 3, items are moving",
            "on rack-1: 40 of 50 items, room for 100",
            "filling",
            "scrub: 7 of 40 items\n",
            "segments 0-3, 7,",
        ] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["full_piece_caches"][0]["segments"][0][1], 3);
        assert_eq!(json["sharded_caches"][0]["wanted_items"], 50);
    }
}

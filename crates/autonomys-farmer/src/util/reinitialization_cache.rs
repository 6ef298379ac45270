//! `util reinitialization-cache`: a new epoch of all caches, waited for until every one of them reports that it is through.

use super::progress::Progress;
use super::{observe, until_stopped};
use crate::args::nats::NatsArgs;
use crate::util::observer::Observer;
use anyhow::{Context, Result, ensure};
use autonomys_cache::coding::ItemCoding;
use autonomys_cluster::members::{MembersSnapshot, RoleStatus};
use autonomys_cluster::settings::CacheSettings;
use clap::Args;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// How often the caches that are not ready are named.
const NAME_INTERVAL: Duration = Duration::from_secs(15);

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct ReinitializationArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// Seconds to wait before it begins
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    delay: u64,
    /// Item type of the new epoch: piece, split-piece or split-parity-piece, with numbers as in split-parity-piece:4+2 [default: as before]
    #[arg(long, value_name = "T")]
    cache_item_type: Option<ItemCoding>,
}

/// Runs the command.
pub(crate) fn run(args: &ReinitializationArgs) -> Result<ExitCode> {
    let settings = observe(&args.nats, "reinitialization-cache", async |observer, end| {
        until_stopped(end, reinitialise(observer, args)).await
    })?;
    println!(
        "all caches are ready in epoch {} with items of the type {}",
        settings.epoch, settings.item_type
    );
    Ok(ExitCode::SUCCESS)
}

async fn reinitialise(observer: &Observer, args: &ReinitializationArgs) -> Result<CacheSettings> {
    let caches = |snapshot: &MembersSnapshot| progress_of_all(snapshot, 0).caches;
    ensure!(
        caches(&observer.members.current()) > 0,
        "no cache runs in this cluster, so there is nothing to re-initialise; start the caches first"
    );
    if args.delay > 0 {
        tracing::info!("the new epoch begins in {} s", args.delay);
        tokio::time::sleep(Duration::from_secs(args.delay)).await;
    }
    let item_type = args.cache_item_type.map(|coding| coding.to_string());
    let settings = observer.settings.start_epoch(item_type.as_deref()).await?;
    tracing::info!(
        caches = caches(&observer.members.current()),
        "epoch {} has begun, items are {}",
        settings.epoch,
        settings.item_type
    );
    wait(observer, settings.epoch).await?;
    Ok(settings)
}

/// Waits until every live cache has done the work of the epoch.
async fn wait(observer: &Observer, epoch: u64) -> Result<()> {
    let mut members = observer.members.clone();
    let mut bar: Option<(u64, Progress)> = None;
    let mut naming = tokio::time::interval(NAME_INTERVAL);
    naming.tick().await;
    loop {
        let state = progress_of_all(&members.current(), epoch);
        // The bar begins anew when it turns out that there is more, or less, to do.
        match &mut bar {
            Some((wanted, progress)) if *wanted == state.wanted => progress.set(state.there),
            _ if state.wanted > 0 => {
                if let Some((_, old)) = bar.take() {
                    old.finish();
                }
                bar = Some((state.wanted, Progress::start("items", state.wanted)));
            }
            _ => {}
        }
        if state.caches > 0 && state.behind.is_empty() {
            if let Some((_, progress)) = bar.take() {
                progress.finish();
            }
            return Ok(());
        }
        tokio::select! {
            changed = members.changed() => drop(changed.context("the members are not followed any more")?),
            _ = naming.tick() => match state.behind.len() {
                0 => tracing::warn!("no cache is left in the cluster; waiting for one to come back"),
                _ => tracing::info!("not ready: {}", state.behind.into_iter().collect::<Vec<_>>().join(", ")),
            }
        }
    }
}

/// How far the caches are.
struct State {
    caches: usize,
    behind: BTreeSet<String>,
    /// Items that sharded caches of the epoch want and have.
    wanted: u64,
    there: u64,
}

fn progress_of_all(snapshot: &MembersSnapshot, epoch: u64) -> State {
    let mut state = State {
        caches: 0,
        behind: BTreeSet::new(),
        wanted: 0,
        there: 0,
    };
    for member in snapshot.members.values() {
        let through = match &member.status {
            RoleStatus::ShardedCache(status) => {
                if status.epoch >= epoch {
                    state.wanted += status.wanted_items;
                    state.there += status.wanted_items.saturating_sub(status.missing_items);
                }
                status.epoch >= epoch && status.ready
            }
            RoleStatus::FullPieceShardedCache(status) => status.epoch >= epoch && status.ready,
            _ => continue,
        };
        state.caches += 1;
        if !through {
            state.behind.insert(member.id.to_string());
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use autonomys_cluster::members::Member;
    use autonomys_cluster::{InstanceId, Role};
    use std::sync::Arc;

    #[test]
    fn only_caches_count_and_each_has_to_be_ready_in_the_epoch() {
        let mut snapshot = MembersSnapshot::default();
        let mut add = |role, epoch, ready| {
            let mut member = Member::new(InstanceId::generate(role), "host", "1");
            match &mut member.status {
                RoleStatus::ShardedCache(status) => {
                    (status.epoch, status.ready) = (epoch, ready);
                    (status.wanted_items, status.missing_items) = (10, if ready { 0 } else { 4 });
                }
                RoleStatus::FullPieceShardedCache(status) => (status.epoch, status.ready) = (epoch, ready),
                _ => {}
            }
            let id = member.id;
            snapshot.members.insert(id, Arc::new(member));
            id.to_string()
        };
        add(Role::Controller, 0, false);
        add(Role::ShardedCache, 2, true);
        let filling = add(Role::ShardedCache, 2, false);
        let unaware = add(Role::ShardedCache, 1, true);
        let archive = add(Role::FullPieceShardedCache, 1, true);
        let state = progress_of_all(&snapshot, 2);
        assert_eq!(state.caches, 4);
        assert_eq!(state.behind, [filling, unaware, archive].into());
        assert_eq!((state.there, state.wanted), (16, 20));
    }
}

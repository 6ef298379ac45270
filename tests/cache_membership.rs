//! Caches join, restart and die while pieces are read all the time: the least that is possible moves, and nobody who reads notices.

use crate::support::caches::{CachesFromOutside, FILLED_WITHIN, cache_status, items, start_cache};
use crate::support::{DevChain, Process, TestCluster, Turn};
use autonomys_cache::placement::{ShardTable, VirtualShard};
use autonomys_cluster::messages::CacheItem;
use autonomys_cluster::{InstanceId, Role};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subspace_core_primitives::pieces::PieceIndex;

/// Pieces of a segment.
const SEGMENT: u64 = 256;
/// Seconds in place of the minutes that an operator grants a cache to come back; less is not allowed.
const SHORT_GRACE: &str = "10";

/// Who holds which item; every item is held by one cache only.
fn holders(inventories: &BTreeMap<InstanceId, Vec<CacheItem>>) -> BTreeMap<CacheItem, InstanceId> {
    let mut holders = BTreeMap::new();
    for (cache, items) in inventories {
        for item in items {
            let other = holders.insert(*item, *cache);
            assert_eq!(other, None, "{item:?} is in two caches");
        }
    }
    holders
}

/// The owner of a shard of whole pieces.
fn owner(table: &ShardTable, shard: VirtualShard) -> &str {
    &table.owners(shard).next().unwrap().id
}

/// Every item is with the owner that the table names.
fn held_by_owners(holders: &BTreeMap<CacheItem, InstanceId>, table: &ShardTable) {
    for (item, holder) in holders {
        let shard = VirtualShard::of_piece(PieceIndex::new(item.piece_index));
        assert_eq!(holder.to_string(), owner(table, shard), "{item:?}");
    }
}

async fn ready_again(caches: &CachesFromOutside<'_>, id: InstanceId, run: u64) {
    caches
        .cluster
        .wait_for_members(
            &caches.members,
            "the restarted cache is ready",
            FILLED_WITHIN,
            |snapshot| {
                snapshot
                    .get(id)
                    .is_some_and(|member| member.run != run && cache_status(member).ready)
            },
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_cache_takes_a_fifth_and_a_restarted_one_nothing() {
    let _turn = Turn::wait().await;
    let segments = 2;
    let cluster = TestCluster::start(DevChain {
        segments,
        ..DevChain::default()
    })
    .await;
    let pieces = SEGMENT * u64::from(segments);
    let _controller = cluster.controller().start();
    let first: Vec<Process> = (1..=4)
        .map(|number| start_cache(&cluster, &format!("cache-{number}")))
        .collect();
    let caches = CachesFromOutside::look(&cluster).await;
    let maps = caches.settled(4, pieces).await;
    let four = caches.table(&maps.current).await;
    let before = holders(&caches.inventories().await);
    assert_eq!(before.len() as u64, pieces);
    held_by_owners(&before, &four);
    let members = caches.members.current().members.len();

    let reader = caches.start_reading().await;
    let _fifth = start_cache(&cluster, "cache-5");
    // Whoever verifies while items move finds nothing wrong with those that do.
    let has_settled = AtomicBool::new(false);
    let settled = async {
        let maps = caches.settled(5, pieces).await;
        has_settled.store(true, Ordering::Relaxed);
        maps
    };
    let verified_meanwhile = async {
        while !has_settled.load(Ordering::Relaxed) {
            let verified = caches.util("verify-piece --json").await;
            assert_eq!(verified.code, Some(0), "{}", verified.text);
        }
    };
    let (maps, ()) = tokio::join!(settled, verified_meanwhile);
    reader.never_missed().await;
    // Whoever looks from outside is nobody's member.
    assert_eq!(caches.members.current().members.len(), members + 1);

    let after = holders(&caches.inventories().await);
    assert_eq!(after.len() as u64, pieces);
    let moved: Vec<_> = before
        .iter()
        .filter(|(item, cache)| after[item] != **cache)
        .collect();
    let old: Vec<InstanceId> = before.values().copied().collect();
    assert!(
        moved.iter().all(|(item, _)| !old.contains(&after[item])),
        "items move to the new cache only"
    );
    // What moves follows from the table alone: a fifth of its 65 536 shards, whatever their pieces.
    let five = caches.table(&maps.current).await;
    held_by_owners(&after, &five);
    let shards = VirtualShard::all().count();
    let changed = VirtualShard::all().filter(|&shard| owner(&four, shard) != owner(&five, shard));
    let share = changed.count() as f64 / shards as f64;
    assert!((0.19..=0.21).contains(&share), "{share} of the shards moved");
    // Of 512 pieces drawn from that, 20 % with a deviation of 1.8; this is five of them.
    let share = moved.len() as f64 / pieces as f64;
    assert!((0.11..=0.29).contains(&share), "{share} of the items moved");

    // One of the four dies and comes back.
    let killed = &first[2];
    let id = caches
        .members
        .current()
        .role(Role::ShardedCache)
        .map(|member| member.id)
        .find(|id| killed.output().contains(&format!("joined instance={id}")))
        .unwrap();
    let run = caches.members.current().get(id).unwrap().run;
    let reader = caches.start_reading().await;
    killed.kill();
    killed.restart();
    ready_again(&caches, id, run).await;
    reader.stop().await;
    assert_eq!(
        caches.settled(5, pieces).await,
        maps,
        "the shard map is as it was"
    );
    assert_eq!(holders(&caches.inventories().await), after, "nothing has moved");
    let opened = killed.output();
    let opened = opened
        .lines()
        .rfind(|line| line.contains("the cache is open"))
        .unwrap();
    let held = after.values().filter(|cache| **cache == id).count();
    assert!(
        opened.contains(&format!("items={held} ")),
        "all of its {held} items were there at once: {opened}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_of_six_caches_die_and_every_read_succeeds() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain::default()).await;
    let _controller = cluster
        .controller()
        .args([
            "--cache-item-type",
            "split-parity-piece",
            "--cache-grace-secs",
            SHORT_GRACE,
        ])
        .start();
    let processes: Vec<Process> = (1..=6)
        .map(|number| start_cache(&cluster, &format!("cache-{number}")))
        .collect();
    let caches = CachesFromOutside::look(&cluster).await;
    let shards = SEGMENT * 6;
    let maps = caches.settled(6, shards).await;
    // One shard of every piece each.
    for (cache, items) in caches.inventories().await {
        assert_eq!(items.len() as u64, SEGMENT, "{cache}");
    }

    let reader = caches.start_reading().await;
    processes[1].kill();
    processes[4].kill();
    let rebuilt = caches.settled(4, shards).await;
    reader.never_missed().await;
    assert!(rebuilt.current.version > maps.current.version);
    assert_eq!(items(&caches.members.current()), shards);

    let verified = caches.util("verify-piece --json").await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
    assert_eq!(verified.json["items"], shards);
    assert_eq!(verified.json["pieces"], SEGMENT);
    for process in [&processes[0], &processes[2], &processes[3], &processes[5]] {
        process.stop(Duration::from_secs(30)).await;
    }
}

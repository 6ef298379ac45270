//! Several full-piece caches share the work of bringing the history here, one of them holds a range of it only, and all that members
//! fetch from each other is encrypted.

use crate::support::caches::{CachesFromOutside, FILLED_WITHIN};
use crate::support::{DevChain, Process, TestCluster, Turn};
use autonomys_cluster::Role;
use autonomys_cluster::members::{FullPieceStatus, MembersSnapshot, RoleStatus};
use std::path::Path;

/// Pieces of a segment.
const SEGMENT: u64 = 256;
/// Segments of the chain.
const SEGMENTS: u64 = 2;
const TLS: &str = "--data-plane-tls";

fn statuses(snapshot: &MembersSnapshot) -> Vec<&FullPieceStatus> {
    let members = snapshot.role(Role::FullPieceShardedCache);
    members
        .filter_map(|member| match &member.status {
            RoleStatus::FullPieceShardedCache(status) => Some(status),
            _ => None,
        })
        .collect()
}

/// Files of whole segments in a directory.
fn segments_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pieces"))
        .collect();
    names.sort();
    names
}

/// Segments that a cache has fetched in its own turn, as it says.
fn own_turns(cache: &Process) -> Vec<u64> {
    let output = cache.output();
    let stored = output.lines().filter(|line| line.contains("segment stored"));
    stored
        .filter(|line| line.contains("own_turn=true"))
        .map(|line| {
            let (_, rest) = line.split_once("segment=").unwrap();
            rest.split_whitespace().next().unwrap().parse().unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_piece_caches_share_the_work_over_encrypted_connections() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain {
        segments: SEGMENTS as u16,
        ..DevChain::default()
    })
    .await;
    let start = |name: &str, arguments: [&str; 2]| {
        cluster
            .named_role(name, "full-piece-sharded-cache")
            .path(&cluster.path(name), "")
            .args(arguments)
            .start()
    };
    let part = start("part", [TLS, "--segments=1..2"]);
    let all = ["all-1", "all-2"].map(|name| start(name, [TLS, "--segments=0.."]));
    let caches = CachesFromOutside::look(&cluster).await;
    // They know what each of them means to hold before there is anything to fetch.
    let mean_to = |snapshot: &MembersSnapshot| {
        let statuses = statuses(snapshot);
        statuses.len() == 3 && statuses.iter().all(|status| !status.assigned.is_empty())
    };
    cluster
        .wait_for_members(&caches.members, "three caches are there", FILLED_WITHIN, mean_to)
        .await;
    let _controller = cluster.controller().args([TLS]).start();
    let hold = |snapshot: &MembersSnapshot| {
        let statuses = statuses(snapshot);
        let mut held: Vec<u64> = statuses
            .iter()
            .map(|status| (0..9).filter(|&segment| status.holds(segment.into())).count() as u64)
            .collect();
        held.sort_unstable();
        held == [1, SEGMENTS, SEGMENTS] && statuses.iter().all(|status| status.ready)
    };
    cluster
        .wait_for_members(&caches.members, "all hold what they mean to", FILLED_WITHIN, hold)
        .await;
    assert_eq!(segments_in(&cluster.path("part")), ["segment-0000000001.pieces"]);
    assert_eq!(segments_in(&cluster.path("all-1")).len() as u64, SEGMENTS);

    // Each segment was brought here by one of them, and copied by the others.
    let mut turns: Vec<u64> = [&part, &all[0], &all[1]]
        .into_iter()
        .flat_map(own_turns)
        .collect();
    turns.sort_unstable();
    assert_eq!(turns, (0..SEGMENTS).collect::<Vec<_>>());

    // A sharded cache is fed by them, and everything that all of them give is what the chain has.
    let _cache = cluster
        .role("sharded-cache")
        .path(&cluster.path("cache"), ",size=600MiB")
        .args([TLS])
        .start();
    caches.settled(1, SEGMENTS * SEGMENT).await;
    let verified = caches.util("verify-piece --json").await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
    assert_eq!(verified.json["items"], (1 + 2 * SEGMENTS + SEGMENTS) * SEGMENT);

    // A member that does not encrypt is told why it gets nothing.
    let plain = cluster.role("proof-server").start();
    cluster
        .wait_until("the difference is named", FILLED_WITHIN, async || {
            let words = "it encrypts, this process does not; start all members with --data-plane-tls or none";
            plain.output().contains(words).then_some(())
        })
        .await;
}

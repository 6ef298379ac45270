//! Damage on the disks of caches is never served, is found and repaired; and the utilities do what they say.

use crate::support::caches::{CachesFromOutside, FILLED_WITHIN, items, start_cache, utility};
use crate::support::{DevChain, TestCluster, Turn, free_port};
use autonomys_cluster::Role;
use autonomys_cluster::members::RoleStatus;
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use subspace_core_primitives::pieces::PieceIndex;

/// Pieces of the one segment.
const SEGMENT: u64 = 256;

/// For caches that are not to find damage before the test looks.
const NO_SCRUB: [&str; 2] = ["--scrub-rate-limit", "0"];

/// Flips a bit in the middle of a piece, wherever it lies in the file.
async fn damage(cluster: &TestCluster, file: PathBuf, piece_index: u64) {
    let index = PieceIndex::new(piece_index);
    let piece = cluster.node().piece(index).await.unwrap().unwrap();
    let flip = move || {
        let at = find(&file, &piece.as_ref()[..64]) + 500_000;
        let file = File::options().read(true).write(true).open(&file).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    };
    tokio::task::spawn_blocking(flip).await.unwrap();
}

/// Where some bytes lie in a file. Items begin at multiples of 32 bytes.
fn find(path: &Path, wanted: &[u8]) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let found = (0..bytes.len())
        .step_by(32)
        .find(|&at| bytes[at..].starts_with(wanted));
    found.unwrap_or_else(|| panic!("{} does not hold the item", path.display())) as u64
}

/// The bad items of a report: what, where, and whether it was repaired.
fn bad_items(report: &Value) -> Vec<(String, String, bool)> {
    let mut bad: Vec<_> = report["bad_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bad| {
            let text = |name: &str| bad[name].as_str().unwrap().to_string();
            (text("item"), text("cache"), bad["repaired"].as_bool().unwrap())
        })
        .collect();
    bad.sort();
    bad
}

async fn archive_is_full(caches: &CachesFromOutside<'_>) {
    let full = |status: &RoleStatus| matches!(status, RoleStatus::FullPieceShardedCache(status) if status.ready && status.holds(0.into()));
    caches
        .cluster
        .wait_for_members(
            &caches.members,
            "the archive is full",
            FILLED_WITHIN,
            |snapshot| {
                snapshot
                    .role(Role::FullPieceShardedCache)
                    .any(|member| full(&member.status))
            },
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_never_served_and_is_found_and_repaired() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain::default()).await;
    let _controller = cluster.controller().start();
    let directory = cluster.path("cache");
    let _cache = cluster
        .role("sharded-cache")
        .path(&directory, ",size=300MiB")
        .args(NO_SCRUB)
        .start();
    let archive = cluster.path("archive");
    let _archive = cluster
        .role("full-piece-sharded-cache")
        .path(&archive, "")
        .args(NO_SCRUB)
        .start();
    let caches = CachesFromOutside::look(&cluster).await;
    let maps = caches.settled(1, SEGMENT).await;
    archive_is_full(&caches).await;
    let (slab, segment) = (
        directory.join("slab.bin"),
        archive.join("segment-0000000000.pieces"),
    );
    let snapshot = caches.members.current();
    let sharded = snapshot.role(Role::ShardedCache).next().unwrap();
    let full = snapshot.role(Role::FullPieceShardedCache).next().unwrap();

    let sound = caches.util("verify-piece --json").await;
    assert_eq!(sound.code, Some(0), "{}", sound.text);
    assert_eq!(
        (&sound.json["items"], &sound.json["bad"]),
        (&Value::from(2 * SEGMENT), &Value::from(0))
    );

    // Nobody has noticed anything when the command looks.
    damage(&cluster, slab.clone(), 7).await;
    damage(&cluster, segment.clone(), 201).await;
    let found = caches.util("verify-piece --json").await;
    assert_eq!(found.code, Some(2), "{}", found.text);
    let (in_slab, in_archive) = (sharded.id.to_string(), full.id.to_string());
    let expected = [
        ("piece 201".to_string(), in_archive.clone(), false),
        ("piece 7".to_string(), in_slab.clone(), false),
    ];
    assert_eq!(bad_items(&found.json), expected);

    // The cache and the archive refuse what they cannot vouch for.
    damage(&cluster, slab.clone(), 31).await;
    let given = caches.piece_from(sharded, maps.current.layout, 31).await;
    assert!(given.is_none(), "damaged bytes were served");
    damage(&cluster, segment.clone(), 9).await;
    let given = caches.piece_from(full, maps.current.layout, 9).await;
    let right = cluster.node().piece(PieceIndex::new(9)).await.unwrap().unwrap();
    // It may have been repaired in the meantime; what must not be is anything else than the piece.
    assert!(given.is_none_or(|bytes| bytes == right.as_ref()));

    damage(&cluster, slab, 100).await;
    damage(&cluster, segment, 102).await;
    let repaired = caches.util("verify-piece --repair --json").await;
    assert_eq!(repaired.code, Some(2), "{}", repaired.text);
    assert_eq!(
        repaired.json["bad"], repaired.json["repaired"],
        "{}",
        repaired.text
    );
    let bad = bad_items(&repaired.json);
    for expected in [
        ("piece 100".to_string(), in_slab, true),
        ("piece 102".to_string(), in_archive, true),
    ] {
        assert!(bad.contains(&expected), "{expected:?} in {bad:?}");
    }
    let sound = caches.util("verify-piece --json").await;
    assert_eq!(sound.code, Some(0), "{}", sound.text);
    assert_eq!(sound.json["items"], 2 * SEGMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_nobody_meets_is_found_in_the_background_and_mended() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain::default()).await;
    let _controller = cluster.controller().start();
    let scrub = ["--scrub-rate-limit=1GB", "--scrub-interval-secs=1"];
    let (directory, archive) = (cluster.path("cache"), cluster.path("archive"));
    let cache = cluster
        .role("sharded-cache")
        .path(&directory, ",size=300MiB")
        .args(scrub)
        .start();
    let full = cluster
        .role("full-piece-sharded-cache")
        .path(&archive, "")
        .args(scrub)
        .start();
    let caches = CachesFromOutside::look(&cluster).await;
    caches.settled(1, SEGMENT).await;
    archive_is_full(&caches).await;
    damage(&cluster, directory.join("slab.bin"), 7).await;
    damage(&cluster, archive.join("segment-0000000000.pieces"), 201).await;
    for (process, words) in [
        (&cache, "dropped a damaged item key=piece 7 "),
        (&full, "a piece was repaired piece=201 "),
    ] {
        cluster
            .wait_until(words, FILLED_WITHIN, async || {
                process.output().contains(words).then_some(())
            })
            .await;
    }
    // How far it is can be seen, and that everything is there again.
    let told = |status: &Value| {
        ["sharded_caches", "full_piece_caches"].iter().all(|caches| {
            let text = status[*caches][0]["scrub"].as_str().unwrap_or_default();
            text.starts_with("all 256 items read and compared, 1 damaged since the start")
        })
    };
    cluster
        .wait_until("both have looked through everything", FILLED_WITHIN, async || {
            let status = caches.util("cache-status --json").await;
            (status.json["ready"] == true && told(&status.json)).then_some(())
        })
        .await;
    let sound = caches.util("verify-piece --json").await;
    assert_eq!(sound.code, Some(0), "{}", sound.text);
    assert_eq!(sound.json["items"], 2 * SEGMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_is_killed_while_it_writes_serves_nothing_that_is_not_right() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain::default()).await;
    let _controller = cluster
        .controller()
        .args(["--cache-item-type", "split-parity-piece"])
        .start();
    // One cache holds all parts of every piece: 1536 items to write.
    let all = SEGMENT * 6;
    let cache = cluster
        .role("sharded-cache")
        .path(&cluster.path("cache"), ",size=600MiB")
        .start();
    let caches = CachesFromOutside::look(&cluster).await;
    for kill in 1..=4 {
        // It goes on writing while its items are counted, and is killed then.
        let at_least = kill * all / 6;
        cluster
            .wait_for_members(&caches.members, "it writes", FILLED_WITHIN, |snapshot| {
                items(snapshot) >= at_least
            })
            .await;
        let run = caches
            .members
            .current()
            .role(Role::ShardedCache)
            .next()
            .unwrap()
            .run;
        cache.kill();
        cache.restart();
        cluster
            .wait_for_members(&caches.members, "it is there again", FILLED_WITHIN, |snapshot| {
                let mut members = snapshot.role(Role::ShardedCache);
                members.any(|member| member.run != run && !member.data_plane_addresses.is_empty())
            })
            .await;
        let verified = caches.util("verify-piece --json").await;
        assert_eq!(verified.code, Some(0), "after kill {kill}: {}", verified.text);
        assert!(verified.json["items"].as_u64().unwrap() > 0, "{}", verified.text);
    }
    caches.settled(1, all).await;
    let verified = caches.util("verify-piece --json").await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
    assert_eq!(verified.json["items"], all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_utilities_of_the_caches() {
    let _turn = Turn::wait().await;
    let cluster = TestCluster::start(DevChain::default()).await;
    let _controller = cluster.controller().start();
    let _first = start_cache(&cluster, "cache-1");
    let _second = start_cache(&cluster, "cache-2");
    let caches = CachesFromOutside::look(&cluster).await;
    caches.settled(2, SEGMENT).await;

    let status = caches.util("cache-status --json").await;
    assert_eq!(status.code, Some(0), "{}", status.text);
    assert_eq!(status.json["cache_item_type"], "piece");
    assert_eq!(status.json["ready"], true);
    let items = |status: &Value| -> u64 {
        let caches = status["sharded_caches"].as_array().unwrap();
        assert_eq!(caches.len(), 2);
        caches.iter().map(|cache| cache["items"].as_u64().unwrap()).sum()
    };
    assert_eq!(items(&status.json), SEGMENT);

    let benchmark = "sharded-cache-benchmark --sectors 256 --epoch 1 --pieces-in-sector 4 --baseline --json";
    let measured = caches.util(benchmark).await;
    assert_eq!(measured.code, Some(0), "{}", measured.text);
    let report = &measured.json;
    let pieces = report["pieces"].as_u64().unwrap();
    // Some pieces come twice in a sector of four.
    assert!((1000..=1024).contains(&pieces), "{}", measured.text);
    assert_eq!(
        (&report["misses"], &report["not_found"]),
        (&Value::from(0), &Value::from(0))
    );
    let given: u64 = report["bytes_per_instance"]
        .as_object()
        .unwrap()
        .values()
        .map(|bytes| bytes.as_u64().unwrap())
        .sum();
    assert!(given >= report["bytes"].as_u64().unwrap(), "{}", measured.text);
    let fraction = report["fraction_of_tcp"].as_f64().unwrap();
    assert!(fraction > 0.0, "{}", measured.text);

    // As the operator's tutorial has it; the type is refused until the caches have it.
    let wanted = "sharded-cache-benchmark --sectors 2 --pieces-in-sector 64 --epoch 1 --cache-item-type split-parity-piece";
    let refused = caches.util(wanted).await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    for words in [
        "store items as piece, not as split-parity-piece",
        "reinitialization-cache --cache-item-type split-parity-piece",
    ] {
        assert!(refused.text.contains(words), "{words:?} in {}", refused.text);
    }
    let again = caches.util("reinitialization-cache --delay 0").await;
    assert_eq!(again.code, Some(0), "{}", again.text);
    assert!(
        again.text.contains("all caches are ready in epoch 1"),
        "{}",
        again.text
    );
    let changed = caches
        .util("reinitialization-cache --delay 1 --cache-item-type split-parity-piece")
        .await;
    assert_eq!(changed.code, Some(0), "{}", changed.text);
    let words = "ready in epoch 2 with items of the type split-parity-piece:4+2";
    assert!(changed.text.contains(words), "{}", changed.text);
    caches.settled(2, SEGMENT * 6).await;
    let measured = caches.util(wanted).await;
    assert_eq!(measured.code, Some(0), "{}", measured.text);
    assert!(measured.text.contains("misses       0"), "{}", measured.text);
    let verified = caches.util("verify-piece").await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
    assert!(
        verified.text.contains("1536 items of 256 pieces"),
        "{}",
        verified.text
    );
    let status = caches.util("cache-status --json").await;
    assert_eq!(status.json["cache_item_type"], "split-parity-piece:4+2");
    assert_eq!(items(&status.json), SEGMENT * 6);

    // An empty cluster, and one that is not there.
    let empty = caches.util("verify-piece --cluster nobody-is-here").await;
    assert_eq!(empty.code, Some(1), "{}", empty.text);
    assert!(empty.text.contains("nobody is in the cluster"), "{}", empty.text);
}

#[tokio::test]
async fn no_nats_server_is_said_in_one_sentence() {
    let port = free_port();
    for command in [
        "cache-status",
        "verify-piece",
        "reinitialization-cache",
        "sharded-cache-benchmark",
    ] {
        let line = format!("{command} --nats-server nats://127.0.0.1:{port} --nats-timeout-secs 1");
        let ended = utility(&line).await;
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        let errors: Vec<_> = ended
            .text
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{}", ended.text);
        assert!(errors[0].contains(&format!("127.0.0.1:{port}")), "{}", ended.text);
    }
}

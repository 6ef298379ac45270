//! Buckets: compare-and-set, listings, watches through restarts and losses, and limits.

use super::{eventually, on_each_server, soon};
use autonomys_cluster::shard_map::{ShardMap, ShardMapStore, ShardMaps, ShardMember, TableError};
use autonomys_cluster::store::{Bucket, BucketConfig, Created, StoreError, Watch, WatchEvent};
use autonomys_cluster::test_util::NatsServer;
use autonomys_cluster::{InstanceId, Message, Role};
use parity_scale_codec::{Decode, Encode};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Note(Vec<u8>);

impl Message for Note {
    const NAME: &'static str = "note";
    const VERSION: u8 = 1;
    const MAX_SIZE: usize = 8192;
}

const NOTES: BucketConfig = BucketConfig {
    name: "notes",
    description: "Notes of a test",
    max_bytes: 64 * 1024,
    max_age: Duration::ZERO,
};

fn note(text: &str) -> Note {
    Note(text.as_bytes().to_vec())
}

/// Follows a watch until the mirror is as expected.
async fn mirror(watch: &mut Watch<Note>, mirror: &mut BTreeMap<String, Note>, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|&(key, text)| (key.to_owned(), note(text)))
        .collect();
    soon("mirror", async {
        while *mirror != expected {
            match watch.next_event().await.unwrap() {
                WatchEvent::Put(entry) => drop(mirror.insert(entry.key, entry.value)),
                WatchEvent::Removed(key) => drop(mirror.remove(&key)),
                WatchEvent::Synced => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_name_the_revision_they_replace() {
    on_each_server("writes_name_the_revision_they_replace", async |server| {
        let cluster = server.connect("default", Role::Controller).await;
        let bucket = Bucket::<Note>::open(&cluster, &NOTES).await.unwrap();
        let again = Bucket::<Note>::open(&server.connect("default", Role::PlotClient).await, &NOTES)
            .await
            .unwrap();
        assert_eq!(bucket.entries(&[">".to_owned()]).await.unwrap(), []);

        let Created::New(first) = bucket.create("a.1", &note("x")).await.unwrap() else {
            panic!("not new")
        };
        let Created::Existing(entry) = again.create("a.1", &note("y")).await.unwrap() else {
            panic!("new")
        };
        assert_eq!((entry.value, entry.revision), (note("x"), first));
        let second = again.update("a.1", &note("y"), first).await.unwrap().unwrap();
        assert_eq!(
            bucket.update("a.1", &note("z"), first).await.unwrap(),
            None,
            "out of date"
        );
        assert!(!bucket.delete("a.1", first).await.unwrap(), "out of date");
        bucket.create("b.1", &note("b")).await.unwrap();
        assert_eq!(bucket.entries(&["a.*".to_owned()]).await.unwrap().len(), 1);

        assert!(bucket.delete("a.1", second).await.unwrap());
        assert_eq!(bucket.get("a.1").await.unwrap(), None);
        assert_eq!(bucket.entries(&[">".to_owned()]).await.unwrap().len(), 1);
        assert_eq!(
            bucket
                .forget_removals(&["a.>".to_owned()], Duration::from_secs(3600))
                .await
                .unwrap(),
            0
        );
        assert_eq!(
            bucket
                .forget_removals(&["a.>".to_owned()], Duration::ZERO)
                .await
                .unwrap(),
            1
        );
        assert_eq!(
            bucket.get("b.1").await.unwrap().unwrap().value,
            note("b"),
            "records stay"
        );
        assert!(matches!(
            bucket.create("a.1", &note("new")).await.unwrap(),
            Created::New(_)
        ));

        let foreign = Bucket::<Note>::open(&server.connect("other", Role::Controller).await, &NOTES)
            .await
            .unwrap();
        assert_eq!(foreign.get("b.1").await.unwrap(), None, "another cluster");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_bucket_refuses_and_loses_nothing() {
    on_each_server("a_full_bucket_refuses_and_loses_nothing", async |server| {
        let cluster = server.connect("default", Role::Controller).await;
        let bucket = Bucket::<Note>::open(&cluster, &NOTES).await.unwrap();
        let mut stored = 0;
        let full = loop {
            match bucket.create(&format!("k.{stored}"), &Note(vec![7; 8000])).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 9, "beyond 64 KiB");
        };
        assert!(matches!(full, StoreError::Full { limit: 65536, .. }), "{full}");
        assert!(
            full.to_string()
                .starts_with("KV_default_notes is full (65536 bytes)"),
            "{full}"
        );
        assert_eq!(bucket.entries(&[">".to_owned()]).await.unwrap().len(), stored);
        let too_large = bucket.create("large", &Note(vec![0; 9000])).await.unwrap_err();
        assert!(matches!(too_large, StoreError::Codec(_)), "{too_large}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_outlive_a_restart_and_a_lost_disk() {
    on_each_server("watches_outlive_a_restart_and_a_lost_disk", async |mut server| {
        let cluster = server.connect("default", Role::Controller).await;
        let bucket = Bucket::<Note>::open(&cluster, &NOTES).await.unwrap();
        let Created::New(revision) = bucket.create("a.1", &note("x")).await.unwrap() else {
            panic!("not new")
        };
        bucket.create("a.2", &note("y")).await.unwrap();
        bucket.create("b.1", &note("unseen")).await.unwrap();
        let mut watch = bucket.watch(vec!["a.*".to_owned()]);
        let mut seen = BTreeMap::new();
        mirror(&mut watch, &mut seen, &[("a.1", "x"), ("a.2", "y")]).await;

        server.restart().await;
        bucket
            .update("a.1", &note("x2"), revision)
            .await
            .unwrap()
            .unwrap();
        mirror(&mut watch, &mut seen, &[("a.1", "x2"), ("a.2", "y")]).await;
        let y = bucket.get("a.2").await.unwrap().unwrap();
        assert!(bucket.delete("a.2", y.revision).await.unwrap());
        mirror(&mut watch, &mut seen, &[("a.1", "x2")]).await;

        server.kill().await;
        server.lose_store();
        server.restart().await;
        bucket.create("a.3", &note("z")).await.unwrap();
        mirror(&mut watch, &mut seen, &[("a.3", "z")]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shard_maps_succeed_each_other() {
    let server = NatsServer::start().await;
    let cluster = server.connect("default", Role::Controller).await;
    let store = ShardMapStore::open(&cluster).await.unwrap();
    assert_eq!(store.get().await.unwrap(), None);
    let watch = store.watch();
    let member = || ShardMember {
        instance: InstanceId::generate(Role::ShardedCache),
        host: "h".to_owned(),
        weight: 5,
    };
    // Longer than one record.
    let table: Vec<u8> = (0..900_000_u32).map(|number| (number % 251) as u8).collect();
    let map = |version, table: &[u8], hash| ShardMap {
        version,
        epoch: 0,
        layout: 0,
        item_type: "piece".to_owned(),
        members: vec![member(), member()],
        table: hash,
        table_len: table.len() as u32,
    };
    let first = ShardMaps {
        current: map(1, &table, [1; 32]),
        previous: Vec::new(),
    };
    let missing = store.table(&first.current).await.unwrap_err();
    assert_eq!(missing, TableError::Incomplete { version: 1 });
    store.put_table([1; 32], &table).await.unwrap();
    store.put_table([1; 32], &table).await.unwrap();
    let revision = store.replace(&first, 0).await.unwrap().expect("the first");
    assert_eq!(
        store.replace(&first, 7).await.unwrap(),
        None,
        "a leader that was late"
    );
    assert_eq!(store.table(&first.current).await.unwrap(), table);

    store.put_table([2; 32], &table[..10]).await.unwrap();
    let second = ShardMaps {
        current: map(2, &table[..10], [2; 32]),
        previous: vec![first.current.clone()],
    };
    let revision = store.replace(&second, revision).await.unwrap().expect("ours");
    assert_eq!(store.get().await.unwrap(), Some((second.clone(), revision)));
    assert_eq!(
        store.remove_other_tables(&second).await.unwrap(),
        0,
        "both are needed"
    );
    let retired = ShardMaps {
        previous: Vec::new(),
        ..second.clone()
    };
    store.replace(&retired, revision).await.unwrap().expect("ours");
    assert_eq!(
        store.remove_other_tables(&retired).await.unwrap(),
        2,
        "two chunks"
    );
    assert!(store.table(&first.current).await.is_err());
    assert_eq!(store.table(&retired.current).await.unwrap(), table[..10]);
    eventually("watch", async || watch.borrow().as_deref() == Some(&retired)).await;
}

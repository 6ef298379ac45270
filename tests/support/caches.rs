//! Sharded caches of a test, what they hold as they say it themselves, and the utilities that look at them.

use super::cluster::TestCluster;
use super::process::{BINARY, Process};
use autonomys_cache::placement::ShardTable;
use autonomys_cluster::members::{CacheStatus, Member, MembersSnapshot, MembersView, RoleStatus};
use autonomys_cluster::messages::{CacheInventory, CacheItem};
use autonomys_cluster::shard_map::{ShardMap, ShardMapStore, ShardMaps};
use autonomys_cluster::{Cluster, InstanceId, Role};
use autonomys_transfer::{ItemKey, ItemKind, Peer, Pool, PoolOptions, SessionKey, TransferError};
use futures::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Caches fill themselves with some hundred pieces, which a controller asks of its node one by one, on a loaded machine.
pub(crate) const FILLED_WITHIN: Duration = Duration::from_secs(120);
/// A utility over some hundred pieces, on a loaded machine.
pub(crate) const UTILITY_WITHIN: Duration = Duration::from_secs(120);

/// Of a reader on a development chain, which says that its parameters are for development only.
const LAST_WORDS_BEFORE_READING: &str = "INSECURE development KZG parameters";

/// A look at the caches from outside.
pub(crate) struct CachesFromOutside<'a> {
    pub(crate) cluster: &'a TestCluster,
    pub(crate) connection: Cluster,
    pub(crate) members: MembersView,
}

/// How a utility ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Its one line of standard output with `--json`, else null.
    pub(crate) json: Value,
    /// Standard output and standard error, for messages.
    pub(crate) text: String,
}

/// Starts a sharded cache in a directory that is called like it, with room for 250 pieces.
pub(crate) fn start_cache(cluster: &TestCluster, name: &str) -> Process {
    cluster
        .named_role(name, "sharded-cache")
        .path(&cluster.path(name), ",size=260MiB")
        .start()
}

/// A sharded cache's status.
pub(crate) fn cache_status(member: &Member) -> &CacheStatus {
    match &member.status {
        RoleStatus::ShardedCache(status) => status,
        other => panic!("{} is no sharded cache: {other:?}", member.id),
    }
}

/// Items of all sharded caches together.
pub(crate) fn items(snapshot: &MembersSnapshot) -> u64 {
    snapshot
        .role(Role::ShardedCache)
        .map(|member| cache_status(member).items)
        .sum()
}

impl<'a> CachesFromOutside<'a> {
    pub(crate) async fn look(cluster: &'a TestCluster) -> Self {
        let (connection, members) = cluster.observe().await;
        Self {
            cluster,
            connection,
            members,
        }
    }

    /// The shard maps as they are in JetStream.
    pub(crate) async fn maps(&self) -> Option<ShardMaps> {
        let store = ShardMapStore::open(&self.connection).await.ok()?;
        store.get().await.ok()?.map(|(maps, _)| maps)
    }

    /// The table of a shard map, as everybody reads it.
    pub(crate) async fn table(&self, map: &ShardMap) -> ShardTable {
        let store = ShardMapStore::open(&self.connection).await.unwrap();
        ShardTable::from_bytes(&store.table(map).await.unwrap()).unwrap()
    }

    /// Waits until there are `caches` sharded caches, all of them owners, hold `items` in all, and nothing moves any more.
    pub(crate) async fn settled(&self, caches: usize, expected: u64) -> ShardMaps {
        let what = format!("{caches} caches hold {expected} items and nothing moves");
        self.cluster
            .wait_until(&what, FILLED_WITHIN, async || {
                let maps = self.maps().await?;
                let snapshot = self.members.current();
                let ready = snapshot.role(Role::ShardedCache).all(|member| {
                    let status = cache_status(member);
                    status.ready && status.shard_map_version == maps.current.version
                });
                let all_there = snapshot.role(Role::ShardedCache).count() == caches
                    && maps.current.members.len() == caches
                    && maps.previous.is_empty()
                    && items(&snapshot) == expected;
                (ready && all_there).then_some(maps)
            })
            .await
    }

    /// What each sharded cache lists.
    pub(crate) async fn inventories(&self) -> BTreeMap<InstanceId, Vec<CacheItem>> {
        let mut inventories = BTreeMap::new();
        for member in self.members.current().role(Role::ShardedCache) {
            let request = CacheInventory {
                after: None,
                limit: CacheInventory::MAX_ITEMS,
            };
            let page = self.connection.request(member.id, &request).await.unwrap();
            assert!(!page.more, "tests have few items");
            inventories.insert(member.id, page.items);
        }
        inventories
    }

    /// Asks one member for a whole piece; `None` when it does not give it.
    pub(crate) async fn piece_from(
        &self,
        member: &Arc<Member>,
        layout: u64,
        piece_index: u64,
    ) -> Option<Vec<u8>> {
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        let pool = Pool::new(PoolOptions::default(), end);
        let address = member.data_plane_addresses[0].parse().unwrap();
        let key = SessionKey::from(*member.session_key.expose());
        let peer = Peer {
            member: member.id.to_string(),
            address,
            session_key: key,
        };
        let key = ItemKey {
            kind: ItemKind::Piece,
            epoch: layout,
            piece_index,
            shard: 0,
        };
        let deadline = tokio::time::Instant::now() + UTILITY_WITHIN;
        let mut answer = pool.get(&peer, vec![key], deadline).await.unwrap();
        match answer.next().await.unwrap() {
            Ok((_, bytes)) => bytes.map(|bytes| bytes.to_vec()),
            Err(TransferError::CorruptItem { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs `util WORDS` with the address of NATS behind `--nats-servers`, and waits for its end.
    pub(crate) async fn util(&self, words: &str) -> Ended {
        utility(&format!("{words} --nats-servers {}", self.cluster.nats.url())).await
    }

    /// Starts fetching pieces over and over, each checked against the chain, until it is told to stop; returns when it is about to
    /// fetch the first.
    pub(crate) async fn start_reading(&self) -> Reader {
        let line = format!(
            "util sharded-cache-benchmark --verify --json --sectors 8 --pieces-in-sector 32 --epoch 1000000 --nats-server {}",
            self.cluster.nats.url()
        );
        let mut process = tokio::process::Command::new(BINARY)
            .args(line.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let begun = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(LAST_WORDS_BEFORE_READING) {
                    return;
                }
            }
            panic!("the reader did not begin to read");
        };
        tokio::time::timeout(UTILITY_WITHIN, begun)
            .await
            .expect("the reader begins soon");
        let said = tokio::spawn(async move {
            let mut said = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Reader { process, said }
    }
}

/// Runs `util WORDS` and waits for its end.
pub(crate) async fn utility(words: &str) -> Ended {
    let run = tokio::process::Command::new(BINARY)
        .arg("util")
        .args(words.split(' '))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(UTILITY_WITHIN, run)
        .await
        .unwrap_or_else(|_| panic!("util {words} still runs after {UTILITY_WITHIN:?}"));
    ended(output.unwrap())
}

fn ended(output: std::process::Output) -> Ended {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ended {
        code: output.status.code(),
        json: serde_json::from_str(stdout.trim()).unwrap_or_default(),
        text: format!("{stdout}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// A process that reads all the time.
pub(crate) struct Reader {
    process: tokio::process::Child,
    /// What it writes to standard error once it reads.
    said: JoinHandle<String>,
}

impl Reader {
    /// Ends it and expects that every read of all that time was answered by the sharded caches, rightly; returns how many pieces
    /// were read.
    pub(crate) async fn never_missed(self) -> u64 {
        let read = self.stop().await;
        assert_eq!(read.json["misses"], 0, "{}", read.text);
        read.json["pieces"].as_u64().unwrap()
    }

    /// Ends it and expects that every read was answered rightly, by whomever.
    pub(crate) async fn stop(self) -> Ended {
        let id = i32::try_from(self.process.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
        let output = tokio::time::timeout(UTILITY_WITHIN, self.process.wait_with_output()).await;
        let mut read = ended(output.expect("it stops soon").unwrap());
        read.text.push_str(&self.said.await.unwrap());
        assert_eq!(read.code, Some(0), "{}", read.text);
        assert_eq!(read.json["not_found"], 0, "{}", read.text);
        assert_eq!(read.json["wrong"], 0, "{}", read.text);
        assert!(read.json["pieces"].as_u64().unwrap() > 0, "{}", read.text);
        read
    }
}

//! The read path against real members: a NATS server, data planes, and maps that change under the reader.

use super::*;
use crate::roles::placement::table_hash;
use crate::roles::store_items::{StoreItems, from_whole};
use autonomys_cache::placement::{Member as Owner, ShardTable};
use autonomys_cluster::members::{Member, Membership, RoleStatus, SegmentRange};
use autonomys_cluster::shard_map::{ShardMap, ShardMapStore, ShardMaps};
use autonomys_cluster::test_util::NatsServer;
use autonomys_cluster::{InstanceId, Role};
use autonomys_transfer::{Handlers, Item, PoolOptions, Server, SessionKey};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use tokio_util::sync::CancellationToken;

type Items = Arc<Mutex<HashMap<ItemKey, Bytes>>>;

/// A member that gives items from memory.
struct Giver {
    id: InstanceId,
    items: Items,
    membership: Membership,
    server: Server,
}

impl Giver {
    async fn start(nats: &NatsServer, role: Role) -> Self {
        let cluster = nats.connect("default", role).await;
        let mut member = Member::new(cluster.instance(), cluster.instance().to_string(), "1");
        let key = SessionKey::from(*member.session_key.expose());
        let items = Items::default();
        let held = Arc::clone(&items);
        let placement = placement::follow(&cluster).await.unwrap();
        let source = StoreItems::new(move |key: ItemKey| {
            if role == Role::FullPieceShardedCache {
                let piece = |index| {
                    held.lock()
                        .get(&sources::piece_key(index))
                        .cloned()
                        .map(Item::new)
                };
                return from_whole(key, &placement, piece);
            }
            held.lock().get(&key).cloned().map(Item::new)
        });
        let handlers = Handlers {
            items: Arc::new(source),
            ..Handlers::default()
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(address, key, handlers, CancellationToken::new())
            .await
            .unwrap();
        member.data_plane_addresses = vec![server.local_addr().to_string()];
        if let RoleStatus::FullPieceShardedCache(status) = &mut member.status {
            status.segments = vec![SegmentRange {
                first: 0.into(),
                count: 1,
            }];
        }
        let membership = Membership::join(&cluster, member).await.unwrap();
        Self {
            id: cluster.instance(),
            items,
            membership,
            server,
        }
    }

    /// The process is gone; the others do not know yet.
    async fn die_silently(self) -> Membership {
        self.server.shutdown().await;
        self.membership
    }
}

/// A map over these caches.
fn map(version: u64, item_type: &str, caches: &[Giver]) -> (ShardMap, ShardTable, Vec<u8>) {
    let coding: ItemCoding = item_type.parse().unwrap();
    let owners = caches.iter().map(|cache| Owner {
        id: cache.id.to_string(),
        host: cache.id.to_string(),
        weight: 100,
    });
    let table = ShardTable::new(owners.collect(), coding.positions()).unwrap();
    let bytes = table.to_bytes();
    let map = ShardMap {
        version,
        epoch: 0,
        layout: 0,
        item_type: item_type.to_owned(),
        members: Vec::new(),
        table: table_hash(&bytes),
        table_len: bytes.len() as u32,
    };
    (map, table, bytes)
}

/// Gives every owner its parts.
fn store(table: &ShardTable, coding: ItemCoding, pieces: &BTreeMap<PieceIndex, Bytes>, caches: &[Giver]) {
    use autonomys_cache::placement::VirtualShard;
    for (&index, piece) in pieces {
        let parts = coding.encode(piece).unwrap();
        for (position, owner) in table.owners(VirtualShard::of_piece(index)).enumerate() {
            let part = coding.part_at(position);
            let cache = caches
                .iter()
                .find(|cache| cache.id.to_string() == owner.id)
                .unwrap();
            let key = crate::roles::store_items::key_of(coding.key(index, part), 0);
            cache.items.lock().insert(key, parts[usize::from(part)].clone());
        }
    }
}

fn pieces(count: u64) -> BTreeMap<PieceIndex, Bytes> {
    let piece = |index: u64| {
        let mut bytes = vec![0; PIECE_SIZE];
        let mut reader = blake3::Hasher::new().update(&index.to_le_bytes()).finalize_xof();
        reader.fill(&mut bytes);
        (PieceIndex::from(index), Bytes::from(bytes))
    };
    (0..count).map(piece).collect()
}

async fn fetcher(nats: &NatsServer, members: usize) -> PieceFetcher {
    let cluster = Cluster::observe(nats.options("default", Role::PlotServer), "test")
        .await
        .unwrap();
    let mut view = MembersView::observe(&cluster).await.unwrap();
    view.wait_until(|snapshot| snapshot.members.len() == members)
        .await
        .unwrap();
    let pool = Pool::new(PoolOptions::default(), CancellationToken::new());
    PieceFetcher::start(&cluster, pool, view).await.unwrap()
}

async fn check(
    fetcher: &PieceFetcher,
    pieces: &BTreeMap<PieceIndex, Bytes>,
    tiers: &[Tier],
) -> Vec<FetchedPiece> {
    let wanted = pieces.keys().copied().collect();
    let fetched: Vec<_> = fetcher.fetch_stream(wanted, tiers).collect().await;
    assert_eq!(fetched.len(), pieces.len(), "each once");
    for one in &fetched {
        let piece = one
            .piece
            .as_ref()
            .unwrap_or_else(|| panic!("piece {} is missing", one.index));
        assert_eq!(piece.as_ref(), &pieces[&one.index][..]);
        assert!(!one.from.is_empty() && one.tier.is_some());
    }
    fetched
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_pieces_survive_as_many_owners_as_there_is_parity() {
    let nats = NatsServer::start().await;
    let mut caches = Vec::new();
    for _ in 0..6 {
        caches.push(Giver::start(&nats, Role::ShardedCache).await);
    }
    let coding: ItemCoding = "split-parity-piece:4+2".parse().unwrap();
    let (map, table, bytes) = map(1, "split-parity-piece:4+2", &caches);
    let store_ = ShardMapStore::open(&nats.connect("default", Role::Controller).await)
        .await
        .unwrap();
    store_.put_table(map.table, &bytes).await.unwrap();
    let maps = ShardMaps {
        current: map,
        previous: Vec::new(),
    };
    store_.replace(&maps, 0).await.unwrap().unwrap();
    let pieces = pieces(12);
    store(&table, coding, &pieces, &caches);
    let fetcher = fetcher(&nats, 6).await;
    assert!(fetcher.ready(Duration::from_secs(10)).await);
    assert_eq!(fetcher.coding(), Some((coding, 0)));
    for one in check(&fetcher, &pieces, &[Tier::Owners]).await {
        assert_eq!(one.tier, Some(Tier::Owners));
    }
    // Two die without a word, and a third has damaged bytes of one piece: too few for that one, enough for the others.
    let mut silent = Vec::new();
    for cache in caches.drain(..2) {
        silent.push(cache.die_silently().await);
    }
    check(&fetcher, &pieces, &[Tier::Owners]).await;
    let lost = PieceIndex::from(3);
    for cache in &caches {
        cache
            .items
            .lock()
            .retain(|key, _| key.piece_index != 3 || key.shard < 2);
    }
    let fetched = fetcher.fetch(pieces.keys().copied(), &[Tier::Owners]).await;
    assert_eq!(fetched.missing.into_iter().collect::<Vec<_>>(), [lost]);
    // A full-piece cache has it.
    let full = Giver::start(&nats, Role::FullPieceShardedCache).await;
    full.items
        .lock()
        .insert(sources::piece_key(lost), pieces[&lost].clone());
    let mut view = fetcher.members.clone();
    view.wait_until(|snapshot| snapshot.get(full.id).is_some())
        .await
        .unwrap();
    let all = check(&fetcher, &pieces, &[Tier::Owners, Tier::FullPieceCaches]).await;
    let tiers: Vec<_> = all
        .iter()
        .filter(|one| one.index == lost)
        .map(|one| one.tier)
        .collect();
    assert_eq!(tiers, [Some(Tier::FullPieceCaches)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_of_the_map_before_are_asked_while_items_move() {
    let nats = NatsServer::start().await;
    let mut caches = Vec::new();
    for _ in 0..3 {
        caches.push(Giver::start(&nats, Role::ShardedCache).await);
    }
    let (old, old_table, old_bytes) = map(1, "piece", &caches[..2]);
    let (new, _, new_bytes) = map(2, "piece", &caches);
    let maps = ShardMapStore::open(&nats.connect("default", Role::Controller).await)
        .await
        .unwrap();
    maps.put_table(old.table, &old_bytes).await.unwrap();
    let first = ShardMaps {
        current: old.clone(),
        previous: Vec::new(),
    };
    let revision = maps.replace(&first, 0).await.unwrap().unwrap();
    let pieces = pieces(12);
    // Nothing has been moved to the third cache.
    store(&old_table, ItemCoding::PIECE, &pieces, &caches[..2]);
    let fetcher = fetcher(&nats, 3).await;
    assert!(fetcher.ready(Duration::from_secs(10)).await);
    check(&fetcher, &pieces, &[Tier::Owners]).await;
    maps.put_table(new.table, &new_bytes).await.unwrap();
    let both = ShardMaps {
        current: new,
        previous: vec![old],
    };
    maps.replace(&both, revision).await.unwrap().unwrap();
    let mut placement = fetcher.placement();
    let has_both = |placement: &Option<Arc<Placement>>| {
        placement
            .as_ref()
            .is_some_and(|placement| placement.maps.len() == 2)
    };
    placement.wait_for(has_both).await.unwrap();
    check(&fetcher, &pieces, &[Tier::Owners]).await;
}

#[test]
fn controllers_with_a_node_are_asked_first_and_those_that_can_give_nothing_not_at_all() {
    use autonomys_cluster::members::MembersSnapshot;
    let mut snapshot = MembersSnapshot::default();
    let mut controller = |host: &str, healthy_nodes, leader| {
        let mut member = Member::new(InstanceId::generate(Role::Controller), host, "1");
        if let RoleStatus::Controller(status) = &mut member.status {
            (status.healthy_nodes, status.leader) = (healthy_nodes, leader);
        }
        snapshot.members.insert(member.id, Arc::new(member));
    };
    controller("leader without a node", 0, true);
    controller("without a node", 0, false);
    controller("with a node", 1, false);
    let hosts = |snapshot: &MembersSnapshot| -> Vec<String> {
        sources::controllers(snapshot)
            .iter()
            .map(|member| member.host.clone())
            .collect()
    };
    assert_eq!(hosts(&snapshot), ["with a node", "leader without a node"]);
    assert_eq!(hosts(&MembersSnapshot::default()), [""; 0]);
}

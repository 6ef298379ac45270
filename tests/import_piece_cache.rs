//! Pieces that an official farmer has kept on its disk get into the caches, when the node has them no more.

use crate::support::caches::{CachesFromOutside, FILLED_WITHIN, cache_status, start_cache};
use crate::support::{DevChain, TestCluster, Turn};
use autonomys_cluster::Role;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use subspace_core_primitives::hashes::blake3_hash;
use subspace_core_primitives::pieces::{Piece, PieceIndex};

/// Pieces of a segment.
const SEGMENT: u64 = 256;
/// Parts of a piece, of which any four give it back.
const PARTS: u64 = 6;
/// Positions in the second segment of the pieces that the file has.
const POSITIONS: [u64; 5] = [0, 3, 77, 200, 255];
/// A node starts again within this.
const SOON: Duration = Duration::from_secs(60);

/// A slot as official farmers write it (`docs/caches.md`).
fn slot(index: u64, piece: &[u8]) -> Vec<u8> {
    let mut slot = index.to_le_bytes().to_vec();
    slot.extend_from_slice(piece);
    let checksum = blake3_hash(&slot);
    slot.extend_from_slice(checksum.as_ref());
    slot
}

/// The file of an official farm: the pieces, an empty slot, a damaged one, a piece that is not the chain's, and one of a segment that
/// does not exist.
fn write_piece_cache(directory: &Path, pieces: &[(u64, Piece)]) {
    let mut bytes = Vec::new();
    for (index, piece) in pieces {
        bytes.extend(slot(*index, piece.as_ref()));
    }
    let slot_len = bytes.len() / pieces.len();
    bytes.resize(bytes.len() + slot_len, 0);
    let (index, piece) = &pieces[0];
    let mut damaged = slot(*index, piece.as_ref());
    damaged[500_000] ^= 8;
    bytes.extend(damaged);
    let mut wrong = piece.as_ref().to_vec();
    wrong[40_000] ^= 1;
    bytes.extend(slot(SEGMENT + 9, &wrong));
    bytes.extend(slot(7 * SEGMENT, piece.as_ref()));
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("piece_cache.bin"), bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_an_official_farm_come_into_the_caches() {
    let _turn = Turn::wait().await;
    let chain = |extra: &[&str]| DevChain {
        segments: 2,
        extra: extra.iter().map(ToString::to_string).collect(),
        ..DevChain::default()
    };
    let mut cluster = TestCluster::start(chain(&[])).await;
    let mut pieces = Vec::new();
    for position in POSITIONS {
        let index = SEGMENT + position;
        let piece = cluster
            .node()
            .piece(PieceIndex::new(index))
            .await
            .unwrap()
            .unwrap();
        pieces.push((index, piece));
    }
    let farm = cluster.path("official-farm");
    write_piece_cache(&farm, &pieces);
    // From now on the node has the pieces of the first segment only.
    cluster.continue_chain(&chain(&["--official-pieces"])).await;
    let node = cluster.node().clone();
    cluster
        .wait_until("the chain answers again", SOON, async || {
            node.farmer_app_info().await.ok()
        })
        .await;
    assert!(node.piece(PieceIndex::new(SEGMENT + 3)).await.unwrap().is_none());

    let _controller = cluster
        .controller()
        .args(["--cache-item-type", "split-parity-piece"])
        .start();
    let _first = start_cache(&cluster, "cache-1");
    let _second = start_cache(&cluster, "cache-2");
    let caches = CachesFromOutside::look(&cluster).await;
    cluster
        .wait_for_members(
            &caches.members,
            "both caches fill themselves",
            FILLED_WITHIN,
            |snapshot| {
                let members = snapshot.role(Role::ShardedCache);
                members.filter(|member| cache_status(member).items > 0).count() == 2
            },
        )
        .await;

    let command = format!("import-piece-cache path={} --json", farm.display());
    let imported = caches.util(&command).await;
    assert_eq!(imported.code, Some(0), "{}", imported.text);
    let given = POSITIONS.len() as u64 * PARTS;
    let expect = |report: &Value, name: &str, expected: u64| {
        assert_eq!(report[name], expected, "{name} in {report}");
    };
    expect(&imported.json, "pieces", POSITIONS.len() as u64 + 2);
    expect(&imported.json, "stored", given);
    expect(&imported.json, "already_there", 0);
    for name in ["damaged", "wrong", "unknown"] {
        expect(&imported.json, name, 1);
    }

    // Everything is what the chain has, and a second time nothing is to be done.
    let verified = caches.util("verify-piece --json").await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
    assert!(
        verified.json["items"].as_u64().unwrap() > given,
        "{}",
        verified.text
    );
    let again = caches.util(&command).await;
    assert_eq!(again.code, Some(0), "{}", again.text);
    expect(&again.json, "stored", 0);
    expect(&again.json, "already_there", given);

    let missing = caches
        .util(&format!(
            "import-piece-cache path={}",
            cluster.path("nowhere").display()
        ))
        .await;
    assert_eq!(missing.code, Some(1), "{}", missing.text);
    assert!(missing.text.contains("nowhere"), "{}", missing.text);
}

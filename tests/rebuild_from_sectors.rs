//! The archived history is in the plots: a segment, the blocks in it and the file in those blocks are got back from plotted sectors
//! alone.
//!
//! `AUTONOMYS_TEST_PROOF_OF_SPACE=chia` does it with the real proof of space, which takes some minutes.

use crate::support::roles::{erasure_coding, open_farm, plot_client};
use crate::support::{DevChain, Roles, RolesPlan, TestCluster, Turn};
use autonomys_cluster::members::RoleStatus;
use autonomys_dev_node::chain::data::extract_data;
use autonomys_farm::identity::Identity;
use rayon::ThreadPool;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subspace_archiving::{BlockReconstructor, PiecesReconstructor, reconstruct_segment};
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex, PieceOffset};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::{SectorId, SectorIndex};
use subspace_core_primitives::segments::{HistorySize, NUM_PIECES_IN_SEGMENT, SegmentHeader, SegmentIndex};
use subspace_farmer_components::plotting::sector_piece_indexes;
use subspace_kzg::Kzg;
use subspace_kzg::reference_string::ReferenceString;
use subspace_proof_of_space::{ProofOfSpaceKind, proof_of_space};

/// Names the proof of space.
const VARIABLE: &str = "AUTONOMYS_TEST_PROOF_OF_SPACE";
/// Segment 0 is the genesis block; the blocks that were farmed begin in this one.
const SEGMENT: SegmentIndex = SegmentIndex::ONE;
/// Any half of a segment's pieces is enough.
const ENOUGH_PIECES: usize = NUM_PIECES_IN_SEGMENT / 2;
const PIECES_IN_SECTOR: u16 = 20;
/// Fits into one segment of 130 MB with the blocks around it.
const FILE_SIZE: usize = 100_000_000;
/// Close to the most that a block takes, so that a segment is full after some thirty blocks.
const BYTES_PER_BLOCK: u32 = 3_900_000;
/// What the chain takes at least while there is a file.
const FEWEST_BYTES_PER_BLOCK: u32 = 4096;
/// Blocks of a segment farmed, and the segment archived, on a loaded machine; the real proof of space takes a second a slot.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(400);
/// Three hundred records encoded on a loaded machine, each in two seconds with the real proof of space.
const PLOTTED_WITHIN: Duration = Duration::from_secs(1200);
/// A node that starts again, and a plot-client that says goodbye.
const SOON: Duration = Duration::from_secs(60);

fn kind() -> ProofOfSpaceKind {
    std::env::var(VARIABLE).map_or(ProofOfSpaceKind::FastTest, |text| {
        text.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}"))
    })
}

/// Writes a file that looks random and is the same every time.
fn write_data(path: &Path) -> blake3::Hash {
    let mut bytes = vec![0; FILE_SIZE];
    blake3::Hasher::new()
        .update(b"autonomys-farmer, a file to get back from sectors")
        .finalize_xof()
        .fill(&mut bytes);
    fs::write(path, &bytes).unwrap();
    blake3::hash(&bytes)
}

/// Indexes of the pieces in one sector of a farm.
fn piece_indexes(identity: &Identity, sector: SectorIndex, info: &FarmerProtocolInfo) -> Vec<PieceIndex> {
    let sector_id = SectorId::new(&identity.public_key().hash(), sector, info.history_size);
    sector_piece_indexes(&sector_id, info.history_size, PIECES_IN_SECTOR, info)
}

/// Fewest sectors that hold enough different pieces of the segment.
fn sectors_needed(identity: &Identity, info: &FarmerProtocolInfo) -> u16 {
    let mut found = BTreeSet::new();
    for sector in 0.. {
        let indexes = piece_indexes(identity, sector, info);
        found.extend(
            indexes
                .into_iter()
                .filter(|index| index.segment_index() == SEGMENT),
        );
        if found.len() >= ENOUGH_PIECES {
            return sector + 1;
        }
    }
    unreachable!("sectors are endless")
}

/// Pieces of the segment by position, just enough of them, read back out of the sectors of a farm.
fn read_sectors(
    directory: &Path,
    sectors: u16,
    info: &FarmerProtocolInfo,
    pool: &ThreadPool,
) -> Vec<Option<Piece>> {
    let farm = open_farm(directory, sectors);
    let (space, erasure_coding) = (proof_of_space(kind()), erasure_coding());
    let mut pieces = vec![None; NUM_PIECES_IN_SEGMENT];
    let mut missing = ENOUGH_PIECES;
    for sector in 0..sectors {
        let indexes = piece_indexes(farm.identity(), sector, info);
        for (offset, index) in (0..).zip(indexes) {
            let place = &mut pieces[index.position() as usize];
            if index.segment_index() == SEGMENT && place.is_none() && missing > 0 {
                let offset = PieceOffset::from(offset);
                let piece = farm.read_piece(sector, offset, &*space, &erasure_coding, Some(pool));
                *place = Some(piece.unwrap());
                missing -= 1;
            }
        }
    }
    pieces
}

/// Rebuilds everything from the pieces and compares it: with both archives of the segment, then with the file.
fn rebuild(
    pieces: &[Option<Piece>],
    header: &SegmentHeader,
    archives: &[PathBuf],
    file: blake3::Hash,
    pool: &ThreadPool,
) {
    let erasure_coding = erasure_coding();
    let kzg = Kzg::new(ReferenceString::insecure_development(pool));
    let rebuilt = PiecesReconstructor::new(kzg, erasure_coding)
        .reconstruct_pieces(pieces, &header.segment_commitment(), pool)
        .unwrap();
    assert_eq!(rebuilt.len(), NUM_PIECES_IN_SEGMENT);
    for archive in archives {
        let archived = File::open(archive).unwrap();
        let mut bytes = vec![0; PIECE_SIZE];
        for (position, piece) in rebuilt.iter().enumerate() {
            archived
                .read_exact_at(&mut bytes, (position * PIECE_SIZE) as u64)
                .unwrap();
            assert!(piece.as_ref() == bytes, "{}: piece {position}", archive.display());
        }
    }

    // From what was read in the sectors, not from what was just rebuilt.
    let segment = reconstruct_segment(pieces, &erasure_coding, pool).unwrap();
    let blocks = BlockReconstructor::new()
        .add_segment(&segment, Some(header))
        .unwrap()
        .blocks;
    let data = extract_data(blocks.iter().map(|(_, block)| block.as_slice())).unwrap();
    assert_eq!(data.len(), FILE_SIZE);
    assert!(blake3::hash(&data) == file, "the file came back changed");
}

#[tokio::test]
async fn a_file_comes_back_from_plotted_sectors_alone() {
    let _turn = Turn::wait().await;
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data_path = data.path().join("history.bin");
    let file = write_data(&data_path);
    let chain = |slot_duration_ms: u64, bytes_per_block: u32| DevChain {
        pieces_in_sector: PIECES_IN_SECTOR,
        // One sector wins two slots in three.
        plotted_pieces: u64::from(PIECES_IN_SECTOR) / 2,
        slot_duration_ms,
        proof_of_space: match kind() {
            ProofOfSpaceKind::Chia => "chia",
            ProofOfSpaceKind::FastTest => "fast-test",
        },
        extra: [
            // Three pieces in four then come from the newest segment.
            "--recent-segments",
            "1",
            "--recent-history-fraction",
            "1/1",
            "--bytes-per-block",
            &bytes_per_block.to_string(),
            "--data",
            data_path.to_str().unwrap(),
        ]
        .map(String::from)
        .into(),
        ..DevChain::default()
    };
    let slot_duration_ms = match kind() {
        ProofOfSpaceKind::Chia => 1000,
        ProofOfSpaceKind::FastTest => 500,
    };
    let mut cluster = TestCluster::start(chain(slot_duration_ms, BYTES_PER_BLOCK)).await;

    // One sector farms the blocks that fill the segment.
    let roles = Roles::start(
        &cluster,
        &RolesPlan {
            sectors: 1,
            gate: false,
            encoding_threads: None,
        },
    );
    let node = cluster.node().clone();
    cluster
        .wait_until(
            "the blocks for the segment are farmed",
            ARCHIVED_WITHIN,
            async || {
                let line = format!("archiving a segment segment_index={SEGMENT}");
                cluster.node_process().output().contains(&line).then_some(())
            },
        )
        .await;
    roles.plot_client.stop(SOON).await;
    let header = cluster
        .wait_until("the segment is archived", ARCHIVED_WITHIN, async || {
            node.segment_headers(&[SEGMENT]).await.ok()?.pop()?
        })
        .await;

    // From here on the chain hardly grows, and another farm plots the history as it is.
    cluster
        .continue_chain(&chain(20_000, FEWEST_BYTES_PER_BLOCK))
        .await;
    let info = cluster
        .wait_until("the chain answers again", SOON, async || {
            Some(node.farmer_app_info().await.ok()?.protocol_info)
        })
        .await;
    assert_eq!(info.history_size, HistorySize::from(SEGMENT));
    let farm = cluster.path("second-farm");
    fs::create_dir(&farm).unwrap();
    let identity = Identity::from_entropy([0x37; 32]);
    identity.store(&farm).unwrap();
    let sectors = sectors_needed(&identity, &info);
    let client = plot_client(&cluster, "second-plot-client", &farm, sectors);
    let (_connection, members) = cluster.observe().await;
    cluster
        .wait_for_members(&members, "all sectors are plotted", PLOTTED_WITHIN, |members| {
            members.members.values().any(|member| {
                matches!(&member.status, RoleStatus::PlotClient(status) if status.sectors == u64::from(sectors))
            })
        })
        .await;
    client.stop(SOON).await;

    let archives = vec![
        cluster.path("node/segments/00000001.segment"),
        cluster.path("full-piece-sharded-cache/segment-0000000001.pieces"),
    ];
    tokio::task::spawn_blocking(move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let pieces = read_sectors(&farm, sectors, &info, &pool);
        assert_eq!(pieces.iter().flatten().count(), ENOUGH_PIECES);
        rebuild(&pieces, &header, &archives, file, &pool);
    })
    .await
    .unwrap();
}

//! The way of the history: a node that gives out no old pieces is exported, by a process that is killed twice on the way, and a
//! full-piece-sharded-cache on the directory feeds a plot-server.

use crate::support::roles::{PLOTTED_WITHIN, verify_farm};
use crate::support::{DevChain, Roles, RolesPlan, TestCluster, Turn};
use autonomys_cache::{ArchiveOptions, ArchiveStore};
use autonomys_cluster::members::RoleStatus;
use autonomys_command::logging::{LogFormat, LoggingArgs, start as start_log};
use autonomys_dev_node::archive::segment_file::SegmentFile;
use autonomys_export_piece::{Options, export};
use clap::Parser;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::{PIECE_SIZE, Piece, PieceIndex};
use subspace_core_primitives::segments::{NUM_PIECES_IN_SEGMENT, SegmentIndex};
use subspace_proof_of_space::ProofOfSpaceKind;
use tokio_util::sync::CancellationToken;

/// Segments of the chain.
const SEGMENTS: u16 = 3;
/// Enough pieces that old segments are certainly among them.
const PIECES_IN_SECTOR: u16 = 20;
/// Sectors to plot.
const SECTORS: u16 = 2;
/// A segment on a loaded machine takes most of a minute.
const EXPORTED_WITHIN: Duration = Duration::from_secs(400);
/// A process that was told to stop, or a node that starts again.
const SOON: Duration = Duration::from_secs(60);

/// Arguments of the exporter, for the process that [`exporter`] is started as.
const ARGUMENTS: &str = "AUTONOMYS_TEST_EXPORTER_ARGUMENTS";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// No test: the process that the test below starts and kills. Its own command is not at hand here, so this binary is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that another test starts"]
async fn exporter() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let words = std::iter::once("exporter").chain(arguments.split('\n'));
    let options = Line::parse_from(words).options;
    let logging = LoggingArgs {
        log_format: LogFormat::Human,
    };
    start_log(&logging, &[]).unwrap();
    let exit = export::run(options, CancellationToken::new()).await;
    std::process::exit(exit as i32);
}

/// A running exporter; killed when it is dropped.
struct Exporter {
    child: Child,
    log: PathBuf,
}

impl Exporter {
    fn start(cluster: &TestCluster, run: u8, output: &Path) -> Self {
        let log = cluster.path("logs").join(format!("exporter-{run}.log"));
        let file = File::create(&log).unwrap();
        let url = cluster.node_url().replace("ws:", "http:");
        let arguments = [
            "--node-url",
            &url,
            "--concurrency",
            "1",
            "--output",
            output.to_str().unwrap(),
        ]
        .join("\n");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["export_piece::exporter", "--exact", "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .env("XDG_CACHE_HOME", crate::support::chain::cache_home())
            .env("RUST_LOG", "info,autonomys_export_piece=debug")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// SIGKILL at the moment when it says this.
    async fn kill_when_it_says(mut self, text: &str) {
        let deadline = Instant::now() + EXPORTED_WITHIN;
        while !self.output().contains(text) {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "ended early: {}",
                self.output()
            );
            assert!(Instant::now() < deadline, "never {text:?}: {}", self.output());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn wait(mut self) {
        let deadline = Instant::now() + EXPORTED_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not end: {}", self.output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(status.code(), Some(0), "{}", self.output());
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What lies in an archive directory, by name.
fn contents(directory: &Path) -> BTreeMap<String, blake3::Hash> {
    let entries = fs::read_dir(directory).unwrap();
    let named = entries.map(|entry| {
        let path = entry.unwrap().path();
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path).unwrap()).unwrap();
        (
            path.file_name().unwrap().to_str().unwrap().to_string(),
            hasher.finalize(),
        )
    });
    named.collect()
}

/// The archive that nobody interrupted: what the node itself archived, block after block, stored by the archive store.
fn uninterrupted(cluster: &TestCluster, directory: &Path, identity: [u8; 32]) {
    use parity_scale_codec::Encode;
    let store = ArchiveStore::open(
        directory,
        ArchiveOptions {
            identity,
            piece_size: PIECE_SIZE as u32,
        },
    )
    .unwrap();
    for segment in 0..SEGMENTS {
        let archived =
            SegmentFile::open(&cluster.path(&format!("node/segments/{segment:08}.segment"))).unwrap();
        let pieces: Vec<Piece> = (0..NUM_PIECES_IN_SEGMENT as u32)
            .map(|position| archived.piece(position).unwrap())
            .collect();
        let segment_index = SegmentIndex::new(u64::from(segment));
        store.put_segment(segment_index, &pieces).unwrap();
        store
            .put_segment_header(segment_index, &archived.header().encode())
            .unwrap();
    }
}

#[tokio::test]
async fn an_export_feeds_a_cluster_whose_node_gives_out_no_old_pieces() {
    let _turn = Turn::wait().await;
    let chain = |official: bool| DevChain {
        pieces_in_sector: PIECES_IN_SECTOR,
        // So that hardly a slot is won: this is about plotting.
        plotted_pieces: 1_000_000,
        slot_duration_ms: 1000,
        segments: SEGMENTS,
        extra: if official {
            vec!["--official-pieces".to_string()]
        } else {
            Vec::new()
        },
        ..DevChain::default()
    };
    let mut cluster = TestCluster::start(chain(true)).await;
    let node = cluster.node().clone();
    let info = node.farmer_app_info().await.unwrap();
    assert_eq!(info.protocol_info.history_size.get(), u64::from(SEGMENTS));
    assert!(node.piece(PieceIndex::new(5)).await.unwrap().is_some());
    for old in [256 + 5, 512 + 5] {
        assert!(
            node.piece(PieceIndex::new(old)).await.unwrap().is_none(),
            "piece {old}"
        );
    }

    let directory = cluster.path("full-piece-sharded-cache");
    Exporter::start(&cluster, 0, &directory)
        .kill_when_it_says("writing segment=0")
        .await;
    Exporter::start(&cluster, 1, &directory)
        .kill_when_it_says("computing segment=1")
        .await;
    Exporter::start(&cluster, 2, &directory).wait().await;
    let expected = cluster.path("uninterrupted");
    uninterrupted(&cluster, &expected, *info.genesis_hash);
    let exported = contents(&directory);
    assert_eq!(exported, contents(&expected));
    fs::remove_dir_all(&expected).unwrap();

    let plan = RolesPlan {
        sectors: SECTORS,
        gate: false,
        encoding_threads: None,
    };
    let roles = Roles::start(&cluster, &plan);
    let (_connection, members) = cluster.observe().await;
    cluster
        .wait_for_members(&members, "all sectors are plotted", PLOTTED_WITHIN, |members| {
            members.members.values().any(|member| {
                matches!(&member.status, RoleStatus::PlotClient(status) if status.sectors == u64::from(SECTORS))
            })
        })
        .await;
    roles.plot_client.stop(SOON).await;
    roles.full_piece_sharded_cache.stop(SOON).await;
    // It only gave, and took nothing from anywhere.
    let after = contents(&directory);
    assert!(exported.iter().all(|(name, hash)| after.get(name) == Some(hash)));

    // With a node that gives out everything again, the sectors can be compared with it.
    cluster.continue_chain(&chain(false)).await;
    cluster
        .wait_until("the chain answers again", SOON, async || {
            node.farmer_app_info().await.ok()
        })
        .await;
    verify_farm(
        &cluster,
        &cluster.path("farm"),
        SECTORS,
        ProofOfSpaceKind::FastTest,
    )
    .await;
}

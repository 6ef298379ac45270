//! All six roles of a cluster, one process each, farming one farm; and what a test sees of them from outside.

use super::chain::solution_of;
use super::cluster::{DEFAULT_CLUSTER, TestCluster};
use super::gate::GATE_ADDRESS;
use super::process::Process;
use autonomys_cluster::plot_jobs::{JobId, JobRecord};
use autonomys_cluster::{ClusterName, Subjects};
use autonomys_farm::info::FarmInfo;
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use autonomys_node_rpc::NodeClient;
use futures::TryStreamExt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::pieces::PieceOffset;
use subspace_core_primitives::sectors::SectorIndex;
use subspace_core_primitives::segments::HistorySize;
use subspace_core_primitives::solutions::Solution;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::sector_piece_indexes;
use subspace_proof_of_space::{ProofOfSpaceKind, proof_of_space};

/// Account that rewards go to in tests, as `--reward-address` takes it; nobody has its key.
pub(crate) const REWARD_ACCOUNT: [u8; 32] = [0x5a; 32];
/// Everything is up and a few small sectors are plotted within this on a loaded machine.
pub(crate) const PLOTTED_WITHIN: Duration = Duration::from_secs(180);
/// Blocks come several times a second; a loaded machine and every timeout of a reconnect included.
pub(crate) const REWARD_WITHIN: Duration = Duration::from_secs(120);

/// NATS answers within this after it was frozen or killed.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct RolesPlan {
    /// Sectors of the farm.
    pub(crate) sectors: u16,
    /// Sectors are fetched from the plot-server through [`super::gate::Gate`], which the test opens.
    pub(crate) gate: bool,
    /// Threads that encode; `None` for all processors.
    pub(crate) encoding_threads: Option<u16>,
}

/// The processes, by role.
pub(crate) struct Roles {
    pub(crate) controller: Process,
    pub(crate) sharded_cache: Process,
    pub(crate) full_piece_sharded_cache: Process,
    pub(crate) proof_server: Process,
    pub(crate) plot_server: Process,
    pub(crate) plot_client: Process,
}

impl Roles {
    /// Starts one process a role; the farm is `farm` in the directory of the test.
    pub(crate) fn start(cluster: &TestCluster, plan: &RolesPlan) -> Self {
        let controller = cluster
            .role("controller")
            .args(["--base-path"])
            .arg(cluster.path("controller"))
            .args(["--node-rpc-url", &cluster.node_url()])
            .start();
        let sharded_cache = cluster
            .role("sharded-cache")
            .path(&cluster.path("sharded-cache"), ",size=300MiB")
            .start();
        let full_piece_sharded_cache = cluster
            .role("full-piece-sharded-cache")
            .path(&cluster.path("full-piece-sharded-cache"), "")
            .start();
        let proof_server = cluster.role("proof-server").start();
        let mut plot_server = cluster.role("plot-server").args(["--priority-cache"]);
        if let Some(threads) = plan.encoding_threads {
            plot_server = plot_server.args(["--record-encoding-concurrency", &threads.to_string()]);
        }
        if plan.gate {
            plot_server = plot_server.args([
                "--listen-address",
                "127.0.0.1",
                "--advertise-address",
                &GATE_ADDRESS.to_string(),
            ]);
        }
        Self {
            controller,
            sharded_cache,
            full_piece_sharded_cache,
            proof_server,
            plot_server: plot_server.arg(cluster.path("plot-server")).start(),
            plot_client: plot_client(cluster, "plot-client", &cluster.path("farm"), plan.sectors),
        }
    }

    /// Every process.
    pub(crate) fn all(&self) -> [&Process; 6] {
        [
            &self.controller,
            &self.sharded_cache,
            &self.full_piece_sharded_cache,
            &self.proof_server,
            &self.plot_server,
            &self.plot_client,
        ]
    }
}

/// Starts a plot-client of one farm.
pub(crate) fn plot_client(cluster: &TestCluster, name: &str, farm: &Path, sectors: u16) -> Process {
    cluster
        .named_role(name, "plot-client")
        .args(["--reward-address", &hex::encode(REWARD_ACCOUNT)])
        .path(farm, &format!(",sectors={sectors}"))
        .start()
}

/// Port of the data plane that a process told in its log when it started the last time, once it has.
pub(crate) fn data_plane_port(process: &Process, run: usize) -> Option<u16> {
    let output = process.output();
    let line = output
        .lines()
        .filter(|line| line.contains("serving other members"))
        .nth(run)?;
    line.rsplit(':').next()?.trim().parse().ok()
}

/// Opens a farm that no process uses; its parameters are those in its own description.
pub(crate) fn open_farm(directory: &Path, sectors: u16) -> Farm {
    let info = FarmInfo::load(directory).unwrap().unwrap();
    Farm::open(&FarmOptions {
        directory: directory.to_path_buf(),
        space: SpaceRequest::Sectors(sectors),
        genesis_hash: info.genesis_hash,
        pieces_in_sector: info.pieces_in_sector,
    })
    .unwrap()
}

/// Checks every sector of a farm that no process uses: there, whole, and made of the pieces that the chain has (the first, one in the
/// middle and the last of each sector are read back).
pub(crate) async fn verify_farm(
    cluster: &TestCluster,
    directory: &Path,
    sectors: u16,
    kind: ProofOfSpaceKind,
) {
    let info = cluster.node().farmer_app_info().await.unwrap().protocol_info;
    let farm = Arc::new(open_farm(directory, sectors));
    assert_eq!(farm.missing_sectors(), Vec::<SectorIndex>::new());
    assert_eq!(farm.plotted_sectors().len(), usize::from(sectors));
    for sector in farm.plotted_sectors() {
        let index = sector.sector_index;
        assert!(farm.sector_is_intact(index).unwrap(), "sector {index}");
        let pieces = farm.pieces_in_sector();
        let expected = sector_piece_indexes(&sector.sector_id, sector.history_size, pieces, &info);
        for offset in [0, pieces / 2, pieces - 1] {
            let reading = Arc::clone(&farm);
            let piece = tokio::task::spawn_blocking(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
                let space = proof_of_space(kind);
                let offset = PieceOffset::from(offset);
                reading
                    .read_piece(index, offset, &*space, &erasure_coding(), Some(&pool))
                    .unwrap()
            });
            let piece_index = expected[usize::from(offset)];
            let original = cluster.node().piece(piece_index).await.unwrap().unwrap();
            assert!(
                piece.await.unwrap() == original,
                "sector {index}, offset {offset}"
            );
        }
    }
}

/// Erasure coding of records: up to 2^16 chunks.
pub(crate) fn erasure_coding() -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap()
}

/// Clock ticks that a process's threads of this name have computed so far (`proc(5)`, `stat`, fields 14 and 15).
pub(crate) fn ticks_of_threads(process: &Process, name: &str) -> u64 {
    let tasks = PathBuf::from(format!("/proc/{}/task", process.id()));
    std::fs::read_dir(tasks)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .filter_map(|stat| {
            // The name is in parentheses and may contain anything.
            let (front, fields) = stat.rsplit_once(')')?;
            let (_, comm) = front.split_once('(')?;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
            comm.starts_with(name).then_some(ticks(14)? + ticks(15)?)
        })
        .sum()
}

/// The solutions of the blocks above `after`, with the blocks' numbers; `None` while the chain does not answer.
pub(crate) async fn solutions_after(node: &NodeClient, after: u32) -> Option<Vec<(u32, Solution)>> {
    let newest = node.header(None).await.ok()??.number.0;
    let mut solutions = Vec::new();
    for number in after + 1..=newest {
        let hash = node.block_hash(number).await.ok()??;
        let header = node.header(Some(hash)).await.ok()??;
        solutions.push((number, solution_of(&header).expect("every block has a solution")));
    }
    Some(solutions)
}

/// Waits for `count` blocks above `after` and checks that the farm with `public_key` has won every block since; returns the number of the
/// newest.
pub(crate) async fn wait_for_rewards(
    cluster: &TestCluster,
    what: &str,
    public_key: PublicKey,
    after: u32,
    count: usize,
) -> u32 {
    let node = cluster.node();
    let solutions = cluster
        .wait_until(what, REWARD_WITHIN, async || {
            let solutions = solutions_after(node, after).await?;
            (solutions.len() >= count).then_some(solutions)
        })
        .await;
    for (number, solution) in &solutions {
        assert_eq!(solution.public_key, public_key, "block {number}");
        assert_eq!(*solution.reward_address, REWARD_ACCOUNT, "block {number}");
    }
    solutions.last().map_or(after, |(number, _)| *number)
}

/// Plot-job records and queue as they are in JetStream, read without being a member and without changing anything.
pub(crate) struct JobsFromOutside {
    records: async_nats::jetstream::kv::Store,
    queue: async_nats::jetstream::stream::Stream,
}

impl JobsFromOutside {
    /// Waits until both exist.
    pub(crate) async fn open(cluster: &TestCluster) -> Self {
        let client = async_nats::connect(cluster.nats.url()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let subjects = Subjects::new(DEFAULT_CLUSTER.parse::<ClusterName>().unwrap());
        let (bucket, queue) = (subjects.object("plot_jobs"), subjects.object("plot_jobs_queue"));
        cluster
            .wait_until("the plot jobs exist", PLOTTED_WITHIN, async || {
                Some(Self {
                    records: jetstream.get_key_value(bucket.as_str()).await.ok()?,
                    queue: jetstream.get_stream(queue.as_str()).await.ok()?,
                })
            })
            .await
    }

    /// The record of one job, `None` when there is none.
    pub(crate) async fn record(&self, id: &JobId) -> Option<JobRecord> {
        let deadline = Instant::now() + ANSWERED_WITHIN;
        loop {
            match self.records.get(id.key()).await {
                Ok(value) => return value.map(|value| autonomys_cluster::decode(&value).unwrap()),
                // A server that was frozen or killed a moment ago.
                Err(error) => assert!(Instant::now() < deadline, "NATS does not answer: {error}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// All records; `None` while NATS does not answer.
    pub(crate) async fn records(&self) -> Option<Vec<JobRecord>> {
        let keys: Vec<String> = self.records.keys().await.ok()?.try_collect().await.ok()?;
        let mut records = Vec::new();
        for key in keys {
            // A record may go while the others are read.
            if let Some(value) = self.records.get(key).await.ok()? {
                records.push(autonomys_cluster::decode(&value).unwrap());
            }
        }
        Some(records)
    }

    /// Messages in the queue, handed out or not; `None` while NATS does not answer.
    pub(crate) async fn queued(&self) -> Option<u64> {
        Some(self.queue.get_info().await.ok()?.state.messages)
    }
}

/// The job of a sector at the very beginning of the history.
pub(crate) fn first_job(public_key: PublicKey, sector_index: SectorIndex) -> JobId {
    JobId {
        public_key,
        sector_index,
        history_size: HistorySize::ONE,
    }
}

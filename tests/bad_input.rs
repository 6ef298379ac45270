//! Whatever is wrong with what a process is given: one sentence that says so, exit code 1, in bounded time, nothing damaged.

use crate::support::cluster::RoleStart;
use crate::support::{DEFAULT_CLUSTER, DevChain, Process, TestCluster, Turn, free_port};
use autonomys_cluster::Role;
use autonomys_cluster::settings::Settings;
use autonomys_cluster::test_util::NatsConfig;
use autonomys_farm::allocation::space_per_sector;
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use autonomys_test_support::report_skipped;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};

/// Nothing is reached, so nothing takes long.
const AT_ONCE: Duration = Duration::from_secs(10);
/// NATS is reached and the chain known; the arithmetic may have to be prepared on a loaded machine.
const SOON: Duration = Duration::from_secs(60);
/// Bound for what a running cluster does.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A well-formed address, as in the documentation of the address format.
const ADDRESS: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Waits for the end: exit code 1, and as the last line one sentence with all of `words`.
async fn expect_refusal(process: &Process, within: Duration, words: &[&str]) {
    let status = process.exit(within).await;
    let output = process.output();
    let name = process.name();
    assert_eq!(status.code(), Some(1), "{name}: {output}");
    let sentences: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(sentences.len(), 1, "{name}: {output}");
    assert_eq!(output.lines().last(), Some(sentences[0]), "{name}: {output}");
    assert!(!output.contains("panicked"), "{name}: {output}");
    for word in words {
        assert!(
            sentences[0].contains(word),
            "{name} does not say {word:?}: {}",
            sentences[0]
        );
    }
}

async fn refused(role: RoleStart<'_>, within: Duration, words: &[&str]) {
    expect_refusal(&role.start(), within, words).await;
}

#[tokio::test]
async fn malformed_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let nats = "cluster --nats-server nats://127.0.0.1:1";
    let plot_client = format!("{nats} plot-client --reward-address {ADDRESS}");
    let cases: [(String, &[&str]); 21] = [
        (format!("{plot_client} /mnt/nvme0"), &["path=/mnt/nvme0"]),
        (format!("{plot_client} path="), &["directory after path="]),
        (
            format!("{plot_client} path=/mnt/nvme0"),
            &["sectors=N", "size=SIZE"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,sectors=0"),
            &["sectors=0", "1 to 65534"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,sectors=65535"),
            &["sectors=65535", "1 to 65534"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,sectors=many"),
            &["sectors=many"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,size=big"),
            &["size=big", "size=7T"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,sectors=1,size=1T"),
            &["only one"],
        ),
        (
            format!("{plot_client} path=/mnt/nvme0,sectors=1,speed=9"),
            &["speed=9"],
        ),
        (
            format!("{nats} sharded-cache path=/var/cache,sectors=4"),
            &["sectors=4"],
        ),
        (
            format!("{nats} plot-client --reward-address stNobody path=/mnt/nvme0,sectors=1"),
            &["stNobody"],
        ),
        (
            format!("{nats} plot-client --reward-address {ADDRESS}x path=/mnt/nvme0,sectors=1"),
            &["--reward-address"],
        ),
        (
            format!("{nats} --cluster a:2 --cluster b proof-server"),
            &["only a plot-server serves several clusters", "another process"],
        ),
        (
            format!("{nats} --cluster a:0 plot-server /var/plot-server"),
            &["\"0\"", "1 to 1000"],
        ),
        (
            format!("{nats} --cluster a:2 --cluster a plot-server /var/plot-server"),
            &["a is given twice"],
        ),
        (
            format!("{nats} plot-server --cpu-affinity 0-3,x /var/plot-server"),
            &["\"x\"", "0-15,32-47"],
        ),
        (
            format!("{nats} proof-server --cpu-affinity 65535"),
            &["may not use processor 65535", "it may use"],
        ),
        (
            format!("{nats} plot-server --spool-size much /var/plot-server"),
            &["\"much\"", "500GB"],
        ),
        (format!("{nats} plot-server"), &["DIR"]),
        (format!("{nats} plot-sever /var/plot-server"), &["plot-sever"]),
        (
            "cluster --nats-server 127.0.0.1:99999 proof-server".to_string(),
            &["127.0.0.1:99999"],
        ),
    ];
    for (number, (line, words)) in cases.iter().enumerate() {
        let arguments = line.split_whitespace().map(OsString::from).collect();
        let process = Process::start(directory.path(), &format!("case-{number}"), arguments, Vec::new());
        expect_refusal(&process, AT_ONCE, words).await;
    }
    assert!(!Path::new("/mnt/nvme0").exists());
}

#[tokio::test]
async fn no_nats_server() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let line = format!("cluster --nats-timeout-secs 1 --nats-server nats://127.0.0.1:{port} proof-server");
    let arguments = line.split_whitespace().map(OsString::from).collect();
    let process = Process::start(directory.path(), "proof-server", arguments, Vec::new());
    expect_refusal(
        &process,
        AT_ONCE,
        &["no NATS server", &format!("127.0.0.1:{port}"), "within 1 s"],
    )
    .await;
}

#[tokio::test]
async fn nats_without_jetstream() {
    let config = NatsConfig {
        jetstream: false,
        ..NatsConfig::default()
    };
    let cluster = TestCluster::without_chain(config).await;
    refused(
        cluster.role("proof-server"),
        AT_ONCE,
        &["JetStream is not enabled", "--jetstream"],
    )
    .await;
}

#[tokio::test]
async fn nats_with_small_messages() {
    let config = NatsConfig {
        max_payload: 1024 * 1024,
        ..NatsConfig::default()
    };
    let cluster = TestCluster::without_chain(config).await;
    refused(
        cluster.role("proof-server"),
        AT_ONCE,
        &["1048576 bytes", "max_payload: 3MB"],
    )
    .await;
}

/// What depends on the chain: one cluster for all, because its node has to archive a segment first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_running_cluster() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        // Large enough that 65 534 sectors fit no machine that runs tests.
        pieces_in_sector: 100,
        plotted_pieces: 1_000_000_000,
        ..DevChain::default()
    };
    let pieces_in_sector = chain.pieces_in_sector;
    let cluster = TestCluster::start(chain).await;
    let controller = cluster.controller().start();
    let (_connection, members) = cluster.observe().await;
    cluster
        .wait_for_members(
            &members,
            "the controller farms the chain",
            READY_WITHIN,
            |snapshot| {
                snapshot
                    .role(Role::Controller)
                    .any(|member| !member.data_plane_addresses.is_empty())
            },
        )
        .await;

    farms_of_something_else(&cluster, pieces_in_sector).await;
    sectors_that_do_not_fit(&cluster, pieces_in_sector).await;
    kzg_parameters(&cluster).await;
    another_chain(&cluster).await;
    directories_and_ports_in_use(&cluster).await;
    assert!(controller.exited().is_none());
}

fn plot_client<'a>(cluster: &'a TestCluster, name: &str, farm: &Path, space: &str) -> RoleStart<'a> {
    cluster
        .named_role(name, "plot-client")
        .args(["--farming-threads", "1", "--reward-address", ADDRESS])
        .path(farm, space)
}

async fn farms_of_something_else(cluster: &TestCluster, pieces_in_sector: u16) {
    let node_info = cluster.node().farmer_app_info().await.unwrap();
    let cases: [(&str, Blake3Hash, u16, &[&str]); 2] = [
        (
            "other-chain",
            blake3_hash(b"another chain"),
            pieces_in_sector,
            &["genesis", "another directory"],
        ),
        (
            "other-sectors",
            node_info.genesis_hash,
            1,
            &["1 pieces a sector", "another directory"],
        ),
    ];
    for (name, genesis_hash, pieces_in_sector, words) in cases {
        let directory = cluster.path(name);
        let options = FarmOptions {
            directory: directory.clone(),
            space: SpaceRequest::Sectors(1),
            genesis_hash,
            pieces_in_sector,
        };
        drop(Farm::open(&options).unwrap());
        let before = fs::read(directory.join("single_disk_farm.json")).unwrap();
        let name_of_directory = directory.display().to_string();
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain([name_of_directory.as_str()])
            .collect();
        refused(plot_client(cluster, name, &directory, ",sectors=1"), SOON, &words).await;
        assert_eq!(fs::read(directory.join("single_disk_farm.json")).unwrap(), before);
    }
}

async fn sectors_that_do_not_fit(cluster: &TestCluster, pieces_in_sector: u16) {
    const SECTORS: u16 = 65_534;
    let directory = cluster.path("too-small");
    fs::create_dir(&directory).unwrap();
    let file_system = nix::sys::statvfs::statvfs(&directory).unwrap();
    let free = file_system.blocks_available() * file_system.fragment_size();
    if free > u64::from(SECTORS) * space_per_sector(pieces_in_sector) {
        report_skipped(
            "sectors_that_do_not_fit",
            "the disk is large enough for all of them",
        );
        return;
    }
    let space = format!(",sectors={SECTORS}");
    refused(
        plot_client(cluster, "too-small", &directory, &space),
        SOON,
        &["sectors fit", "sectors=max"],
    )
    .await;
    assert!(!directory.join("plot.bin").exists());
    assert!(!directory.join("identity.bin").exists());
}

async fn kzg_parameters(cluster: &TestCluster) {
    let missing = cluster.path("no-such-file");
    let foreign = cluster.path("foreign-file");
    fs::write(&foreign, b"something else").unwrap();
    let with = |name: &str, file: &Path| {
        cluster
            .named_role(name, "proof-server")
            .args(["--threads", "1", "--kzg-params"])
            .arg(file)
    };
    refused(
        with("kzg-missing", &missing),
        SOON,
        &["cannot read the KZG parameters", "no-such-file"],
    )
    .await;
    refused(
        with("kzg-foreign", &foreign),
        SOON,
        &["foreign-file cannot be used"],
    )
    .await;
}

/// The cluster is bound to a chain, and a controller comes with a node of another one.
async fn another_chain(cluster: &TestCluster) {
    const OTHER: &str = "other";
    assert_ne!(OTHER, DEFAULT_CLUSTER);
    let connection = cluster.nats.connect(OTHER, Role::Controller).await;
    let settings = Settings::open(&connection).await.unwrap();
    settings
        .bind_genesis(blake3_hash(b"another chain"))
        .await
        .unwrap();
    let controller = cluster
        .named_role("controller-of-another-chain", "controller")
        .cluster_arg("--cluster")
        .cluster_arg(OTHER)
        .args(["--tmp", "--node-rpc-url"])
        .arg(cluster.node_url());
    refused(controller, SOON, &["genesis", "--cluster NAME"]).await;
}

/// A second process in the directory, or on the port, of a first one is refused, and the first does not even notice.
async fn directories_and_ports_in_use(cluster: &TestCluster) {
    let (_connection, members) = cluster.observe().await;
    let farm = cluster.path("farm");
    let second_farm = cluster.path("second-farm");
    let cache = cluster.path("cache");
    let archive = cluster.path("archive");
    let plots = cluster.path("plots");
    let plot_server = |name: &str, directory: &Path, port: u16| {
        cluster
            .named_role(name, "plot-server")
            .args([
                "--record-encoding-concurrency",
                "1",
                "--listen-port",
                &port.to_string(),
            ])
            .arg(directory)
    };
    let sharded_cache = |name: &str, directory: &Path, port: u16| {
        cluster
            .named_role(name, "sharded-cache")
            .args(["--listen-port", &port.to_string()])
            .path(directory, ",size=300MiB")
    };
    let full_cache = |name: &str, directory: &Path| {
        cluster
            .named_role(name, "full-piece-sharded-cache")
            .path(directory, "")
    };
    let two_farms = |name: &str, first: &Path| {
        plot_client(cluster, name, first, ",sectors=1").path(&second_farm, ",sectors=1")
    };
    let (plot_port, cache_port) = (free_port(), free_port());
    let first = [
        two_farms("plot-client", &farm).start(),
        sharded_cache("sharded-cache", &cache, cache_port).start(),
        full_cache("full-piece-sharded-cache", &archive).start(),
        plot_server("plot-server", &plots, plot_port).start(),
    ];
    cluster
        .wait_for_members(&members, "all roles run", READY_WITHIN, |snapshot| {
            let serving = |role| {
                snapshot
                    .role(role)
                    .any(|member| !member.data_plane_addresses.is_empty())
            };
            serving(Role::ShardedCache)
                && serving(Role::FullPieceShardedCache)
                && serving(Role::PlotServer)
                && farm.join("plot.bin").exists()
                && second_farm.join("plot.bin").exists()
        })
        .await;
    let runs = |role| -> Vec<_> {
        members
            .current()
            .role(role)
            .map(|member| (member.id, member.run))
            .collect()
    };
    let roles = [
        Role::PlotClient,
        Role::ShardedCache,
        Role::FullPieceShardedCache,
        Role::PlotServer,
    ];
    let before: Vec<_> = roles.iter().map(|&role| runs(role)).collect();

    let in_use = "in use by another process";
    refused(
        plot_client(cluster, "same-farm", &farm, ",sectors=1"),
        SOON,
        &[in_use, "/farm"],
    )
    .await;
    let third = cluster.path("third-farm");
    refused(
        two_farms("same-second-farm", &third),
        SOON,
        &[in_use, "second-farm"],
    )
    .await;
    refused(sharded_cache("same-cache", &cache, 0), SOON, &[in_use, "/cache"]).await;
    refused(full_cache("same-archive", &archive), SOON, &[in_use, "/archive"]).await;
    refused(plot_server("same-plots", &plots, 0), SOON, &[in_use, "/plots"]).await;

    let on_port = |port: u16| format!("0.0.0.0:{port}");
    let other = cluster.path("other-plots");
    let words = ["cannot serve other members", "--listen-port", &on_port(plot_port)];
    refused(plot_server("same-port", &other, plot_port), SOON, &words).await;
    let other = cluster.path("other-cache");
    let words = [
        "cannot serve other members",
        "--listen-port",
        &on_port(cache_port),
    ];
    refused(sharded_cache("same-cache-port", &other, cache_port), SOON, &words).await;

    for process in &first {
        assert!(
            process.exited().is_none(),
            "{} was disturbed\n{}",
            process.name(),
            process.tail()
        );
    }
    let after: Vec<_> = roles.iter().map(|&role| runs(role)).collect();
    for (before, after) in before.iter().zip(&after) {
        assert!(
            before.iter().all(|run| after.contains(run)),
            "gone: {before:?}, there: {after:?}"
        );
    }
    for process in &first {
        process.stop(READY_WITHIN).await;
    }
}

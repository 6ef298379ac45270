//! Draining and stopping: nobody loses anything, and nobody takes long.

use crate::support::caches::utility;
use crate::support::chain::best_number;
use crate::support::roles::{JobsFromOutside, PLOTTED_WITHIN, first_job, verify_farm, wait_for_rewards};
use crate::support::{DEFAULT_CLUSTER, DevChain, Roles, RolesPlan, TestCluster, Turn};
use autonomys_cluster::Role;
use autonomys_cluster::plot_jobs::{JobState, JobTimes, MAX_ATTEMPTS, PlotJob, PlotJobs};
use autonomys_cluster::test_util::NatsConfig;
use autonomys_farm::info::FarmInfo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::segments::HistorySize;
use subspace_proof_of_space::ProofOfSpaceKind;

/// What is promised.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// A second signal: as long as the system takes to end a process, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Large enough that something is in work at any moment.
const PIECES_IN_SECTOR: u16 = 16;
const SECTORS: u16 = 6;
/// Longer than a plot-server takes to take a job that is there.
const TAKES_WITHIN: Duration = Duration::from_secs(3);

/// Jobs by state, as outsiders see them.
async fn count(jobs: &JobsFromOutside, state: &str) -> usize {
    let records = jobs.records().await.unwrap_or_default();
    records
        .iter()
        .filter(|record| record.state.name() == state)
        .count()
}

#[tokio::test]
async fn roles_drain_and_stop_in_time_and_nothing_is_lost() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        pieces_in_sector: PIECES_IN_SECTOR,
        plotted_pieces: 32,
        slot_duration_ms: 500,
        ..DevChain::default()
    };
    let cluster = TestCluster::start(chain).await;
    let plan = RolesPlan {
        sectors: SECTORS,
        gate: false,
        encoding_threads: Some(1),
    };
    let roles = Roles::start(&cluster, &plan);
    let jobs = JobsFromOutside::open(&cluster).await;
    let farm = cluster.path("farm");
    let public_key = cluster
        .wait_until("the farm is made", PLOTTED_WITHIN, async || {
            FarmInfo::load(&farm).unwrap().map(|info| info.public_key)
        })
        .await;
    let util = async |words: &str| utility(&format!("{words} --nats-server {}", cluster.nats.url())).await;
    cluster
        .wait_until("a sector is in work", PLOTTED_WITHIN, async || {
            (count(&jobs, "taken").await > 0).then_some(())
        })
        .await;

    // Drained: what is in work is finished and delivered, and nothing else is begun.
    let drained = util("drain --role plot-server --wait").await;
    assert_eq!(drained.code, Some(0), "{}", drained.text);
    assert!(drained.text.contains("draining, holds"), "{}", drained.text);
    let members = util("members --json").await.json;
    let plot_server = |members: &serde_json::Value| {
        let all = members["members"].as_array().unwrap().clone();
        all.into_iter()
            .find(|member| member["role"] == "plot-server")
            .unwrap()
    };
    let shown = plot_server(&members);
    assert_eq!(
        (&shown["draining"], &shown["stages"]),
        (&true.into(), &serde_json::json!([])),
        "{shown}"
    );
    let wanted = count(&jobs, "wanted").await;
    assert!(wanted > 0, "everything was plotted before it was drained");
    let since = Instant::now();
    while since.elapsed() < TAKES_WITHIN {
        assert_eq!(count(&jobs, "taken").await, 0, "a job was taken while draining");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let listed = util("plot-jobs --json").await;
    assert_eq!(listed.json["counts"]["wanted"], wanted, "{}", listed.text);
    let refused = util("drain --role controller").await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    assert!(refused.text.contains("cannot be drained"), "{}", refused.text);
    let resumed = util("resume --role plot-server").await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    cluster
        .wait_until("jobs are taken again", PLOTTED_WITHIN, async || {
            (count(&jobs, "taken").await > 0).then_some(())
        })
        .await;

    // Stopped, all at once, in the middle of plotting and farming.
    let asked = Instant::now();
    for process in roles.all() {
        process.terminate();
    }
    for process in roles.all() {
        let status = process.exit(STOPS_WITHIN.saturating_sub(asked.elapsed())).await;
        assert!(
            status.success(),
            "{} ended with {status}\n{}",
            process.name(),
            process.tail()
        );
    }
    let left = jobs.records().await.unwrap();
    let taken = left
        .iter()
        .filter(|record| record.state.name() == "taken")
        .count();
    assert_eq!(taken, 0, "a job was not handed back");
    let attempts: Vec<_> = left.iter().map(|record| record.attempts).collect();
    assert!(
        attempts.iter().all(|attempts| *attempts <= 1),
        "handing back counts as no attempt: {attempts:?}"
    );
    let best = best_number(cluster.node()).await;
    for process in roles.all() {
        process.restart();
    }
    cluster
        .wait_until(
            "everything is plotted and nothing is left over",
            PLOTTED_WITHIN,
            async || {
                let records = jobs.records().await?;
                let spooled = std::fs::read_dir(cluster.path("plot-server/sectors"))
                    .ok()?
                    .count();
                let plotted = FarmInfo::load(&farm).unwrap().is_some() && records.is_empty() && spooled == 0;
                (plotted && jobs.queued().await? == 0).then_some(())
            },
        )
        .await;
    wait_for_rewards(&cluster, "blocks are won again", public_key, best, 1).await;

    // Without NATS stopping takes its time; a second signal ends that.
    let nats = i32::try_from(cluster.nats.id().unwrap()).unwrap();
    kill(Pid::from_raw(nats), Signal::SIGSTOP).unwrap();
    roles.plot_server.terminate();
    cluster
        .wait_until("it stops", STOPS_WITHIN, async || {
            let told = roles
                .plot_server
                .output()
                .lines()
                .filter(|line| line.contains("a second signal stops at once"))
                .count();
            // Once in the run before.
            (told == 2).then_some(())
        })
        .await;
    roles.plot_server.terminate();
    assert_eq!(roles.plot_server.exit(AT_ONCE).await.code(), Some(143));
    kill(Pid::from_raw(nats), Signal::SIGCONT).unwrap();

    roles.plot_client.stop(STOPS_WITHIN).await;
    verify_farm(&cluster, &farm, SECTORS, ProofOfSpaceKind::FastTest).await;
    for sector in 0..SECTORS {
        assert!(jobs.record(&first_job(public_key, sector)).await.is_none());
    }
}

fn job(sector_index: u16) -> PlotJob {
    let segments = |count| HistorySize::from_segments(count).unwrap();
    PlotJob {
        id: first_job(PublicKey::from([7; 32]), sector_index),
        client: autonomys_cluster::InstanceId::generate(Role::PlotClient),
        pieces_in_sector: 1,
        protocol_info: FarmerProtocolInfo {
            history_size: segments(1),
            max_pieces_in_sector: 1,
            recent_segments: segments(5),
            recent_history_fraction: (segments(1), segments(10)),
            min_sector_lifetime: segments(4),
        },
        created_at: 0,
    }
}

/// Jobs that nobody can plot are parked, shown with the reason, and the operator's to retry or cancel.
#[tokio::test]
async fn parked_jobs_are_shown_and_the_operators_to_decide_about() {
    let cluster = TestCluster::without_chain(NatsConfig::default()).await;
    let times = JobTimes {
        retry_pause: Duration::ZERO,
        ..JobTimes::default()
    };
    let client = PlotJobs::open(
        &cluster.nats.connect(DEFAULT_CLUSTER, Role::PlotClient).await,
        times,
    )
    .await
    .unwrap();
    let plotter = PlotJobs::open(
        &cluster.nats.connect(DEFAULT_CLUSTER, Role::PlotServer).await,
        times,
    )
    .await
    .unwrap();
    for sector in [1, 2] {
        client.want(job(sector)).await.unwrap();
    }
    for _ in 0..2 * MAX_ATTEMPTS {
        let taken = plotter.take(PLOTTED_WITHIN).await.unwrap().unwrap();
        taken.fail("piece 5 is damaged wherever it is").await.unwrap();
    }
    client.want(job(3)).await.unwrap();
    let taken = plotter.take(PLOTTED_WITHIN).await.unwrap().unwrap();

    let util = async |words: &str| utility(&format!("{words} --nats-server {}", cluster.nats.url())).await;
    let listed = util("plot-jobs --json").await.json;
    assert_eq!(
        listed["counts"],
        serde_json::json!({"parked": 2, "ready": 0, "taken": 1, "wanted": 0})
    );
    let jobs = listed["jobs"].as_array().unwrap();
    for parked in &jobs[..2] {
        assert_eq!(parked["state"], "parked");
        assert_eq!(parked["reason"], "piece 5 is damaged wherever it is");
        assert_eq!(parked["attempts"], MAX_ATTEMPTS);
    }
    assert!(jobs[2]["server"].as_str().unwrap().starts_with("plot-server."));
    let text = util("plot-jobs").await.text;
    assert!(text.contains("0 wanted, 1 taken, 0 ready, 2 parked"), "{text}");

    let refused = util(&format!("plot-jobs --retry {}", taken.job().id)).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.text.contains("is taken, not parked"), "{}", refused.text);
    let refused = util("plot-jobs --cancel nonsense").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.text.contains("names no plot job"), "{}", refused.text);
    let retried = util(&format!("plot-jobs --retry {}", job(1).id)).await;
    assert_eq!(retried.code, Some(0), "{}", retried.text);
    assert_eq!(
        plotter.take(PLOTTED_WITHIN).await.unwrap().unwrap().job().id,
        job(1).id
    );
    let cancelled = util(&format!("plot-jobs --cancel {}", job(2).id)).await;
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.text);
    assert_eq!(client.get(&job(2).id).await.unwrap(), None);
    let again = client.get(&job(1).id).await.unwrap().unwrap();
    assert!(matches!(again.state, JobState::Taken { .. }) && again.attempts == 1);
}

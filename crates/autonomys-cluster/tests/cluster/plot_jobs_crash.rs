//! The life of a plot job when somebody dies at each of its steps. A dropped handle is a crash.

use super::plot_jobs::{FARM, MOMENT, WAIT, fast, job, open, reaches, sector};
use super::{eventually, on_each_server};
use autonomys_cluster::members::{Member, MembersSnapshot};
use autonomys_cluster::plot_jobs::{JobLost, JobState, MAX_ATTEMPTS, PlotJobs, SpoolVerdict, Sweeper};
use autonomys_cluster::{Cluster, Role};
use std::sync::Arc;
use subspace_core_primitives::PublicKey;

fn nobody() -> MembersSnapshot {
    MembersSnapshot::default()
}

fn alive(cluster: &Cluster) -> MembersSnapshot {
    let mut members = MembersSnapshot::default();
    members.members.insert(
        cluster.instance(),
        Arc::new(Member::new(cluster.instance(), "host", "1")),
    );
    members
}

fn sweeper(jobs: &PlotJobs) -> Sweeper {
    jobs.sweeper(&[PublicKey::from(FARM)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_dies_between_record_and_message() {
    on_each_server(
        "the_client_dies_between_record_and_message",
        async |mut server| {
            let client = open(&server.connect("default", Role::PlotClient).await).await;
            let plotter = open(&server.connect("default", Role::PlotServer).await).await;
            client.want(job(1)).await.unwrap();
            // Losing the message is the same as never having sent it: receive it and drop it without a trace.
            let cluster = server.connect("default", Role::PlotServer).await;
            let context = jetstream(&server).await;
            context
                .get_stream("default_plot_jobs_queue")
                .await
                .unwrap()
                .purge()
                .await
                .unwrap();
            assert!(plotter.take(MOMENT).await.unwrap().is_none());

            let mut sweeper = sweeper(&client);
            eventually("republished", async || {
                !sweeper.sweep(&nobody()).await.unwrap().republished.is_empty()
            })
            .await;
            assert_eq!(plotter.take(WAIT).await.unwrap().unwrap().job().id, job(1).id);
            drop(cluster);

            // The whole queue is lost, not the records.
            client.want(job(2)).await.unwrap();
            context.delete_stream("default_plot_jobs_queue").await.unwrap();
            eventually("republished", async || {
                sweeper
                    .sweep(&nobody())
                    .await
                    .is_ok_and(|report| !report.republished.is_empty())
            })
            .await;
            eventually("taken", async || {
                plotter.take(MOMENT).await.is_ok_and(|taken| taken.is_some())
            })
            .await;
            server.kill().await;
        },
    )
    .await;
}

/// A JetStream context of the test's own, for breaking things.
async fn jetstream(server: &autonomys_cluster::test_util::NatsServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plot_server_dies_at_work() {
    on_each_server("the_plot_server_dies_at_work", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let doomed_cluster = server.connect("default", Role::PlotServer).await;
        let doomed = open(&doomed_cluster).await;
        let other_cluster = server.connect("default", Role::PlotServer).await;
        let other = open(&other_cluster).await;
        let mut sweeper = sweeper(&client);
        client.want(job(1)).await.unwrap();

        // It hangs: it does not renew, somebody else gets the job, and it learns of that.
        let mut hanging = doomed.take(WAIT).await.unwrap().unwrap();
        assert!(
            other.take(fast().ack_wait * 2).await.unwrap().is_none(),
            "the lease still runs"
        );
        eventually("reclaimed", async || {
            sweeper.sweep(&alive(&doomed_cluster)).await.unwrap().reclaimed == [job(1).id]
        })
        .await;
        let mut taken = other.take(WAIT).await.unwrap().unwrap();
        assert_eq!(taken.attempt(), 2);
        assert!(matches!(hanging.keep_alive().await, Err(JobLost::Lost(_))));
        assert!(matches!(
            hanging.ready(sector(&doomed_cluster)).await,
            Err(JobLost::Lost(_))
        ));
        assert!(matches!(hanging.fail("too late").await, Err(JobLost::Lost(_))));

        // Who renews keeps his job for longer than any lease.
        let until = tokio::time::Instant::now() + fast().lease * 2;
        while tokio::time::Instant::now() < until {
            taken.keep_alive().await.unwrap();
            let report = sweeper.sweep(&nobody()).await.unwrap();
            assert_eq!((report.reclaimed.len(), report.taken), (0, 1));
            tokio::time::sleep(fast().keep_alive_interval()).await;
        }
        taken.ready(sector(&other_cluster)).await.unwrap();
        assert!(doomed.take(MOMENT).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_plot_server_takes_up_its_own_job() {
    on_each_server("a_restarted_plot_server_takes_up_its_own_job", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let options = server.options("default", Role::PlotServer);
        let before = open(&Cluster::connect(options.clone()).await.unwrap()).await;
        client.want(job(1)).await.unwrap();
        drop(before.take(WAIT).await.unwrap().unwrap());
        drop(before);
        let after = open(&Cluster::connect(options).await.unwrap()).await;
        let taken = after.take(WAIT).await.unwrap().unwrap();
        assert_eq!(
            taken.attempt(),
            2,
            "without a sweep, once its message comes again"
        );
        let record = client.get(&job(1).id).await.unwrap().unwrap();
        assert!(record.last_failure.unwrap().contains("stopped while it worked"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_servers_is_parked() {
    let server = autonomys_cluster::test_util::NatsServer::start().await;
    let client = open(&server.connect("default", Role::PlotClient).await).await;
    let plotter = open(&server.connect("default", Role::PlotServer).await).await;
    client.want(job(1)).await.unwrap();
    for attempt in 1..MAX_ATTEMPTS {
        let taken = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!(taken.attempt(), attempt);
        taken.fail("out of memory").await.unwrap();
    }
    drop(plotter.take(WAIT).await.unwrap().unwrap());
    assert!(plotter.take(fast().ack_wait * 3).await.unwrap().is_none());
    let report = sweeper(&client).sweep(&nobody()).await.unwrap();
    assert_eq!(report.parked.len(), 1);
    assert!(
        report.parked[0].1.contains("stopped while it worked"),
        "{:?}",
        report.parked
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_sectors_are_offered_again() {
    on_each_server("finished_sectors_are_offered_again", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let options = server.options("default", Role::PlotServer);
        let before_cluster = Cluster::connect(options.clone()).await.unwrap();
        let before = open(&before_cluster).await;
        let other_cluster = server.connect("default", Role::PlotServer).await;
        let other = open(&other_cluster).await;
        for sector_index in 1..=4 {
            client.want(job(sector_index)).await.unwrap();
        }
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(before.take(WAIT).await.unwrap().unwrap());
        }
        taken.sort_by_key(|taken| taken.job().id.sector_index);
        // 1: offered, then the server dies. 2: dies before it could offer. 3: finished meanwhile by the client.
        // 4: given to another server, which has not finished either.
        taken[0].ready(sector(&before_cluster)).await.unwrap();
        taken[2].ready(sector(&before_cluster)).await.unwrap();
        client.finish(&job(3).id).await.unwrap();
        taken.pop().unwrap().release().await.unwrap();
        let mut elsewhere = other.take(WAIT).await.unwrap().unwrap();
        assert_eq!(elsewhere.job().id, job(4).id);
        drop((taken, before));

        let cluster = Cluster::connect(options).await.unwrap();
        let after = open(&cluster).await;
        let mut moved = sector(&cluster);
        moved.addresses = vec!["10.0.0.2:9966".to_owned()];
        let live = alive(&other_cluster);
        for sector_index in [1, 2, 4] {
            let verdict = after
                .offer_spooled(&job(sector_index).id, moved.clone(), &live, false)
                .await
                .unwrap();
            assert!(
                matches!(verdict, SpoolVerdict::Offered { .. }),
                "sector {sector_index}: {verdict:?}"
            );
            let record = client.get(&job(sector_index).id).await.unwrap().unwrap();
            assert_eq!(record.state, JobState::Ready(moved.clone()));
        }
        assert_eq!(
            after
                .offer_spooled(&job(3).id, moved.clone(), &live, false)
                .await
                .unwrap(),
            SpoolVerdict::Gone
        );
        assert!(
            matches!(elsewhere.keep_alive().await, Err(JobLost::Lost(_))),
            "finished wins over unfinished"
        );
        let verdict = other
            .offer_spooled(&job(1).id, sector(&other_cluster), &alive(&cluster), false)
            .await
            .unwrap();
        assert_eq!(
            verdict,
            SpoolVerdict::Superseded {
                holder: cluster.instance()
            }
        );
        assert!(
            other.take(fast().ack_wait * 2).await.unwrap().is_none(),
            "nothing is wanted"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_sector_is_lost() {
    on_each_server("a_finished_sector_is_lost", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let lost_cluster = server.connect("default", Role::PlotServer).await;
        let lost = open(&lost_cluster).await;
        let mut watch = client.watch(&[PublicKey::from(FARM)]);
        client.want(job(1)).await.unwrap();
        lost.take(WAIT)
            .await
            .unwrap()
            .unwrap()
            .ready(sector(&lost_cluster))
            .await
            .unwrap();

        // Damaged: the client rejects it.
        assert!(
            !client
                .reject(
                    &job(1).id,
                    server.options("default", Role::PlotServer).instance,
                    "?"
                )
                .await
                .unwrap()
        );
        assert!(
            client
                .reject(&job(1).id, lost_cluster.instance(), "checksum differs")
                .await
                .unwrap()
        );
        let offer = async || {
            lost.offer_spooled(&job(1).id, sector(&lost_cluster), &nobody(), false)
                .await
                .unwrap()
        };
        assert_eq!(
            offer().await,
            SpoolVerdict::Gone,
            "a rejected sector does not come back"
        );
        let mut taken = lost.take(WAIT).await.unwrap().unwrap();
        assert_eq!(taken.attempt(), 2);
        assert!(taken.was_rejected_here());
        taken.ready(sector(&lost_cluster)).await.unwrap();
        assert!(
            matches!(offer().await, SpoolVerdict::Offered { .. }),
            "the next one does"
        );
        reaches(&mut watch, &job(1).id, "ready").await;
        // A client that does not come is told once more, and only then is anything written.
        offer().await;
        lost.offer_spooled(&job(1).id, sector(&lost_cluster), &nobody(), true)
            .await
            .unwrap();
        reaches(&mut watch, &job(1).id, "ready").await;

        // Gone with its server: kept while the server lives, wanted again when it is away for too long.
        let mut sweeper = sweeper(&client);
        let until = tokio::time::Instant::now() + fast().ready_lease * 2;
        while tokio::time::Instant::now() < until {
            assert_eq!(sweeper.sweep(&alive(&lost_cluster)).await.unwrap().ready, 1);
            tokio::time::sleep(MOMENT).await;
        }
        eventually("reclaimed", async || {
            !sweeper.sweep(&nobody()).await.unwrap().reclaimed.is_empty()
        })
        .await;
        let other = open(&server.connect("default", Role::PlotServer).await).await;
        assert_eq!(other.take(WAIT).await.unwrap().unwrap().attempt(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nats_server_dies_at_every_step() {
    on_each_server("the_nats_server_dies_at_every_step", async |mut server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let cluster = server.connect("default", Role::PlotServer).await;
        let plotter = open(&cluster).await;
        let mut watch = client.watch(&[PublicKey::from(FARM)]);
        let mut sweeper = sweeper(&client);
        client.want(job(1)).await.unwrap();
        server.restart().await;
        let mut taken = None;
        eventually("taken", async || {
            taken = plotter.take(MOMENT).await.unwrap_or_default();
            taken.is_some()
        })
        .await;
        let mut taken = taken.unwrap();
        server.restart().await;
        taken.keep_alive().await.unwrap();
        server.restart().await;
        taken.ready(sector(&cluster)).await.unwrap();
        server.restart().await;
        reaches(&mut watch, &job(1).id, "ready").await;
        assert!(client.finish(&job(1).id).await.unwrap());
        server.restart().await;
        eventually("all done", async || {
            let report = sweeper.sweep(&nobody()).await.unwrap();
            report.wanted + report.taken + report.ready == 0
                && client.list().await.is_ok_and(|jobs| jobs.is_empty())
        })
        .await;
        assert!(
            plotter
                .take(fast().ack_wait * 2)
                .await
                .unwrap_or_default()
                .is_none()
        );
    })
    .await;
}

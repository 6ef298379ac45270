//! The life of a plot job when everybody does his part.

use super::{on_each_server, soon};
use autonomys_cluster::plot_jobs::{
    JobEvent, JobId, JobLost, JobRecord, JobState, JobTimes, JobWatch, MAX_ATTEMPTS, PlotJob, PlotJobs,
    ReadySector, WantOutcome,
};
use autonomys_cluster::{Cluster, InstanceId, Role};
use std::time::Duration;
use subspace_core_primitives::PublicKey;
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::segments::HistorySize;

pub(crate) const FARM: [u8; 32] = [5; 32];
/// Long enough for any hand-over, short enough for tests that wait for nothing.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// Times of seconds instead of minutes.
pub(crate) fn fast() -> JobTimes {
    JobTimes {
        lease: Duration::from_millis(1500),
        ready_lease: Duration::from_millis(1500),
        ack_wait: Duration::from_secs(1),
        republish_after: Duration::from_millis(300),
        retry_pause: Duration::from_millis(20),
    }
}

pub(crate) fn job(sector_index: u16) -> PlotJob {
    let segments = |count| HistorySize::from_segments(count).unwrap();
    PlotJob {
        id: JobId {
            public_key: FARM.into(),
            sector_index,
            history_size: segments(20),
        },
        client: InstanceId::generate(Role::PlotClient),
        pieces_in_sector: 1000,
        protocol_info: FarmerProtocolInfo {
            history_size: segments(20),
            max_pieces_in_sector: 1000,
            recent_segments: segments(5),
            recent_history_fraction: (segments(1), segments(10)),
            min_sector_lifetime: segments(4),
        },
        created_at: 1,
    }
}

pub(crate) fn sector(server: &Cluster) -> ReadySector {
    ReadySector {
        server: server.instance(),
        addresses: vec!["10.0.0.1:9966".to_owned()],
        session_key: None,
        length: 1_056_896_064,
        checksum: [8; 32].into(),
        metadata: vec![4; 131_116],
    }
}

pub(crate) async fn open(cluster: &Cluster) -> PlotJobs {
    PlotJobs::open(cluster, fast()).await.unwrap()
}

/// Waits for a state of the job.
pub(crate) async fn reaches(watch: &mut JobWatch, wanted: &JobId, state: &str) -> JobRecord {
    soon(state, async {
        loop {
            match watch.next().await.unwrap() {
                JobEvent::Changed(record) if record.job.id == *wanted && record.state.name() == state => {
                    return *record;
                }
                _ => {}
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_wish_to_sector() {
    on_each_server("from_wish_to_sector", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let server_cluster = server.connect("default", Role::PlotServer).await;
        let plotter = open(&server_cluster).await;
        let farms = [PublicKey::from(FARM)];
        let mut watch = client.watch(&farms);
        assert_eq!(soon("sync", watch.next()).await, Some(JobEvent::Synced));
        assert!(plotter.take(MOMENT).await.unwrap().is_none());

        let wish = job(1);
        assert_eq!(client.want(wish.clone()).await.unwrap(), WantOutcome::Created);
        let WantOutcome::Existing(same) = client.want(job(1)).await.unwrap() else {
            panic!("twice")
        };
        assert_eq!(same.job, wish);
        reaches(&mut watch, &wish.id, "wanted").await;

        let mut taken = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!((taken.job(), taken.attempt()), (&wish, 1));
        assert!(!client.cancel(&wish.id).await.unwrap(), "in work");
        assert!(
            plotter.take(MOMENT).await.unwrap().is_none(),
            "one message, one taker"
        );
        taken.keep_alive().await.unwrap();
        let record = reaches(&mut watch, &wish.id, "taken").await;
        assert_eq!(record.holder(), Some(server_cluster.instance()));
        assert_eq!(plotter.held_by(server_cluster.instance()).await.unwrap().len(), 1);

        taken.ready(sector(&server_cluster)).await.unwrap();
        let record = reaches(&mut watch, &wish.id, "ready").await;
        assert_eq!(record.state, JobState::Ready(sector(&server_cluster)));
        assert!(
            matches!(taken.keep_alive().await, Err(JobLost::Lost(_))),
            "it is the client's now"
        );

        assert!(client.finish(&wish.id).await.unwrap());
        assert!(!client.finish(&wish.id).await.unwrap());
        soon("gone", async {
            while watch.next().await.unwrap() != JobEvent::Gone(wish.id) {}
        })
        .await;
        assert_eq!(plotter.get(&wish.id).await.unwrap(), None);
        assert_eq!(client.list().await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_what_another_has() {
    on_each_server("nobody_takes_what_another_has", async |server| {
        const JOBS: u16 = 24;
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let mut plotters = Vec::new();
        for _ in 0..4 {
            let cluster = server.connect("default", Role::PlotServer).await;
            plotters.push((open(&cluster).await, cluster));
        }
        for sector_index in 0..JOBS {
            client.want(job(sector_index)).await.unwrap();
        }
        let work = plotters.iter().map(|(plotter, cluster)| async {
            let mut sectors = Vec::new();
            while let Some(mut taken) = plotter.take(MOMENT).await.unwrap() {
                taken.keep_alive().await.unwrap();
                taken.ready(sector(cluster)).await.unwrap();
                sectors.push(taken.job().id.sector_index);
            }
            sectors
        });
        let mut sectors: Vec<u16> = futures::future::join_all(work)
            .await
            .into_iter()
            .flatten()
            .collect();
        sectors.sort_unstable();
        assert_eq!(sectors, (0..JOBS).collect::<Vec<_>>(), "each once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_fail_are_tried_again_and_then_parked() {
    on_each_server("jobs_that_fail", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let plotter = open(&server.connect("default", Role::PlotServer).await).await;
        let id = job(1).id;
        client.want(job(1)).await.unwrap();
        let released = plotter.take(WAIT).await.unwrap().unwrap();
        released.release().await.unwrap();
        for attempt in 1..=MAX_ATTEMPTS {
            let taken = plotter.take(WAIT).await.unwrap().unwrap();
            assert_eq!(taken.attempt(), attempt, "giving back does not count");
            taken.fail("no pieces of segment 3").await.unwrap();
        }
        let record = client.get(&id).await.unwrap().unwrap();
        assert_eq!(
            record.state,
            JobState::Parked {
                reason: "no pieces of segment 3".to_owned()
            }
        );
        assert!(plotter.take(MOMENT).await.unwrap().is_none(), "never spinning");

        assert_eq!(record.parkings, 1);

        assert!(client.retry_parked(&id).await.unwrap());
        assert!(!client.retry_parked(&id).await.unwrap());
        assert!(!client.cancel_parked(&id).await.unwrap(), "not parked any more");
        for attempt in 1..=MAX_ATTEMPTS {
            let taken = plotter.take(WAIT).await.unwrap().unwrap();
            assert_eq!(taken.attempt(), attempt);
            taken.fail("still none").await.unwrap();
        }
        let parkings = async || client.get(&id).await.unwrap().unwrap().parkings;
        assert_eq!(parkings().await, 2, "it is remembered how often it was given up");
        assert!(client.revive_parked(&id).await.unwrap());
        assert_eq!(parkings().await, 0, "the operator has mended it");
        let taken = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!(taken.attempt(), 1);
        drop(taken);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_with_many_jobs_does_not_keep_others_waiting() {
    on_each_server("farms_take_turns", async |server| {
        const MANY: u16 = 120;
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let of_farm = |farm: u8, sector_index: u16| {
            let mut job = job(sector_index);
            job.id.public_key = [farm; 32].into();
            job
        };
        for sector_index in 0..MANY {
            client.want(of_farm(1, sector_index)).await.unwrap();
        }
        for farm in [2, 3] {
            for sector_index in 0..2 {
                client.want(of_farm(farm, sector_index)).await.unwrap();
            }
        }
        let mut plotters = Vec::new();
        for _ in 0..2 {
            let cluster = server.connect("default", Role::PlotServer).await;
            plotters.push((open(&cluster).await, cluster));
        }
        // In the order of the queue the two would come after 120 others.
        let (plotter, cluster) = &plotters[0];
        let mut first = Vec::new();
        for _ in 0..6 {
            let mut taken = plotter.take(WAIT).await.unwrap().unwrap();
            first.push(taken.job().id);
            taken.keep_alive().await.unwrap();
            taken.ready(sector(cluster)).await.unwrap();
        }
        for farm in [2, 3] {
            let served = first.iter().filter(|id| *id.public_key == [farm; 32]).count();
            assert_eq!(served, 2, "farm {farm} among {first:?}");
        }
        // Out of turn or not: every job once, whoever takes it, and the queue ends empty.
        let work = plotters.iter().map(|(plotter, cluster)| async {
            let mut taken_here = Vec::new();
            while let Some(mut taken) = plotter.take(MOMENT).await.unwrap() {
                taken.ready(sector(cluster)).await.unwrap();
                taken_here.push(taken.job().id);
            }
            taken_here
        });
        let mut all = futures::future::join_all(work).await.concat();
        all.extend(first);
        all.sort_unstable();
        let mut expected: Vec<JobId> = (0..MANY).map(|sector| of_farm(1, sector).id).collect();
        for farm in [2, 3] {
            expected.extend((0..2).map(|sector| of_farm(farm, sector).id));
        }
        assert_eq!(all, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_taken_out_of_turn_comes_back() {
    on_each_server("out_of_turn_comes_back", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let plotter = open(&server.connect("default", Role::PlotServer).await).await;
        let other = {
            let mut other = job(9);
            other.id.public_key = [6; 32].into();
            other
        };
        for wish in [job(1), job(2), other.clone(), job(3)] {
            client.want(wish).await.unwrap();
        }
        let first = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!(first.job().id, job(1).id);
        let second = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!(second.job(), &other, "before a second job of the first farm");
        second.release().await.unwrap();
        let mut back = Vec::new();
        for _ in 0..3 {
            back.push(plotter.take(WAIT).await.unwrap().unwrap());
        }
        let mut ids: Vec<_> = back.iter().map(|taken| taken.job().id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [job(2).id, job(3).id, other.id]);
        // One that fails without its message is published by a sweep.
        let taken = back.into_iter().find(|taken| *taken.job() == other).unwrap();
        taken.fail("no pieces").await.unwrap();
        let farms = [PublicKey::from([6; 32])];
        let mut sweeper = plotter.sweeper(&farms);
        let again = soon("handed out again", async {
            loop {
                sweeper.sweep(&Default::default()).await.unwrap();
                if let Some(taken) = plotter.take(MOMENT).await.unwrap() {
                    return taken;
                }
            }
        });
        assert_eq!(again.await.job(), &other);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_wishes_are_replaced() {
    on_each_server("stale_wishes_are_replaced", async |server| {
        let client = open(&server.connect("default", Role::PlotClient).await).await;
        let plotter = open(&server.connect("default", Role::PlotServer).await).await;
        let stale = job(1);
        let mut fresh = job(1);
        fresh.id.history_size = HistorySize::from_segments(21).unwrap();
        client.want(stale.clone()).await.unwrap();
        assert!(client.cancel(&stale.id).await.unwrap());
        assert!(!client.cancel(&stale.id).await.unwrap());
        client.want(fresh.clone()).await.unwrap();
        let taken = plotter.take(WAIT).await.unwrap().unwrap();
        assert_eq!(
            taken.job(),
            &fresh,
            "the message of the cancelled job is dropped on the way"
        );
        assert!(plotter.take(MOMENT).await.unwrap().is_none());
    })
    .await;
}

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

        assert!(client.retry_parked(&id).await.unwrap());
        assert!(!client.retry_parked(&id).await.unwrap());
        assert_eq!(plotter.take(WAIT).await.unwrap().unwrap().attempt(), 1);
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

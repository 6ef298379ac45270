//! One leader at a time, and another one soon after it dies.

use super::{eventually, on_each_server, soon};
use autonomys_cluster::leader::{LEASE, LeaderElection};
use autonomys_cluster::{Cluster, ControllerId, Role};
use std::time::{Duration, Instant};

async fn stand(cluster: &Cluster) -> LeaderElection {
    LeaderElection::start(cluster, ControllerId::try_from(cluster.instance()).unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_follow_each_other() {
    on_each_server("leaders_follow_each_other", async |mut server| {
        let mut candidates = Vec::new();
        for _ in 0..3 {
            let cluster = server.connect("default", Role::Controller).await;
            candidates.push((cluster.instance(), stand(&cluster).await));
        }
        let watcher = server.connect("default", Role::PlotClient).await;
        let leaders = |candidates: &[(_, LeaderElection)]| {
            candidates
                .iter()
                .filter(|(_, candidate)| *candidate.leading().borrow())
                .count()
        };
        eventually("a leader", async || leaders(&candidates) == 1).await;
        let leader = candidates
            .iter()
            .position(|(_, candidate)| *candidate.leading().borrow())
            .unwrap();
        let current = LeaderElection::current(&watcher)
            .await
            .unwrap()
            .map(|id| id.instance());
        assert_eq!(current, Some(candidates[leader].0));

        // It dies: its lease runs out, and never do two lead meanwhile.
        let died = Instant::now();
        drop(candidates.remove(leader));
        eventually("the next leader", async || {
            let leaders = leaders(&candidates);
            assert!(leaders <= 1);
            leaders == 1
        })
        .await;
        assert!(
            died.elapsed() >= LEASE - Duration::from_secs(2),
            "not before the lease had run out"
        );

        // It steps down: the third one leads without waiting for a lease.
        let leader = candidates
            .iter()
            .position(|(_, candidate)| *candidate.leading().borrow())
            .unwrap();
        let (_, candidate) = candidates.remove(leader);
        candidate.step_down().await;
        let stepped_down = Instant::now();
        eventually("the third leader", async || leaders(&candidates) == 1).await;
        let handover = stepped_down.elapsed();
        assert!(handover < LEASE, "{handover:?}");

        // Without a server nobody leads; with it again, somebody does.
        let mut leading = candidates[0].1.leading();
        server.kill().await;
        soon("no leader", leading.wait_for(|leading| !*leading))
            .await
            .unwrap();
        server.restart().await;
        soon("a leader again", leading.wait_for(|leading| *leading))
            .await
            .unwrap();
    })
    .await;
}

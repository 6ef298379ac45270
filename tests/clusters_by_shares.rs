//! One plot-server serves two clusters by their shares, and all of one while the other has nothing to do.

use crate::support::roles::{PLOTTED_WITHIN, REWARD_ACCOUNT, verify_farm};
use crate::support::{DevChain, Process, TestCluster, Turn};
use std::time::Duration;
use subspace_proof_of_space::ProofOfSpaceKind;

/// Sectors of the farm in the first cluster, which has three shares.
const FIRST: u16 = 12;
/// Sectors of the farm in the second, which has one.
const SECOND: u16 = 5;
/// Jobs that a farm has queued at most.
const QUEUED: u16 = 8;
/// Sectors by which the second cluster may be ahead or behind: deliveries overtake each other, and one cluster is ready first. In
/// turns without shares it would be three ahead.
const OFF_BY: usize = 2;

/// Times at which sectors were finished, in their order: the cluster's number each.
fn finished(first: &Process, second: &Process) -> Vec<u8> {
    let mut times: Vec<(String, u8)> = Vec::new();
    for (process, number) in [(first, 1), (second, 2)] {
        for line in process
            .output()
            .lines()
            .filter(|line| line.contains("sector plotted"))
        {
            // Lines begin with the time.
            times.push((line.split_whitespace().next().unwrap().to_string(), number));
        }
    }
    times.sort_unstable();
    times.into_iter().map(|(_, number)| number).collect()
}

#[tokio::test]
async fn a_plot_server_serves_clusters_by_their_shares() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        // Large enough that the queues never run dry.
        pieces_in_sector: 20,
        // So that hardly a slot is won: this is about plotting.
        plotted_pieces: 1_000_000,
        slot_duration_ms: 1000,
        ..DevChain::default()
    };
    let cluster = TestCluster::start(chain).await;
    let plot_client = |name: &str, sectors: u16| {
        cluster
            .named_role(&format!("plot-client-{name}"), "plot-client")
            .cluster_arg("--cluster")
            .cluster_arg(name)
            .args(["--reward-address", &hex::encode(REWARD_ACCOUNT)])
            .path(
                &cluster.path(&format!("farm-{name}")),
                &format!(",sectors={sectors}"),
            )
            .start()
    };
    for name in ["first", "second"] {
        cluster
            .named_role(&format!("controller-{name}"), "controller")
            .cluster_arg("--cluster")
            .cluster_arg(name)
            .args(["--tmp", "--node-rpc-url", &cluster.node_url()])
            .start();
    }
    // Both have queued what they want before anybody plots.
    let clients = [plot_client("first", FIRST), plot_client("second", SECOND)];
    for (client, sectors) in clients.iter().zip([FIRST, SECOND]) {
        cluster
            .wait_until("the jobs are queued", PLOTTED_WITHIN, async || {
                let queued = client.output().matches("plot job queued").count();
                (queued == usize::from(sectors.min(QUEUED))).then_some(())
            })
            .await;
    }
    let mut plot_server = cluster.role("plot-server");
    for share in ["first:3", "second:1"] {
        plot_server = plot_server.cluster_arg("--cluster").cluster_arg(share);
    }
    let plot_server = plot_server
        .args(["--record-encoding-concurrency", "1"])
        .arg(cluster.path("plot-server"))
        .start();
    let [first, second] = &clients;
    let order = cluster
        .wait_until("all sectors are plotted", PLOTTED_WITHIN, async || {
            let order = finished(first, second);
            (order.len() == usize::from(FIRST + SECOND)).then_some(order)
        })
        .await;
    // Three of the first for one of the second, whichever came first.
    for end in 1..=order.len() {
        let of_second = order[..end].iter().filter(|number| **number == 2).count();
        assert!(
            of_second.abs_diff(end / 4) <= OFF_BY,
            "{of_second} of {end} for the second: {order:?}"
        );
    }
    // Each cluster has its own sectors and identity in its own place, and nothing is left in any.
    for name in ["first", "second"] {
        let spool = cluster.path(&format!("plot-server/clusters/{name}/sectors"));
        cluster
            .wait_until("the spool is empty", PLOTTED_WITHIN, async || {
                (std::fs::read_dir(&spool).ok()?.count() == 0).then_some(())
            })
            .await;
    }
    plot_server.stop(Duration::from_secs(10)).await;
    for (client, (name, sectors)) in clients.iter().zip([("first", FIRST), ("second", SECOND)]) {
        client.stop(PLOTTED_WITHIN).await;
        verify_farm(
            &cluster,
            &cluster.path(&format!("farm-{name}")),
            sectors,
            ProofOfSpaceKind::FastTest,
        )
        .await;
    }
}

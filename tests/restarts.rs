//! NATS, the node and the controller are killed and come back: farming goes on by itself, and nobody else had to be restarted.

use crate::support::chain::best_number;
use crate::support::roles::{PLOTTED_WITHIN, wait_for_rewards};
use crate::support::{DevChain, Roles, RolesPlan, TestCluster, Turn};
use autonomys_farm::info::FarmInfo;
use std::time::Duration;

/// Blocks that have to come after each restart.
const BLOCKS: usize = 2;
/// The chain opens its directory again and answers.
const NODE_BACK_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn farming_goes_on_after_every_restart() {
    let _turn = Turn::wait().await;
    let chain = DevChain {
        // A proof has four slots of time, which half a second each makes enough on a loaded machine.
        slot_duration_ms: 500,
        ..DevChain::default()
    };
    let mut cluster = TestCluster::start(chain).await;
    let roles = Roles::start(
        &cluster,
        &RolesPlan {
            sectors: 2,
            gate: false,
            encoding_threads: None,
        },
    );
    let farm = cluster.path("farm");
    let key = cluster
        .wait_until("the farm is made", PLOTTED_WITHIN, async || {
            FarmInfo::load(&farm).unwrap().map(|info| info.public_key)
        })
        .await;
    let mut ids = roles.all().map(|process| process.id());
    let mut best = wait_for_rewards(&cluster, "the first blocks are won", key, 0, BLOCKS).await;

    cluster.nats.kill().await;
    cluster.nats.restart().await;
    // Blocks that were won before the kill, or while roles had not noticed it yet, prove nothing: count from here.
    best = best.max(best_number(cluster.node()).await);
    best = wait_for_rewards(&cluster, "blocks are won after NATS came back", key, best, BLOCKS).await;

    cluster.node_process().kill();
    cluster.node_process().restart();
    let node = cluster.node().clone();
    let after = cluster
        .wait_until("the chain answers again", NODE_BACK_WITHIN, async || {
            Some(node.header(None).await.ok()??.number.0)
        })
        .await;
    assert!(after >= best, "the chain forgot blocks: {after} after {best}");
    let won = wait_for_rewards(
        &cluster,
        "blocks are won after the node came back",
        key,
        after,
        BLOCKS,
    );
    best = won.await;

    roles.controller.kill();
    roles.controller.restart();
    ids[0] = roles.controller.id();
    best = best.max(best_number(cluster.node()).await);
    wait_for_rewards(
        &cluster,
        "blocks are won after the controller came back",
        key,
        best,
        BLOCKS,
    )
    .await;

    // Whoever ended would have failed the waiting above; nobody was replaced either.
    assert_eq!(roles.all().map(|process| process.id()), ids);
    for process in roles.all() {
        assert!(process.exited().is_none(), "{} has ended", process.name());
    }
}

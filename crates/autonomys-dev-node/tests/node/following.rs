//! Two nodes of one chain: one leads, one follows, and both have farmers.

use crate::farmer::Farmer;
use crate::support::{client, config, start, url, within};
use autonomys_dev_node::follow::FollowStage;
use autonomys_dev_node::rpc::development::NodeStatus;
use autonomys_dev_node::{DevNode, DevNodeClient, DevNodeConfig, DevNodeError, FollowConfig};
use jsonrpsee::RpcModule;
use jsonrpsee::server::Server;
use std::path::Path;
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::PieceIndex;
use tokio_util::sync::CancellationToken;

/// A node in `directory` that follows the one at `url`, with another number of pieces in a sector, which must not matter.
fn follower_config(directory: &Path, url: String, delay: Duration) -> DevNodeConfig {
    let mut config = config(directory, 9);
    config.follow = Some(FollowConfig { url, delay });
    config
}

async fn wait_for(node: &DevNodeClient, condition: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    within(async {
        loop {
            let status = node.status().await.unwrap();
            if condition(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// A chain to be followed. Its address is one that no outgoing connection gets, so that it can be listened on again.
fn leader_config(directory: &Path) -> DevNodeConfig {
    let mut config = config(directory, 2);
    config.rpc_listen_on = ([127, 0, 0, 3], 0).into();
    config
}

/// Starts a node at an address that another one has just left: its last connections may not be closed yet.
async fn start_again(config: DevNodeConfig) -> (DevNode, CancellationToken) {
    within(async {
        loop {
            let cancel = CancellationToken::new();
            match Box::pin(DevNode::start(config.clone(), cancel.clone())).await {
                Ok(node) => return (node, cancel),
                Err(DevNodeError::Listen { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

fn stage(status: &NodeStatus) -> FollowStage {
    status.following.as_ref().unwrap().state
}

/// Starts a follower and waits until it is where its leader is.
async fn start_follower(config: DevNodeConfig) -> (DevNode, CancellationToken, DevNodeClient) {
    let (node, cancel) = start(config).await;
    let asking = DevNodeClient::connect(&url(&node)).await.unwrap();
    wait_for(&asking, |status| stage(status) == FollowStage::Following).await;
    (node, cancel, asking)
}

/// Wins a block with a farmer of the follower; the leader's slots are stepped.
async fn win_through_follower(farmer: &mut Farmer, leader: &DevNode) -> u32 {
    let mut best = leader.controls.best_block();
    let before = best.borrow_and_update().state.number;
    farmer
        .submit(&leader.controls, |slot, distance| {
            distance <= slot.solution_range / 2
        })
        .await;
    farmer.step_to_claim(&leader.controls).await;
    farmer.sign().await;
    within(best.wait_for(|best| best.state.number > before))
        .await
        .unwrap()
        .state
        .number
}

async fn wait_for_block(follower: &DevNode, leader: &DevNode) {
    let hash = leader.controls.best_block().borrow().hash;
    let mut best = follower.controls.best_block();
    within(best.wait_for(|best| best.hash == hash)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_win_blocks_of_one_chain() {
    let (leading, following) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (leader, cancel_leader) = start(leader_config(leading.path())).await;
    let leader_port = leader.rpc_address;
    let (follower, cancel, asking) =
        start_follower(follower_config(following.path(), url(&leader), Duration::ZERO)).await;
    assert_eq!(follower.genesis_hash, leader.genesis_hash);
    let (of_leader, of_follower) = (client(&leader).await, client(&follower).await);
    let (info, other) = (
        of_leader.farmer_app_info().await.unwrap(),
        of_follower.farmer_app_info().await.unwrap(),
    );
    assert_eq!(info, other);
    let mut at_follower = Farmer::plot(of_follower, 5).await;
    let mut at_leader = Farmer::plot(of_leader, 6).await;

    // A solution of the follower's farmer becomes a block of the chain, signed by way of the follower alone.
    assert_eq!(win_through_follower(&mut at_follower, &leader).await, 1);
    wait_for_block(&follower, &leader).await;
    let status = wait_for(&asking, |status| status.best_number == 1).await;
    assert_eq!((status.signing.requested, status.signing.signed), (1, 1));
    let report = status.following.unwrap();
    assert_eq!(
        (report.leader.as_str(), report.leader_best),
        (url(&leader).as_str(), 1)
    );
    let asking_leader = DevNodeClient::connect(&url(&leader)).await.unwrap();
    let status = asking_leader.status().await.unwrap();
    assert_eq!((status.signing.requested, status.following), (0, None));
    assert_eq!(asking_leader.received_solutions(0).await.unwrap(), []);
    let received = asking.received_solutions(0).await.unwrap();
    assert_eq!(
        (received.len(), received[0].public_key, received[0].taken),
        (1, at_follower.public_key(), true)
    );

    // And the other way round; the farmer of the leader has not taken any slots so far.
    let slot = *leader.controls.slot().borrow();
    while at_leader.slot().await.slot_number < slot {}
    assert_eq!(at_leader.mine(&leader).await, 2);
    wait_for_block(&follower, &leader).await;
    assert_eq!(asking_leader.received_solutions(0).await.unwrap().len(), 1);
    let slot = *leader.controls.slot().borrow();
    while at_follower.slot().await.slot_number < slot {}

    // Faults of one node are its own.
    leader.controls.faults.inject("skip-slots".parse().unwrap());
    leader.controls.step_slots(1);
    assert_eq!(at_follower.slot().await.slot_number, slot + 1);
    leader.controls.faults.clear();
    let piece = PieceIndex::from(77);
    follower
        .controls
        .faults
        .inject("missing-piece=all".parse().unwrap());
    assert!(at_follower.client.piece(piece).await.unwrap().is_none());
    let served = at_leader.client.piece(piece).await.unwrap();
    follower.controls.faults.clear();
    assert!(served.is_some() && at_follower.client.piece(piece).await.unwrap() == served);
    assert_eq!(
        at_leader.client.last_segment_headers(10).await.unwrap(),
        at_follower.client.last_segment_headers(10).await.unwrap()
    );

    // The leader goes, which the follower says in so many words, and comes back with a block and slots that the follower has to catch up.
    drop((at_leader, asking_leader));
    cancel_leader.cancel();
    leader.stopped().await.unwrap();
    let status = wait_for(&asking, |status| stage(status) == FollowStage::LeaderGone).await;
    assert!(status.following.unwrap().last_error.is_some());
    assert!(at_follower.client.farmer_app_info().await.unwrap().syncing);
    assert_eq!(status.best_number, 2);
    cancel.cancel();
    drop(asking);
    follower.stopped().await.unwrap();

    let mut again = config(leading.path(), 2);
    again.rpc_listen_on = leader_port;
    let (leader, cancel_leader) = start_again(again.clone()).await;
    let mut farmer = Farmer::plot(client(&leader).await, 6).await;
    assert_eq!(farmer.mine(&leader).await, 3);
    leader.controls.step_slots(3);
    let (follower, _cancel, asking) =
        start_follower(follower_config(following.path(), url(&leader), Duration::ZERO)).await;
    assert_eq!(asking.status().await.unwrap().best_number, 3);
    let mut at_follower = Farmer::plot(client(&follower).await, 5).await;
    assert_eq!(win_through_follower(&mut at_follower, &leader).await, 4);

    // Once more, while the follower waits: it finds the leader by itself.
    drop(farmer);
    cancel_leader.cancel();
    leader.stopped().await.unwrap();
    wait_for(&asking, |status| stage(status) == FollowStage::LeaderGone).await;
    let (leader, _cancel_leader) = start(again).await;
    wait_for(&asking, |status| stage(status) == FollowStage::Following).await;
    assert!(!at_follower.client.farmer_app_info().await.unwrap().syncing);
    assert_eq!(win_through_follower(&mut at_follower, &leader).await, 5);
    wait_for_block(&follower, &leader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_late_by_the_delay() {
    const DELAY: Duration = Duration::from_millis(200);
    let (leading, following) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (leader, _cancel_leader) = start(leader_config(leading.path())).await;
    let (follower, _cancel, _asking) =
        start_follower(follower_config(following.path(), url(&leader), DELAY)).await;
    let mut farmer = Farmer::plot(client(&follower).await, 5).await;
    let mut at_leader = leader.controls.slot();
    let stepped = Instant::now();
    leader.controls.step_slots(2);
    within(at_leader.wait_for(|slot| *slot == 2)).await.unwrap();
    assert_eq!(farmer.slot().await.slot_number, 1);
    assert_eq!(farmer.slot().await.slot_number, 2);
    assert!(stepped.elapsed() >= DELAY, "{:?}", stepped.elapsed());
    // So are blocks: the leader has it at once, the follower later.
    let mut farmer = Farmer::plot(client(&leader).await, 6).await;
    assert_eq!(farmer.mine(&leader).await, 1);
    let mined = Instant::now();
    wait_for_block(&follower, &leader).await;
    assert!(mined.elapsed() >= DELAY / 2, "{:?}", mined.elapsed());
}

/// The sentence with which a node that is to follow `url` ends.
async fn refusal(config: DevNodeConfig) -> String {
    let started = within(DevNode::start(config, CancellationToken::new())).await;
    let Err(error @ DevNodeError::Follow { .. }) = started else {
        panic!("it follows");
    };
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_followed_is_named() {
    let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let (leader, cancel_leader) = start(leader_config(directories[0].path())).await;
    let leader_url = url(&leader);
    let follow = |directory: &Path, url: &str| follower_config(directory, url.to_string(), Duration::ZERO);

    let mut itself = follow(directories[2].path(), "ws://localhost:9955");
    itself.rpc_listen_on = ([127, 0, 0, 1], 9955).into();
    let error = refusal(itself).await;
    assert!(
        error.contains("this very node") && error.contains("ws://localhost:9955"),
        "{error}"
    );

    let official = Server::builder().build("127.0.0.1:0").await.unwrap();
    let address = official.local_addr().unwrap();
    let official = official.start(RpcModule::new(()));
    let error = refusal(follow(directories[2].path(), &format!("ws://{address}"))).await;
    assert!(error.contains("no development node of this release"), "{error}");
    official.stop().unwrap();

    leader.controls.faults.inject("other-genesis".parse().unwrap());
    let error = refusal(follow(directories[2].path(), &leader_url)).await;
    assert!(
        error.contains("genesis hash") && error.contains("another chain"),
        "{error}"
    );
    leader.controls.faults.clear();
    // Nothing was written for any of them.
    assert_eq!(std::fs::read_dir(directories[2].path()).unwrap().count(), 0);

    let (follower, cancel, _asking) = start_follower(follow(directories[1].path(), &leader_url)).await;
    let error = refusal(follow(directories[2].path(), &url(&follower))).await;
    assert!(error.contains(&format!("follows {leader_url} itself")), "{error}");

    // A directory with another chain, and then: another chain under the leader's address.
    let mut other = config(directories[2].path(), 2);
    // Another genesis block would have to be archived first; that it is noticed is shown above.
    other.parameters.max_pieces_in_sector = 3;
    let (node, stop) = start(other.clone()).await;
    stop.cancel();
    node.stopped().await.unwrap();
    let error = refusal(follow(directories[2].path(), &leader_url)).await;
    assert!(
        error.contains("pieces in sector 2, but")
            && error.contains("holds a chain with 3")
            && error.contains("--base-path"),
        "{error}"
    );

    let address = leader.rpc_address;
    cancel_leader.cancel();
    leader.stopped().await.unwrap();
    other.rpc_listen_on = address;
    let (_node, _stop) = start_again(other).await;
    let error = within(follower.stopped()).await.unwrap_err().to_string();
    assert!(
        error.contains("a chain with pieces in sector 3 by now") && error.contains(&leader_url),
        "{error}"
    );
    drop(cancel);
}

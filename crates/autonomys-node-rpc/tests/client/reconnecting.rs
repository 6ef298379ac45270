//! Connections that break, stay silent, or lead to the wrong chain.

use crate::scripted::{Node, hex, within};
use autonomys_node_rpc::{ConnectionState, NodeClient, NodeClientConfig, NodeCondition, NodeRpcError, names};
use futures::StreamExt;
use serde_json::json;
use std::time::Duration;
use subspace_core_primitives::hashes::Blake3Hash;
use subspace_core_primitives::rpc::{RewardSignatureResponse, SolutionResponse};
use subspace_core_primitives::segments::SegmentIndex;
use subspace_core_primitives::solutions::Solution;
use tokio_util::sync::CancellationToken;

fn start(urls: &[String]) -> NodeClient {
    NodeClient::new(urls, CancellationToken::new()).unwrap()
}

fn solution(slot_number: u64) -> SolutionResponse {
    SolutionResponse {
        slot_number,
        solution: Solution::genesis_solution([1; 32].into(), [2; 32].into()),
    }
}

#[tokio::test]
async fn slots_and_solutions_across_a_restart() {
    let mut node = Node::new();
    let client = start(&[node.url()]);
    let mut slots = client.slot_info();
    let mut rewards = client.reward_signing();
    within(client.connected()).await.unwrap();
    node.announce_slot(1).await;
    let first = within(slots.next()).await.unwrap();
    assert_eq!(
        (first.slot_info.slot_number, first.slot_info.solution_range),
        (1, u64::MAX)
    );
    node.rewards
        .send(json!({ "hash": hex(3, 32), "publicKey": hex(4, 32) }))
        .unwrap();
    assert_eq!(within(rewards.next()).await.unwrap().hash, Blake3Hash([3; 32]));
    client.submit_solution_response(&solution(1)).await.unwrap();
    assert!(matches!(
        client.submit_solution_response(&solution(2)).await,
        Err(NodeRpcError::SlotLost { slot: 2 })
    ));

    node.stop().await;
    let mut state = client.state();
    within(state.wait_for(|state| matches!(state, ConnectionState::Connecting { .. })))
        .await
        .unwrap();
    let error = client.submit_solution_response(&solution(1)).await.unwrap_err();
    assert!(
        matches!(error, NodeRpcError::NotConnected { .. }) && !error.is_outcome_unknown(),
        "{error}"
    );
    // Reads wait for the next connection instead.
    let reading = tokio::spawn({
        let client = client.clone();
        async move { client.farmer_app_info().await }
    });
    node.start();
    within(reading).await.unwrap().unwrap();
    within(client.connected()).await.unwrap();
    assert_eq!(node.calls(names::SLOT_INFO.subscribe), 2);
    // What was announced on the old connection is lost.
    assert!(matches!(
        client.submit_solution_response(&solution(1)).await,
        Err(NodeRpcError::SlotLost { slot: 1 })
    ));
    node.announce_slot(9).await;
    let second = within(slots.next()).await.unwrap();
    assert_eq!(second.slot_info.slot_number, 9);
    assert!(second.connection > first.connection);
    client.submit_solution_response(&solution(9)).await.unwrap();
    node.script.lock().solution_error = Some((9001, "Solution was ignored"));
    assert!(
        client
            .submit_solution_response(&solution(9))
            .await
            .unwrap_err()
            .is_solution_ignored()
    );
    node.script.lock().solution_error = Some((-32001, "Custom error: Solution was ignored"));
    assert!(
        client
            .submit_solution_response(&solution(9))
            .await
            .unwrap_err()
            .is_solution_ignored()
    );
    drop((client, state));
    assert!(within(slots.next()).await.is_none());
}

#[tokio::test]
async fn an_unanswered_call_has_an_unknown_outcome() {
    let node = Node::new();
    node.script.lock().silent_signatures = true;
    let client = start(&[node.url()]);
    within(client.connected()).await.unwrap();
    let response = RewardSignatureResponse {
        hash: Blake3Hash([1; 32]),
        signature: None,
    };
    let error = within(client.submit_reward_signature(&response))
        .await
        .unwrap_err();
    assert!(
        matches!(error, NodeRpcError::Timeout { .. }) && error.is_outcome_unknown(),
        "{error}"
    );
    // The socket still works.
    assert!(client.piece(0.into()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_silent_subscription_is_renewed() {
    let node = Node::new();
    let mut config = NodeClientConfig::new([node.url()]);
    config.silent_slots_after = Duration::from_millis(100);
    let client = NodeClient::with_config(config, CancellationToken::new()).unwrap();
    within(client.connected()).await.unwrap();
    // Subscribed again first; still silent: a new connection.
    let renewed = async {
        while node.calls(names::SLOT_INFO.subscribe) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(renewed).await;
    let mut state = client.state();
    let is_second = |state: &ConnectionState| matches!(state, ConnectionState::Connected { connection, .. } if *connection > 1);
    within(state.wait_for(is_second)).await.unwrap();
    // A syncing node may be silent.
    node.script.lock().syncing = true;
    within(client.connected()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let before = node.calls(names::SLOT_INFO.subscribe);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(node.calls(names::SLOT_INFO.subscribe), before);
}

#[tokio::test]
async fn another_chain_under_the_same_address_is_fatal() {
    let mut node = Node::new();
    let client = start(&[node.url()]);
    within(client.connected()).await.unwrap();
    node.stop().await;
    node.script.lock().genesis = 2;
    node.start();
    let mut state = client.state();
    within(state.wait_for(|state| matches!(state, ConnectionState::Failed(_))))
        .await
        .unwrap();
    let error = client.farmer_app_info().await.unwrap_err();
    assert!(matches!(error, NodeRpcError::GenesisChanged { .. }), "{error}");
    assert!(
        error.to_string().contains(&hex(1, 32)) && error.to_string().contains(&hex(2, 32)),
        "{error}"
    );
    assert!(matches!(
        client.submit_solution_response(&solution(1)).await,
        Err(NodeRpcError::GenesisChanged { .. })
    ));
}

#[tokio::test]
async fn the_first_healthy_node_is_used() {
    let mut other_chain = Node::new();
    let syncing = Node::new();
    let mut good = Node::new();
    other_chain.script.lock().genesis = 9;
    syncing.script.lock().syncing = true;
    let mut config = NodeClientConfig::new([other_chain.url(), syncing.url(), good.url()]);
    config.genesis_hash = Some(Blake3Hash([1; 32]));
    let client = NodeClient::with_config(config, CancellationToken::new()).unwrap();
    assert_eq!(within(client.connected()).await.unwrap(), good.url());
    // A syncing node is better than none.
    good.stop().await;
    drop(good);
    let mut state = client.state();
    let is_syncing = |state: &ConnectionState| matches!(state, ConnectionState::Connected { url, .. } if *url == syncing.url());
    within(state.wait_for(is_syncing)).await.unwrap();
    other_chain.stop().await;
}

#[tokio::test]
async fn a_node_that_falls_behind_gives_way_to_one_that_does_not() {
    let (first, mut second) = (Node::new(), Node::new());
    let mut config = NodeClientConfig::new([first.url(), second.url()]);
    config.look_every = Duration::from_millis(20);
    let client = NodeClient::with_config(config, CancellationToken::new()).unwrap();
    let mut state = client.state();
    let connected_to = |url: String| move |state: &ConnectionState| matches!(state, ConnectionState::Connected { url: current, .. } if *current == url);
    within(state.wait_for(connected_to(first.url()))).await.unwrap();
    let conditions = |client: &NodeClient| -> Vec<_> {
        let health = client.health();
        health.iter().map(|node| (node.condition, node.in_use)).collect()
    };
    let wait_for = async |expected: [(NodeCondition, bool); 2]| {
        while conditions(&client) != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    use NodeCondition::{Healthy, Syncing, Unreachable};
    within(wait_for([(Healthy, true), (Healthy, false)])).await;
    first.script.lock().syncing = true;
    within(state.wait_for(connected_to(second.url()))).await.unwrap();
    within(wait_for([(Syncing, false), (Healthy, true)])).await;
    // Well again: it stands by, and is there when it is needed.
    first.script.lock().syncing = false;
    within(wait_for([(Healthy, false), (Healthy, true)])).await;
    let url = first.url();
    second.stop().await;
    drop(second);
    within(state.wait_for(connected_to(url))).await.unwrap();
    within(wait_for([(Healthy, true), (Unreachable, false)])).await;
    // When nobody is well the one that is connected is kept.
    first.script.lock().syncing = true;
    within(wait_for([(Syncing, true), (Unreachable, false)])).await;
    let kept = tokio::time::timeout(Duration::from_millis(200), state.changed()).await;
    assert!(kept.is_err(), "{:?}", client.state().borrow());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let node = Node::new();
    node.script.lock().allow_unsafe = false;
    let client = start(&[node.url()]);
    within(client.connected()).await.unwrap();
    let state = client.state().borrow().clone();
    assert!(
        matches!(
            state,
            ConnectionState::Connected {
                unsafe_allowed: false,
                ..
            }
        ),
        "{state:?}"
    );
    let indexes = vec![SegmentIndex::ZERO; 1001];
    let error = client.segment_headers(&indexes).await.unwrap_err();
    assert!(
        matches!(
            error,
            NodeRpcError::TooManyItems {
                limit: 1000,
                given: 1001,
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        client.last_segment_headers(1001).await,
        Err(NodeRpcError::TooManyItems { .. })
    ));
    assert_eq!(client.last_segment_headers(5).await.unwrap().len(), 1);
    // A recent copy is good enough for many askers.
    let before = node.calls(names::GET_FARMER_APP_INFO);
    for _ in 0..50 {
        client.recent_farmer_app_info().await.unwrap();
    }
    assert!(node.calls(names::GET_FARMER_APP_INFO) <= before + 2);
    assert!(NodeClient::new(Vec::<String>::new(), CancellationToken::new()).is_err());
    assert!(NodeClient::new(["127.0.0.1:9944"], CancellationToken::new()).is_err());
}

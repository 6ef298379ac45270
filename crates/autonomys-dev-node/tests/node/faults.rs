//! Everything that can be made to go wrong does go wrong.

use crate::farmer::Farmer;
use crate::raw::Raw;
use crate::support::{client, config, start, url, within};
use autonomys_node_rpc::{ConnectionState, NodeClient, NodeClientConfig, NodeRpcError, names};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::rpc::SolutionResponse;
use tokio_util::sync::CancellationToken;

async fn slot_numbers(raw: &mut Raw, subscription: &Value, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(
            raw.item(names::SLOT_INFO.item, subscription).await["slotNumber"]
                .as_u64()
                .unwrap(),
        );
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_go_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 2);
    config.faults = [
        "skip-slots@3..4",
        "slot-burst=3@6",
        "pot-reorg@10",
        "late-slots=150@12",
        "syncing@14..15",
    ]
    .iter()
    .map(|fault| fault.parse().unwrap())
    .collect();
    let (node, _cancel) = start(config).await;
    let mut raw = Raw::connect(&node).await;
    let slots = raw.call(names::SLOT_INFO.subscribe, json!([])).await.unwrap();
    node.controls.step_slots(5);
    assert_eq!(slot_numbers(&mut raw, &slots, 3).await, [1, 2, 5]);
    // Slots 6 to 8 come together with the last of them.
    node.controls.step_slots(2);
    let none = tokio::time::timeout(Duration::from_millis(100), raw.notification()).await;
    assert!(none.is_err());
    node.controls.step_slots(2);
    assert_eq!(slot_numbers(&mut raw, &slots, 4).await, [6, 7, 8, 9]);
    node.controls.step_slots(1);
    let forged = raw.item(names::SLOT_INFO.item, &slots).await;
    let real = raw.item(names::SLOT_INFO.item, &slots).await;
    assert_eq!(
        (&forged["slotNumber"], &real["slotNumber"]),
        (&json!(10), &json!(10))
    );
    assert_ne!(forged["globalChallenge"], real["globalChallenge"]);
    node.controls.step_slots(1);
    assert_eq!(slot_numbers(&mut raw, &slots, 1).await, [11]);
    let started = Instant::now();
    node.controls.step_slots(2);
    assert_eq!(slot_numbers(&mut raw, &slots, 2).await, [12, 13]);
    assert!(started.elapsed() >= Duration::from_millis(150));
    node.controls.step_slots(1);
    let is_syncing = async {
        while raw.call(names::GET_FARMER_APP_INFO, json!([])).await.unwrap()["syncing"] != json!(true) {
            tokio::task::yield_now().await;
        }
    };
    within(is_syncing).await;
    assert_eq!(
        raw.call(names::SYSTEM_HEALTH, json!([])).await.unwrap()["isSyncing"],
        json!(true)
    );
    node.controls.step_slots(2);
    assert_eq!(slot_numbers(&mut raw, &slots, 1).await, [16]);
    assert_eq!(
        raw.call(names::GET_FARMER_APP_INFO, json!([])).await.unwrap()["syncing"],
        json!(false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 2)).await;
    let mut raw = Raw::connect(&node).await;
    let faults = &node.controls.faults;
    let good = raw.call(names::PIECE, json!([5])).await.unwrap();
    faults.inject("missing-piece=5".parse().unwrap());
    assert_eq!(raw.call(names::PIECE, json!([5])).await.unwrap(), Value::Null);
    assert!(raw.call(names::PIECE, json!([6])).await.unwrap().is_string());
    faults.clear();
    faults.inject("corrupt-piece=all".parse().unwrap());
    let bad = raw.call(names::PIECE, json!([5])).await.unwrap();
    let digits = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let different = digits(&good)
        .iter()
        .zip(digits(&bad))
        .filter(|(a, b)| **a != *b)
        .count();
    assert_eq!(different, 1);
    faults.clear();

    let mut farmer = Farmer::plot(client(&node).await, 3).await;
    faults.inject("refuse-solutions".parse().unwrap());
    node.controls.step_slots(1);
    let slot = farmer.slot().await;
    let solution = farmer.solve(&slot, |_| true).unwrap_or_else(|| {
        subspace_core_primitives::solutions::Solution::genesis_solution(
            farmer.public_key(),
            farmer.public_key(),
        )
    });
    let response = SolutionResponse {
        slot_number: slot.slot_number,
        solution,
    };
    let error = farmer
        .client
        .submit_solution_response(&response)
        .await
        .unwrap_err();
    assert!(error.is_solution_ignored(), "{error}");
    let unknown = SolutionResponse {
        slot_number: slot.slot_number + 9,
        solution,
    };
    let error = farmer
        .client
        .submit_solution_response(&unknown)
        .await
        .unwrap_err();
    assert!(matches!(error, NodeRpcError::SlotLost { .. }), "{error}");
    faults.clear();

    // Signing requests: for a stranger, for us without a block, and every one twice.
    assert_eq!(farmer.mine(&node).await, 1);
    faults.inject("foreign-signing".parse().unwrap());
    node.controls.step_slots(1);
    farmer.slot().await;
    let request = within(farmer.signing.next()).await.unwrap();
    assert_ne!(request.public_key, farmer.public_key());
    faults.clear();
    faults.inject("early-signing".parse().unwrap());
    node.controls.step_slots(1);
    farmer.slot().await;
    farmer.sign().await;
    faults.clear();
    faults.inject("double-signing".parse().unwrap());
    faults.inject("import-stall=200".parse().unwrap());
    let started = Instant::now();
    assert_eq!(farmer.mine(&node).await, 2);
    assert!(started.elapsed() >= Duration::from_millis(200));
    let repeated = within(farmer.signing.next()).await.unwrap();
    assert_eq!(repeated.public_key, farmer.public_key());
    faults.clear();

    faults.inject("unanswered=subspace_segmentHeaders".parse().unwrap());
    let pending = raw.call(names::SEGMENT_HEADERS, json!([[0]]));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), pending)
            .await
            .is_err()
    );
    faults.clear();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_go_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 2)).await;
    let mut raw = Raw::connect(&node).await;
    let client =
        NodeClient::with_config(NodeClientConfig::new([url(&node)]), CancellationToken::new()).unwrap();
    within(client.connected()).await.unwrap();
    let mut slots = client.slot_info();
    node.controls.step_slots(1);
    let before = within(slots.next()).await.unwrap();
    node.controls.faults.inject("close-sockets@2".parse().unwrap());
    node.controls.step_slots(1);
    raw.closed().await;
    // The client comes back by itself, with a new connection that knows nothing of the old slots.
    let mut state = client.state();
    within(state.wait_for(|state| matches!(state, ConnectionState::Connected { connection, .. } if *connection > before.connection)))
        .await
        .unwrap();
    node.controls.step_slots(1);
    // The slot at which the sockets were closed may or may not have got through before.
    let after = loop {
        let slot = within(slots.next()).await.unwrap();
        if slot.connection > before.connection {
            break slot;
        }
    };
    assert!(after.slot_info.slot_number > before.slot_info.slot_number + 1);
    let solution =
        subspace_core_primitives::solutions::Solution::genesis_solution([1; 32].into(), [1; 32].into());
    for (slot, is_lost) in [(before, true), (after, false)] {
        let response = SolutionResponse {
            slot_number: slot.slot_info.slot_number,
            solution,
        };
        let result = client.submit_solution_response(&response).await;
        assert_eq!(
            matches!(result, Err(NodeRpcError::SlotLost { .. })),
            is_lost,
            "{result:?}"
        );
    }
    assert!(client.piece(PieceIndex::ZERO).await.unwrap().is_some());
    // Another chain under the same address is fatal.
    node.controls.faults.inject("other-genesis".parse().unwrap());
    node.controls.close_sockets();
    let failed = within(state.wait_for(|state| matches!(state, ConnectionState::Failed(_))))
        .await
        .unwrap()
        .clone();
    assert!(
        matches!(&failed, ConnectionState::Failed(error) if matches!(**error, NodeRpcError::GenesisChanged { .. })),
        "{failed:?}"
    );
    assert!(matches!(
        client.farmer_app_info().await,
        Err(NodeRpcError::GenesisChanged { .. })
    ));
    assert!(within(slots.next()).await.is_none());
}

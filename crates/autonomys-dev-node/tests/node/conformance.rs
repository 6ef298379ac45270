//! The wire as official farmers expect it.

use crate::raw::Raw;
use crate::support::{config, start, url, within};
use autonomys_dev_node::RpcMethods;
use autonomys_node_rpc::limits;
use autonomys_node_rpc::names;
use serde_json::{Value, json};

fn is_hex(value: &Value, bytes: usize) -> bool {
    let text = value.as_str().unwrap();
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn solution(slot: u64) -> Value {
    json!([{ "slotNumber": slot, "solution": {
        "publicKey": "11".repeat(32), "rewardAddress": "22".repeat(32), "sectorIndex": 17, "historySize": 205,
        "pieceOffset": 731, "recordCommitment": "33".repeat(48), "recordWitness": "44".repeat(48),
        "chunk": vec![255; 32], "chunkWitness": "55".repeat(48), "proofOfSpace": "66".repeat(160) } }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 5)).await;
    let mut raw = Raw::connect(&node).await;

    // Parameters absent, empty or null; ids are echoed as they came.
    let app_info = raw
        .exchange(r#"{"jsonrpc":"2.0","id":0,"method":"subspace_getFarmerAppInfo"}"#)
        .await;
    assert_eq!(app_info["id"], json!(0));
    for (params, id) in [("[]", "7"), ("null", "\"text\""), ("[]", "\"\"")] {
        let method = names::GET_FARMER_APP_INFO;
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let response = raw.exchange(&request).await;
        assert_eq!(response["result"], app_info["result"]);
        assert_eq!(response["id"].to_string(), id);
        let request = request.replace(method, names::SLOT_INFO.subscribe);
        assert_eq!(
            raw.exchange(&request).await["result"].as_str().unwrap().len(),
            16,
            "{params}"
        );
    }
    let info = &app_info["result"];
    assert_eq!(info["genesisHash"], json!(node.genesis_hash.to_string()));
    assert!(is_hex(&info["genesisHash"], 32));
    let expected = json!({
        "genesisHash": info["genesisHash"], "dsnBootstrapNodes": [], "syncing": false,
        "farmingTimeout": { "secs": 4, "nanos": 0 },
        "protocolInfo": { "historySize": 1, "maxPiecesInSector": 5, "recentSegments": 5,
            "recentHistoryFraction": [1, 10], "minSectorLifetime": 4 } });
    assert_eq!(*info, expected);

    // Headers: order and nulls are kept, 1000 are allowed.
    let headers = raw
        .call(names::SEGMENT_HEADERS, json!([[999_999, 0, 1, 0]]))
        .await
        .unwrap();
    assert_eq!(
        (&headers[0], &headers[2], &headers[1]),
        (&Value::Null, &Value::Null, &headers[3])
    );
    let header = &headers[1]["v0"];
    assert!(is_hex(&header["segmentCommitment"], 48));
    assert_eq!(header["prevSegmentHeaderHash"], json!("0".repeat(64)));
    assert_eq!(
        header["lastArchivedBlock"],
        json!({ "number": 0, "archivedProgress": { "partial": 130_023_418 } })
    );
    assert_eq!(
        raw.call(names::LAST_SEGMENT_HEADERS, json!([1000]))
            .await
            .unwrap(),
        json!([headers[1]])
    );
    let limit = limits::MAX_SEGMENT_HEADERS_PER_REQUEST;
    let many = |count: usize| json!([(0..count).collect::<Vec<_>>()]);
    assert_eq!(
        raw.call(names::SEGMENT_HEADERS, many(limit))
            .await
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        limit
    );
    for (method, params) in [
        (names::SEGMENT_HEADERS, many(limit + 1)),
        (names::LAST_SEGMENT_HEADERS, json!([limit + 1])),
    ] {
        let error = raw.call(method, params).await.unwrap_err();
        assert_eq!(error["code"], json!(9001));
        assert!(
            error["message"].as_str().unwrap().contains("1000") && error.get("data").is_none(),
            "{error}"
        );
    }

    // Pieces are plain hexadecimal text, solutions without a mailbox are refused, anything else is malformed.
    assert!(is_hex(
        &raw.call(names::PIECE, json!([255])).await.unwrap(),
        1_048_672
    ));
    assert_eq!(raw.call(names::PIECE, json!([256])).await.unwrap(), Value::Null);
    let error = raw
        .call(names::SUBMIT_SOLUTION_RESPONSE, solution(1))
        .await
        .unwrap_err();
    assert_eq!(error, json!({ "code": 9001, "message": "Solution was ignored" }));
    for (method, params) in [
        (names::SUBMIT_SOLUTION_RESPONSE, json!([{ "slotNumber": 1 }])),
        (names::PIECE, json!(["0"])),
        (names::PIECE, json!([])),
        (names::SEGMENT_HEADERS, json!([["x"]])),
    ] {
        assert_eq!(
            raw.call(method, params).await.unwrap_err()["code"],
            json!(-32602),
            "{method}"
        );
    }
    let prefixed = solution(1)
        .to_string()
        .replace(&"11".repeat(32), &format!("0x{}", "11".repeat(31)));
    let prefixed = serde_json::from_str(&prefixed).unwrap();
    assert_eq!(
        raw.call(names::SUBMIT_SOLUTION_RESPONSE, prefixed)
            .await
            .unwrap_err()["code"],
        json!(-32602)
    );
    assert_eq!(
        raw.call("subspace_nothing", json!([])).await.unwrap_err()["code"],
        json!(-32601)
    );
    let hash = "ab".repeat(32);
    let answer = json!([{ "hash": hash, "signature": null }]);
    assert_eq!(
        raw.call(names::SUBMIT_REWARD_SIGNATURE, answer).await.unwrap(),
        Value::Null
    );
    for index in [0, 5] {
        let method = names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER;
        assert_eq!(raw.call(method, json!([index])).await.unwrap(), Value::Null);
    }

    let methods = raw.call("rpc_methods", json!([])).await.unwrap();
    let methods = methods["methods"].as_array().unwrap();
    for subscription in [
        names::SLOT_INFO,
        names::REWARD_SIGNING,
        names::ARCHIVED_SEGMENT_HEADER,
        names::OBJECT_MAPPINGS,
        names::FILTERED_OBJECT_MAPPINGS,
        names::NEW_HEADS,
        names::FINALIZED_HEADS,
    ] {
        assert!(
            methods.contains(&json!(subscription.subscribe))
                && methods.contains(&json!(subscription.unsubscribe))
        );
    }
    for method in [
        "rpc_methods",
        names::CHAIN_GET_BLOCK,
        names::SYSTEM_HEALTH,
        names::PIECE,
    ] {
        assert!(methods.contains(&json!(method)), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chain_and_system() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 5)).await;
    let mut raw = Raw::connect(&node).await;
    let genesis = json!(format!("0x{}", node.genesis_hash));
    let method = names::CHAIN_GET_BLOCK_HASH;
    for params in [json!([]), Value::Null, json!([null]), json!([0]), json!(["0x0"])] {
        assert_eq!(raw.call(method, params).await.unwrap(), genesis);
    }
    assert_eq!(raw.call(method, json!([1])).await.unwrap(), Value::Null);
    assert_eq!(
        raw.call(method, json!([[0, "0x5", 0]])).await.unwrap(),
        json!([genesis, null, genesis])
    );
    assert_eq!(
        raw.call(names::CHAIN_GET_FINALIZED_HEAD, json!([]))
            .await
            .unwrap(),
        genesis
    );
    let header = raw.call(names::CHAIN_GET_HEADER, json!([])).await.unwrap();
    assert_eq!(header["number"], json!("0x0"));
    assert_eq!(header["parentHash"], json!(format!("0x{}", "0".repeat(64))));
    let block = raw.call(names::CHAIN_GET_BLOCK, json!([genesis])).await.unwrap();
    assert_eq!(
        block,
        json!({ "block": { "header": header, "extrinsics": [] }, "justifications": null })
    );
    let unknown = json!([format!("0x{}", "ab".repeat(32))]);
    assert_eq!(
        raw.call(names::CHAIN_GET_BLOCK, unknown).await.unwrap(),
        Value::Null
    );
    let heads = raw.call(names::NEW_HEADS.subscribe, json!([])).await.unwrap();
    assert_eq!(raw.item(names::NEW_HEADS.item, &heads).await, header);
    let finalized = raw
        .call(names::FINALIZED_HEADS.subscribe, json!([]))
        .await
        .unwrap();
    assert_eq!(raw.item(names::FINALIZED_HEADS.item, &finalized).await, header);

    let health = raw.call(names::SYSTEM_HEALTH, json!([])).await.unwrap();
    assert_eq!(
        health,
        json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false })
    );
    let sync_state = raw.call("system_syncState", json!([])).await.unwrap();
    assert_eq!(
        sync_state,
        json!({ "startingBlock": 0, "currentBlock": 0, "highestBlock": 0 })
    );
    for method in [
        names::SYSTEM_NAME,
        names::SYSTEM_VERSION,
        names::SYSTEM_CHAIN,
        "system_localPeerId",
    ] {
        assert!(
            !raw.call(method, json!([]))
                .await
                .unwrap()
                .as_str()
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(
        raw.call("system_chainType", json!([])).await.unwrap(),
        json!("Development")
    );
    assert!(raw.call("system_properties", json!([])).await.unwrap()["ss58Format"].is_u64());
    assert_eq!(
        raw.call("system_nodeRoles", json!([])).await.unwrap(),
        json!(["Authority"])
    );

    // Batches are answered in one array.
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": names::CHAIN_GET_BLOCK, "params": [genesis] },
        { "jsonrpc": "2.0", "id": 2, "method": "chain_nothing" } ]);
    let responses = raw.exchange(&batch.to_string()).await;
    assert_eq!(responses[0]["result"], block);
    assert_eq!(responses[1]["error"]["code"], json!(-32601));
    // Requests above the limit are refused.
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":["{}"]}}"#,
        "a".repeat(16 << 20)
    );
    assert_eq!(raw.exchange(&large).await["error"]["code"], json!(-32007));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 5)).await;
    let mut first = Raw::connect(&node).await;
    let mut second = Raw::connect(&node).await;
    // Nobody subscribed: no mailbox.
    node.controls.step_slots(3);
    within(node.controls.slot().wait_for(|slot| *slot == 3))
        .await
        .unwrap();
    let ignored = json!({ "code": 9001, "message": "Solution was ignored" });
    let mut subscriptions = Vec::new();
    for raw in [&mut first, &mut second] {
        let subscription = raw.call(names::SLOT_INFO.subscribe, json!([])).await.unwrap();
        let id = subscription.as_str().unwrap();
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{id}"
        );
        subscriptions.push(subscription);
    }
    assert_ne!(subscriptions[0], subscriptions[1]);
    // Both get each item, from the next slot on.
    node.controls.step_slots(2);
    let mut slot = 0;
    for _ in 0..2 {
        let item = first.item(names::SLOT_INFO.item, &subscriptions[0]).await;
        assert_eq!(second.item(names::SLOT_INFO.item, &subscriptions[1]).await, item);
        assert!(is_hex(&item["globalChallenge"], 32));
        // Numbers above 2^53 arrive whole.
        assert_eq!(item["solutionRange"], json!(u64::MAX));
        assert_eq!(item["votingSolutionRange"], json!(u64::MAX));
        assert_eq!(item.as_object().unwrap().len(), 4);
        slot = item["slotNumber"].as_u64().unwrap();
    }
    assert!(slot > 1);
    assert_eq!(
        first
            .call(names::SUBMIT_SOLUTION_RESPONSE, solution(slot))
            .await
            .unwrap(),
        Value::Null
    );
    assert_eq!(
        first
            .call(names::SUBMIT_SOLUTION_RESPONSE, solution(slot + 1))
            .await
            .unwrap_err(),
        ignored
    );
    assert_eq!(
        first
            .call(names::SUBMIT_SOLUTION_RESPONSE, solution(1))
            .await
            .unwrap_err(),
        ignored
    );
    // The mailbox closes when the node builds on the slot.
    node.controls.step_slots(4);
    for _ in 0..4 {
        second.item(names::SLOT_INFO.item, &subscriptions[1]).await;
    }
    let closed = async {
        while first
            .call(names::SUBMIT_SOLUTION_RESPONSE, solution(slot))
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    within(closed).await;
    // Unsubscribing is answered with whether there was such a subscription.
    for expected in [true, false] {
        let params = json!([subscriptions[1]]);
        assert_eq!(
            second.call(names::SLOT_INFO.unsubscribe, params).await.unwrap(),
            json!(expected)
        );
    }
    let mappings = second
        .call(names::OBJECT_MAPPINGS.subscribe, json!([]))
        .await
        .unwrap();
    assert_eq!(mappings.as_str().unwrap().len(), 16);
    let hashes = |count: usize| json!([vec!["ab".repeat(32); count]]);
    let method = names::FILTERED_OBJECT_MAPPINGS.subscribe;
    assert!(second.call(method, hashes(1000)).await.unwrap().is_string());
    assert_eq!(
        second.call(method, hashes(1001)).await.unwrap_err()["code"],
        json!(9001)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsafe_methods_disabled() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 5);
    config.rpc_methods = RpcMethods::Safe;
    config.official_pieces = true;
    let (node, _cancel) = start(config).await;
    let mut raw = Raw::connect(&node).await;
    let refused = json!({ "code": -32601, "message": "RPC call is unsafe to be called externally" });
    for (method, params) in [
        (names::SUBMIT_SOLUTION_RESPONSE, solution(1)),
        (
            names::SUBMIT_REWARD_SIGNATURE,
            json!([{ "hash": "ab".repeat(32), "signature": null }]),
        ),
        (names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER, json!([0])),
        (names::PIECE, json!([0])),
    ] {
        assert_eq!(raw.call(method, params).await.unwrap_err(), refused, "{method}");
    }
    let error = raw
        .call(names::REWARD_SIGNING.subscribe, json!([]))
        .await
        .unwrap_err();
    assert_eq!(error["code"], json!(-32603));
    let slots = raw.call(names::SLOT_INFO.subscribe, json!([])).await.unwrap();
    assert!(
        raw.call(names::ARCHIVED_SEGMENT_HEADER.subscribe, json!([]))
            .await
            .unwrap()
            .is_string()
    );
    node.controls.step_slots(1);
    assert_eq!(
        raw.item(names::SLOT_INFO.item, &slots).await["slotNumber"],
        json!(1)
    );
    // Our own client says what has to be done.
    let cancel = tokio_util::sync::CancellationToken::new();
    let client = autonomys_node_rpc::NodeClient::new([url(&node)], cancel).unwrap();
    within(client.connected()).await.unwrap();
    let state = client.state().borrow().clone();
    assert!(
        matches!(
            state,
            autonomys_node_rpc::ConnectionState::Connected {
                unsafe_allowed: false,
                ..
            }
        ),
        "{state:?}"
    );
    let error = client.piece(0.into()).await.unwrap_err();
    assert!(error.is_unsafe_not_allowed(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 5);
    config.official_pieces = true;
    let (node, _cancel) = start(config).await;
    let mut raw = Raw::connect(&node).await;
    // Without a newer segment that somebody holds, only the genesis segment is there.
    assert!(raw.call(names::PIECE, json!([7])).await.unwrap().is_string());
    assert_eq!(raw.call(names::PIECE, json!([300])).await.unwrap(), Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_come_by_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), 5);
    config.slot_pace = autonomys_dev_node::SlotPace::Timer;
    config.slot_duration = std::time::Duration::from_millis(20);
    let (node, cancel) = start(config.clone()).await;
    let mut raw = Raw::connect(&node).await;
    let info = raw.call(names::GET_FARMER_APP_INFO, json!([])).await.unwrap();
    assert_eq!(info["farmingTimeout"], json!({ "secs": 0, "nanos": 80_000_000 }));
    let slots = raw.call(names::SLOT_INFO.subscribe, json!([])).await.unwrap();
    let started = std::time::Instant::now();
    let first = raw.item(names::SLOT_INFO.item, &slots).await["slotNumber"]
        .as_u64()
        .unwrap();
    for slot in first + 1..first + 10 {
        assert_eq!(
            raw.item(names::SLOT_INFO.item, &slots).await["slotNumber"],
            json!(slot)
        );
    }
    assert!(started.elapsed() >= std::time::Duration::from_millis(100));
    // After a restart slots go on behind the last one that was announced.
    cancel.cancel();
    node.stopped().await.unwrap();
    let (node, _cancel) = start(config).await;
    let mut slot = node.controls.slot();
    let last = *slot.borrow_and_update();
    assert!(last >= first + 9, "{last} is before {first} + 9");
    within(slot.wait_for(|slot| *slot > last)).await.unwrap();
}

//! Every recorded message decodes with our types and encodes to the same again.

use autonomys_node_rpc::names::{self, SubscriptionNames};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use subspace_core_primitives::pieces::PieceIndex;
use subspace_core_primitives::rpc::{
    FarmerAppInfo, RewardSignatureResponse, RewardSigningInfo, SlotInfo, SolutionResponse,
};
use subspace_core_primitives::segments::{SegmentHeader, SegmentIndex};

const SUBSCRIPTIONS: [SubscriptionNames; 3] = [
    names::SLOT_INFO,
    names::REWARD_SIGNING,
    names::ARCHIVED_SEGMENT_HEADER,
];

fn survives<T: DeserializeOwned + Serialize>(value: &Value) {
    let decoded: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    assert_eq!(serde_json::to_value(&decoded).unwrap(), *value);
}

fn params<T: DeserializeOwned + Serialize>(message: &Value) {
    survives::<(T,)>(&message["params"]);
}

fn request(message: &Value) {
    let method = message["method"].as_str().unwrap();
    match method {
        names::GET_FARMER_APP_INFO => assert!(message.get("params").is_none()),
        names::SEGMENT_HEADERS => params::<Vec<SegmentIndex>>(message),
        names::PIECE => params::<PieceIndex>(message),
        names::SUBMIT_SOLUTION_RESPONSE => params::<SolutionResponse>(message),
        names::SUBMIT_REWARD_SIGNATURE => params::<RewardSignatureResponse>(message),
        names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER => params::<SegmentIndex>(message),
        _ if SUBSCRIPTIONS.iter().any(|names| names.subscribe == method) => {
            assert!(message.get("params").is_none());
        }
        _ if SUBSCRIPTIONS.iter().any(|names| names.unsubscribe == method) => params::<String>(message),
        _ => panic!("unknown method in {message}"),
    }
}

fn response(method: &str, message: &Value) {
    let result = &message["result"];
    match method {
        names::GET_FARMER_APP_INFO => survives::<FarmerAppInfo>(result),
        names::SEGMENT_HEADERS => survives::<Vec<Option<SegmentHeader>>>(result),
        names::PIECE => {
            // Abridged in the recording: the length must be that of a piece as hexadecimal text.
            let digits = 2 * subspace_core_primitives::pieces::PIECE_SIZE;
            let text = result.as_str().unwrap();
            assert!(
                text.starts_with(&format!("HEX[{digits} chars, blake3 of the bytes ")),
                "{text}"
            );
        }
        names::SUBMIT_SOLUTION_RESPONSE
        | names::SUBMIT_REWARD_SIGNATURE
        | names::ACKNOWLEDGE_ARCHIVED_SEGMENT_HEADER => survives::<()>(result),
        _ if method.contains("_subscribe") => survives::<String>(result),
        _ if method.contains("_unsubscribe") => survives::<bool>(result),
        _ => panic!("unknown method {method}"),
    }
}

fn notification(message: &Value) {
    let result = &message["params"]["result"];
    assert!(message["params"]["subscription"].is_string());
    match message["method"].as_str().unwrap() {
        item if item == names::SLOT_INFO.item => survives::<SlotInfo>(result),
        item if item == names::REWARD_SIGNING.item => survives::<RewardSigningInfo>(result),
        item if item == names::ARCHIVED_SEGMENT_HEADER.item => survives::<SegmentHeader>(result),
        item => panic!("unknown notification {item}"),
    }
}

#[test]
fn recorded_messages_decode() {
    let section = autonomys_test_support::whole_file("official_rpc_traffic.jsonl");
    let mut asked: HashMap<(u64, String), String> = HashMap::new();
    let mut last_time = 0.0;
    let (mut requests, mut responses, mut notifications) = (0, 0, 0);
    for line in section.root().items() {
        let time = line.get("t").value().as_f64().unwrap();
        assert!(time >= last_time);
        last_time = time;
        let connection = line.get("connection").u64();
        let raw = line.get("raw");
        let message: Value = match raw.value() {
            Value::String(text) => {
                assert!(line.get("message").is_null());
                serde_json::from_str(text).unwrap()
            }
            _ => line.get("message").value().clone(),
        };
        match line.get("dir").str() {
            "note" => assert!(message.is_string()),
            "farmer->node" => {
                assert_eq!(message["jsonrpc"], "2.0");
                request(&message);
                let method = message["method"].as_str().unwrap().to_string();
                asked.insert((connection, message["id"].to_string()), method);
                requests += 1;
            }
            "node->farmer" => {
                assert_eq!(message["jsonrpc"], "2.0");
                match message.get("id") {
                    Some(id) => {
                        let method = asked
                            .remove(&(connection, id.to_string()))
                            .expect("an answer follows its call");
                        response(&method, &message);
                        responses += 1;
                    }
                    None => {
                        notification(&message);
                        notifications += 1;
                    }
                }
            }
            other => panic!("unknown direction {other}"),
        }
    }
    assert_eq!((requests, asked.len()), (responses, 0));
    assert!(notifications > 0);
    section.finish();
}

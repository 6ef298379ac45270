//! Messages that the official farmer really sent, sent again to the development node.

use crate::raw::Raw;
use crate::support::{config, start};
use autonomys_node_rpc::names;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The parsed message of a line: its exact text, or the abridged form of a long one.
fn message(line: &Value) -> Value {
    match &line["raw"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        _ => line["message"].clone(),
    }
}

/// Whether two answers have the same form: the same keys and kinds of values, lists by their first element.
fn same_form(recorded: &Value, given: &Value) -> bool {
    match (recorded, given) {
        (Value::Object(recorded), Value::Object(given)) => {
            recorded.len() == given.len()
                && recorded
                    .iter()
                    .all(|(key, value)| given.get(key).is_some_and(|given| same_form(value, given)))
        }
        (Value::Array(recorded), Value::Array(given)) => match (recorded.first(), given.first()) {
            (Some(recorded), Some(given)) => same_form(recorded, given),
            _ => true,
        },
        (recorded, given) => std::mem::discriminant(recorded) == std::mem::discriminant(given),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_farmers_messages_are_answered_alike() {
    let section = autonomys_test_support::whole_file("official_rpc_traffic.jsonl");
    let lines: Vec<Value> = section
        .root()
        .items()
        .iter()
        .map(|line| line.value().clone())
        .collect();
    let mut answers = HashMap::new();
    let mut last_time = 0.0;
    for line in &lines {
        assert!(line["t"].as_f64().unwrap() >= last_time && line["connection"].is_u64());
        last_time = line["t"].as_f64().unwrap();
        if line["dir"] == json!("node->farmer") {
            let message = message(line);
            if let Some(id) = message.get("id") {
                answers.insert((line["connection"].as_u64(), id.to_string()), message);
            }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let (node, _cancel) = start(config(directory.path(), 5)).await;
    let mut raw = Raw::connect(&node).await;
    let mut subscriptions: HashMap<String, Value> = HashMap::new();
    let mut slot = 0;
    let mut sent = 0;
    for line in lines.iter().filter(|line| line["dir"] == json!("farmer->node")) {
        let mut request = message(line);
        let key = (line["connection"].as_u64(), request["id"].to_string());
        let recorded = answers
            .get(&key)
            .unwrap_or_else(|| panic!("no answer was recorded to {request}"));
        let method = request["method"].as_str().unwrap().to_string();
        if method.contains("_unsubscribe") {
            let id = &mut request["params"][0];
            *id = subscriptions[id.as_str().unwrap()].clone();
        }
        if method == names::SUBMIT_SOLUTION_RESPONSE {
            // The mailbox of its slot must be open.
            let wanted = request["params"][0]["slotNumber"].as_u64().unwrap();
            while slot < wanted {
                node.controls.step_slots(1);
                slot = loop {
                    let notification = raw.notification().await;
                    if notification["method"] == json!(names::SLOT_INFO.item) {
                        break notification["params"]["result"]["slotNumber"].as_u64().unwrap();
                    }
                };
            }
        }
        let answer = match (&line["raw"], method.contains("_unsubscribe")) {
            // The exact text where it was recorded.
            (Value::String(text), false) => raw.exchange(text).await,
            _ => raw.exchange(&request.to_string()).await,
        };
        assert_eq!(answer["id"], request["id"]);
        let (mut recorded, given) = (recorded["result"].clone(), &answer["result"]);
        if method.contains("_subscribe") {
            subscriptions.insert(recorded.as_str().unwrap().to_string(), given.clone());
        }
        if method == names::PIECE {
            // Their node had other segments; what is known here has the form that is abridged there.
            let text = recorded.as_str().unwrap();
            let digits: usize = text
                .strip_prefix("HEX[")
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            match given {
                Value::String(given) => assert_eq!(given.len(), digits),
                _ => assert!(given.is_null() && request["params"][0].as_u64().unwrap() >= 256),
            }
            recorded = given.clone();
        }
        assert!(answer.get("error").is_none(), "{request}: {answer}");
        assert!(
            same_form(&recorded, given),
            "{request}: {given} instead of {recorded}"
        );
        sent += 1;
    }
    assert_eq!(sent, answers.len());
    section.finish();
}

//! Typed access to fields of the vectors.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use autonomys_test_support::Node;
use parity_scale_codec::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use subspace_core_primitives::segments::HistorySize;

pub(crate) fn history_size(node: &Node<'_>) -> HistorySize {
    HistorySize::from_segments(node.u64()).expect("history sizes are not zero")
}

pub(crate) fn optional<T>(node: &Node<'_>, read: impl Fn(&Node<'_>) -> T) -> Option<T> {
    if node.is_null() { None } else { Some(read(node)) }
}

pub(crate) fn pair(node: &Node<'_>) -> (u64, u64) {
    let items = node.items();
    assert_eq!(items.len(), 2, "{}", node.path());
    (items[0].u64(), items[1].u64())
}

pub(crate) fn history_size_pair(node: &Node<'_>) -> (HistorySize, HistorySize) {
    let items = node.items();
    assert_eq!(items.len(), 2, "{}", node.path());
    (history_size(&items[0]), history_size(&items[1]))
}

/// Encodes to, and decodes from, exactly these bytes; every shorter input is an error.
pub(crate) fn assert_scale<T: Encode + Decode + PartialEq + Debug>(value: &T, scale: &[u8]) {
    assert_eq!(hex::encode(value.encode()), hex::encode(scale));
    let mut input = scale;
    assert_eq!(&T::decode(&mut input).expect("decodes"), value);
    assert!(input.is_empty());
    for length in [0, scale.len() / 2, scale.len() - 1] {
        assert!(
            T::decode(&mut &scale[..length]).is_err(),
            "{length} of {} bytes decode",
            scale.len()
        );
    }
}

/// Serialises to, and deserialises from, exactly this JSON.
pub(crate) fn assert_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: &T,
    json: &serde_json::Value,
) {
    assert_eq!(&serde_json::to_value(value).expect("serialises"), json);
    assert_eq!(
        &serde_json::from_value::<T>(json.clone()).expect("deserialises"),
        value
    );
    // Text is another path through the deserialiser than a parsed value.
    assert_eq!(
        &serde_json::from_str::<T>(&json.to_string()).expect("deserialises"),
        value
    );
}
